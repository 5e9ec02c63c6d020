"""slerp compiled, row by row: lengths, the distances that give the angle, and the weighted sum while the rows are in cache."""

import functools
import math

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.lengths import length
from kernels._compute.threads import parallel_for
from registry import register

GRAIN = 20_000  # entries that are worth waking a thread


@jit(
    fastmath={"reassoc", "nsz"}, error_model="numpy"
)  # not "contract": opposite rows must cancel, and a fused product would leave its rounding
def distances(a, unit_a, of_a, b, unit_b, of_b):
    """Return the squares of the distance and of the sum of two rows, each over its length."""
    apart = together = a.dtype.type(0)
    by_a, by_b = a.dtype.type(1) / of_a, a.dtype.type(1) / of_b
    for k in range(len(a)):
        p, q = a[k] / unit_a * by_a, b[k] / unit_b * by_b
        apart += (p - q) * (p - q)
        together += (p + q) * (p + q)
    return apart, together


@jit(error_model="numpy")
def rows(a, b, near, far, y, start, stop):
    real = a.dtype.type
    for i in range(start, stop):
        (unit_a, of_a), (unit_b, of_b) = length(a[i]), length(b[i])
        left, right = near, far
        if of_a != 0 and of_b != 0:
            apart, together = distances(a[i], real(unit_a), real(of_a), b[i], real(unit_b), real(of_b))
            if apart != 0 and together != 0:
                w = real(2) * math.atan2(math.sqrt(apart), math.sqrt(together))
                left, right = math.sin(near * w) / math.sin(w), math.sin(far * w) / math.sin(w)
        for k in range(a.shape[1]):
            y[i, k] = left * a[i, k] + right * b[i, k]


@register("slerp", "numba", requires=("numba",), layout="C", batches=True, rank=60)
def slerp(a, b, t):
    shape, real = np.broadcast_shapes(a.shape, b.shape), a.dtype.type
    if shape[-1] == 1:  # numbers are parallel or opposite
        with np.errstate(invalid="ignore"):
            linear = real(1 - t) * a + real(t) * b
        return np.where(np.isfinite(linear), linear, real(np.nan))
    a, b = (x if x.shape == shape else np.broadcast_to(x, shape).copy() for x in (a, b))
    y = np.empty(shape, a.dtype)
    if y.size:
        whole = [x.reshape(-1, shape[-1]) for x in (a, b, y)]
        work = functools.partial(rows, *whole[:2], real(1 - t), real(t), whole[2])
        parallel_for(work, len(whole[2]), 1 + GRAIN // shape[-1])
    return y
