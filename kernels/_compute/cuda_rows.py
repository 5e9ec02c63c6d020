"""A block of CUDA threads for each row: what its threads have found, put together through shared memory."""

from typing import Any

from numba import cuda

from kernels._compute.cuda import SIMULATED

LEAST, THREADS = (1, 2) if SIMULATED else (32, 256)  # of a block


def threads_for(n: int) -> int:
    """Return how many threads a row of so many entries gets: a power of two, so that sums can halve it."""
    return min(THREADS, max(LEAST, 1 << (n - 1).bit_length()))


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def sum_of(parts: Any, value: Any) -> Any:
    """Return the sum of all threads' values, added in a fixed order; `parts` is shared, with an entry for each thread."""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    parts[thread] = value
    cuda.syncthreads()
    while half:
        if thread < half:
            parts[thread] += parts[thread + half]
        cuda.syncthreads()
        half //= 2
    total = parts[0]
    cuda.syncthreads()  # until all threads have read it
    return total


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def largest_of(parts: Any, value: Any) -> Any:
    """Return the largest of all threads' values; a NaN is not one."""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    parts[thread] = value
    cuda.syncthreads()
    while half:
        if thread < half:
            parts[thread] = max(parts[thread], parts[thread + half])
        cuda.syncthreads()
        half //= 2
    most = parts[0]
    cuda.syncthreads()  # until all threads have read it
    return most
