"""What the CUDA steps written in Numba share: the weight of a pair, in float32 without a float64 instruction."""

import math
from functools import cache

from numba import cuda

from kernels._compute import cuda as _cuda
from kernels._compute.cuda import SIMULATED
from kernels.meanshift_step import KERNELS

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = range(len(KERNELS))
GAUSSIAN_SCALE = math.sqrt(math.log2(math.e) / 2)  # q times this, squared, is t where the gaussian of q bandwidths is 2^-t
NARROW = 2 if SIMULATED else 8  # the most coordinates that a thread's registers hold


def scale_of(kind, bandwidth):
    """Return what distances are multiplied by before `weight` gets their squares."""
    return (GAUSSIAN_SCALE if kind == GAUSSIAN else 1) / bandwidth


@cache
def weight(dtype, kind):
    """Return the device function that turns a squared scaled distance into a weight."""
    one, zero = dtype(1), dtype(0)

    @cuda.jit(device=True)
    def of(q2):
        if kind == GAUSSIAN:
            return _cuda.exp2(-q2)
        if kind == TRIANGULAR:
            return max(one - dtype(math.sqrt(q2)), zero)
        if kind == EPANECHNIKOV:
            return max(one - q2, zero)
        return one if q2 <= one else zero

    return of
