"""Mean-shift steps of few pairs, of few points, or towards few data: each pair by itself, as the arrays lie in memory.

To lay out points for vectors of them would take longer than all pairs. So the vectors are of coordinates; where these are few,
the pairs must be as few. Differences are scaled by a power of two, as in `numba`.
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


@jit
def scaling(x, data, h, kernel):
    """Return the power of two that scales differences, the factor of the weight function, and the least sum of weights.

    Where the weights of a point sum to less, they have lost digits because they are subnormal.
    """
    real = x.dtype.type
    mantissa, exponent = math.frexp(h)
    edge, least = 2 * mantissa, 0.0
    factor = edge * edge
    if kernel == GAUSSIAN:
        factor, least = 0.5 / factor, math.ldexp(4.0 * len(data), -90 if x.itemsize == 4 else -700)
    elif kernel == TRIANGULAR:
        factor = 1 / edge
    elif kernel == EPANECHNIKOV:
        factor = 1 / factor
    return real(math.ldexp(1.0, 1 - exponent)), real(factor), real(least)


@jit
def move_apart(x, data, masses, h, kernel, y, start, stop):
    """Move points start to stop, some at a time."""
    scale, factor, least = scaling(x, data, h, kernel)
    for first in range(start, stop, SLAB):
        last = min(first + SLAB, stop)
        own, sums = x[first:last], np.zeros((1, last - first, x.shape[1] + 1), x.dtype)
        add_pairs(own, data, masses, 0, len(data), kernel, scale, factor, sums[0])
        one, ordered = x.dtype.type(1), sums.transpose(0, 2, 1)
        move(own, data, masses, h, kernel, own.T, one, ordered, least, y[first:last], 0, last - first)


def step(x, h, data, masses, kernel):
    """Return points that moved towards data, where there are few of one of both.

    Shapes: x (n, d), data (m, d), masses (1, m or more), or (1, 0) where each is 1.
    """
    (n, d), m, y = x.shape, len(data), np.empty(x.shape, x.dtype)
    parts = min(MAX_PARTS, n * m * d // GRAIN)
    if n > FEW or parts < 2:
        parallel_for(functools.partial(move_apart, x, data, masses, h, kernel, y), n, 1 + GRAIN // (m * d))
        return y
    (scale, factor, least), sums = scaling(x, data, h, kernel), np.zeros((parts, n, d + 1), x.dtype)

    def together(start, stop):
        for part in range(start, stop):
            add_pairs(x, data, masses, m * part // parts, m * (part + 1) // parts, kernel, scale, factor, sums[part])

    parallel_for(together, parts)
    end = functools.partial(move, x, data, masses, h, kernel, x.T, x.dtype.type(1), sums.transpose(0, 2, 1), least, y)
    parallel_for(end, n, 1 + ROBUST_GRAIN // m)
    return y
