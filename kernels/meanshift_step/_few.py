"""Mean-shift steps of few points, or towards few data: each pair by itself, as the arrays lie in memory.

To lay out the many for vectors of them would take longer than all pairs. So the vectors are of coordinates, of which there must
be enough. Differences are scaled by a power of two, as in `numba`.
"""

import functools
import math

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.threads import parallel_for
from kernels.meanshift_step._compiled import EPANECHNIKOV, GAUSSIAN, ROBUST_GRAIN, TRIANGULAR, move
from kernels.meanshift_step._costs import FEW

MAX_PARTS = 16  # of the data
GRAIN = 100_000  # coordinates of pairs that are worth waking a thread
SLAB = 2**10  # points whose sums are kept at a time


@jit(fastmath={"reassoc", "contract"})
def add_pairs(x, data, masses, first, last, kernel, scale, factor, sums):
    """Add to `sums`, (n, d + 1), what the data first to last weigh: their weighted differences, and last the weights."""
    d, one = x.shape[1], x.dtype.type(1)
    for j in range(first, last):
        for i in range(len(x)):
            q2 = x.dtype.type(0)
            for k in range(d):
                q = (data[j, k] - x[i, k]) * scale
                q2 += q * q
            if kernel == GAUSSIAN:
                w = np.exp(-factor * q2)
            elif kernel == TRIANGULAR:
                w = one - factor * np.sqrt(q2)
            elif kernel == EPANECHNIKOV:
                w = one - factor * q2
            else:
                w = one if q2 <= factor else x.dtype.type(0)
            if w > 0:
                if masses.size:
                    w *= masses[0, j]
                for k in range(d):
                    sums[i, k] += w * (data[j, k] - x[i, k])
                sums[i, d] += w


def step(x, h, data, masses, kernel):
    """Return points that moved towards data, where there are few of one of both.

    Shapes: x (n, d), data (m, d), masses (1, m or more), or (1, 0) where each is 1.
    """
    (n, d), m, real = x.shape, len(data), x.dtype.type
    y = np.empty(x.shape, x.dtype)
    mantissa, exponent = math.frexp(h)
    edge, scale = 2 * mantissa, real(math.ldexp(1, 1 - exponent))
    factor = real({GAUSSIAN: edge**-2 / 2, TRIANGULAR: 1 / edge, EPANECHNIKOV: edge**-2}.get(kernel, edge**2))
    # Far above the weights that lose digits because they are subnormal.
    least = real(math.ldexp(4 * m, -90 if real is np.float32 else -700) if kernel == GAUSSIAN else 0)
    known = kernel, scale, factor

    def end(x, sums, y, start, stop):
        move(x, data, masses, h, kernel, x.T, real(1), sums.transpose(0, 2, 1), least, y, start, stop)

    if n > FEW:

        def apart(start, stop):
            for first in range(start, stop, SLAB):
                own = slice(first, min(first + SLAB, stop))
                sums = np.zeros((1, own.stop - first, d + 1), x.dtype)
                add_pairs(x[own], data, masses, 0, m, *known, sums[0])
                end(x[own], sums, y[own], 0, own.stop - first)

        parallel_for(apart, n, 1 + GRAIN // (m * d))
        return y
    parts = max(1, min(MAX_PARTS, n * m * d // GRAIN))
    sums = np.zeros((parts, n, d + 1), x.dtype)

    def together(start, stop):
        for part in range(start, stop):
            add_pairs(x, data, masses, m * part // parts, m * (part + 1) // parts, *known, sums[part])

    parallel_for(together, parts)
    parallel_for(functools.partial(end, x, sums, y), n, 1 + ROBUST_GRAIN // m)
    return y
