"""A block of CUDA threads for each row: sums and lengths that its threads put together through shared memory, two at a time."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import cuda

from kernels._compute.cuda import SIMULATED

LEAST, THREADS = (1, 2) if SIMULATED else (32, 256)  # of a block


def threads_for(n: int) -> int:
    """Return how many threads a row of so many entries gets: a power of two, so that sums can halve it."""
    return min(THREADS, max(LEAST, 1 << (n - 1).bit_length()))


def _over_threads(combine: Callable[[Any, Any], Any]) -> Any:
    """Return a device function that combines all threads' values, two at a time, in a fixed order.

    Its argument `parts` is shared memory: an entry of each of two rows for each thread.
    """

    @cuda.jit(device=True)
    def combined(parts: Any, first: Any, second: Any) -> tuple[Any, Any]:
        thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
        parts[0, thread], parts[1, thread] = first, second
        cuda.syncthreads()
        while half:
            if thread < half:
                parts[0, thread] = combine(parts[0, thread], parts[0, thread + half])
                parts[1, thread] = combine(parts[1, thread], parts[1, thread + half])
            cuda.syncthreads()
            half //= 2
        first, second = parts[0, 0], parts[1, 0]
        cuda.syncthreads()  # until all threads have read them
        return first, second

    return combined


sums_of = _over_threads(operator.add)
largest_of = _over_threads(max)  # a NaN is not one


@cache
def lengths_of(dtype: Any) -> Any:
    """Return the device function for two rows' largest magnitudes, 1 where that is 0, and their lengths as multiples of those."""
    zero, one = dtype(0), dtype(1)

    @cuda.jit(device=True)
    def lengths(x: Any, y: Any, i: Any, parts: Any) -> tuple[Any, Any, Any, Any]:
        of_x, of_y = zero, zero
        for k in range(cuda.threadIdx.x, x.shape[1], cuda.blockDim.x):
            of_x, of_y = max(of_x, abs(x[i, k])), max(of_y, abs(y[i, k]))
        unit_x, unit_y = largest_of(parts, of_x, of_y)
        if unit_x == zero:
            unit_x = one
        if unit_y == zero:
            unit_y = one
        of_x, of_y = zero, zero
        for k in range(cuda.threadIdx.x, x.shape[1], cuda.blockDim.x):
            of_x += (x[i, k] / unit_x) * (x[i, k] / unit_x)
            of_y += (y[i, k] / unit_y) * (y[i, k] / unit_y)
        of_x, of_y = sums_of(parts, of_x, of_y)
        return unit_x, dtype(math.sqrt(of_x)), unit_y, dtype(math.sqrt(of_y))

    return lengths
