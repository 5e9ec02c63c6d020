"""standardize on CUDA in three launches: the ends of each column's range, its mean and squares about the mean, and the result.

Adjacent lanes take adjacent columns, the warps of a block take every so many rows, and blocks take parts of the rows. All numbers
are differences from the middle of the column's range, over the largest of them. A thread sums its rows in two passes, first for
their mean; what threads and parts have is merged by Chan's formula in a fixed order, by each thread that needs it.

References
----------
Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance: analysis and recommendations, (2.1).
"""

import math
from functools import cache

from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from registry import register

LANES, WARPS = (4, 2) if SIMULATED else (32, 8)
HEIGHT, PARTS = (5, 3) if SIMULATED else (512, 64)  # the least rows of a part, and the most parts


@cuda.jit(device=True)
def place(n, d, parts):
    """Return a thread's column, and its rows, every so many from the first to the end; no rows where there is no such column."""
    column, part = cuda.blockIdx.x // parts * LANES + cuda.threadIdx.x % LANES, cuda.blockIdx.x % parts
    stop = (part + 1) * n // parts if column < d else 0
    return column, part * n // parts + cuda.threadIdx.x // LANES, stop


@cuda.jit(device=True)
def merged(count, mean, squares, more, mean_of_more, squares_of_more):
    """Merge what is known of `count` numbers with what is known of `more` others."""
    if more == 0:
        return count, mean, squares
    total, apart = count + more, mean_of_more - mean
    return total, mean + apart * (more / total), squares + squares_of_more + apart * apart * (count * more / total)


@cache
def finding(dtype):
    """Return the kernel that finds the least and the largest entry of each column in each part."""
    infinity = dtype(math.inf)

    @jit
    def find(x, ends):
        found = cuda.shared.array((2, WARPS, LANES), dtype)
        lane, warp, parts = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES, ends.shape[1]
        column, start, stop = place(x.shape[0], x.shape[1], parts)
        low, high = infinity, -infinity
        for i in range(start, stop, WARPS):
            low, high = min(low, x[i, column]), max(high, x[i, column])
        found[0, warp, lane], found[1, warp, lane] = low, high
        cuda.syncthreads()
        if warp == 0 and column < x.shape[1]:
            for other in range(1, WARPS):
                low, high = min(low, found[0, other, lane]), max(high, found[1, other, lane])
            ends[0, cuda.blockIdx.x % parts, column], ends[1, cuda.blockIdx.x % parts, column] = low, high

    return find


@cache
def framing(dtype):
    """Return the function that gives the middle of a column's range, the largest difference from it, and whether there is one."""
    one, two, infinity = dtype(1), dtype(2), dtype(math.inf)

    @cuda.jit(device=True)
    def frame(ends, column):
        low, high = infinity, -infinity
        for part in range(ends.shape[1]):
            low, high = min(low, ends[0, part, column]), max(high, ends[1, part, column])
        middle = low / two + high / two
        return middle, one if low == high else max(high - middle, middle - low), low != high

    return frame


@cache
def summing(dtype):
    """Return the kernel that computes the mean of each column in each part, and the squares about it."""
    frame, zero = framing(dtype), dtype(0)

    @jit
    def summarize(x, ends, moments):
        found = cuda.shared.array((3, WARPS, LANES), dtype)
        lane, warp, parts = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES, ends.shape[1]
        column, start, stop = place(x.shape[0], x.shape[1], parts)
        count = mean = squares = zero
        if start < stop:
            middle, largest, _ = frame(ends, column)
            count = dtype((stop - start + WARPS - 1) // WARPS)
            for i in range(start, stop, WARPS):
                mean += (x[i, column] - middle) / largest
            mean /= count
            for i in range(start, stop, WARPS):
                apart = (x[i, column] - middle) / largest - mean
                squares += apart * apart
        found[0, warp, lane], found[1, warp, lane], found[2, warp, lane] = count, mean, squares
        cuda.syncthreads()
        if warp == 0 and column < x.shape[1]:
            for other in range(1, WARPS):
                count, mean, squares = merged(
                    count, mean, squares, found[0, other, lane], found[1, other, lane], found[2, other, lane]
                )
            part = cuda.blockIdx.x % parts
            moments[0, part, column], moments[1, part, column], moments[2, part, column] = count, mean, squares

    return summarize


@cache
def applying(dtype):
    """Return the kernel that writes the result."""
    frame, zero = framing(dtype), dtype(0)

    @jit
    def apply(x, ends, moments, y):
        parts = ends.shape[1]
        column, start, stop = place(x.shape[0], x.shape[1], parts)
        if start < stop:
            middle, largest, varies = frame(ends, column)
            count, mean, squares = zero, zero, zero
            for part in range(parts):
                count, mean, squares = merged(
                    count, mean, squares, moments[0, part, column], moments[1, part, column], moments[2, part, column]
                )
            factor = dtype(math.sqrt(count / squares)) if varies else zero  # a NaN among equal numbers still makes all NaN
            for i in range(start, stop, WARPS):
                y[i, column] = ((x[i, column] - middle) / largest - mean) * factor

    return apply


@register("standardize", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=60)
def standardize(x):
    y = x.new_empty(x.shape)
    if not y.numel():
        return y
    (n, d), dtype, x = x.shape, DTYPES[x.dtype], x.contiguous()
    parts = min(PARTS, ceildiv(n, HEIGHT))
    blocks, threads = ceildiv(d, LANES) * parts, LANES * WARPS
    ends, moments = x.new_empty((2, parts, d)), x.new_empty((3, parts, d))
    launch(finding(dtype), blocks, threads, x, ends)
    launch(summing(dtype), blocks, threads, x, ends, moments)
    launch(applying(dtype), blocks, threads, x, ends, moments, y)
    return y
