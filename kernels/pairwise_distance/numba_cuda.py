"""pairwise_distance on CUDA: a block of threads takes a square of the result, and reads its points through shared memory.

A thread keeps PER x PER entries in registers, and for each coordinate subtracts PER numbers of x from PER of y. Where a
distance is so small that squares may have vanished, or infinite, the thread then takes that pair again, in units of its largest
difference. So does it where the distance is 0, which only equal points may have.

References
----------
Chang, Jones, Li, Ouyang and Ragade 2008, Compute pairwise Euclidean distances of data points with GPUs.
"""

import math
from functools import cache

import numpy as np
from numba import cuda
from numba import uint64 as unsigned  # an index that cannot be negative: it needs no test for that at each access

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from registry import register

ACROSS, PER, DEPTH = (2, 2, 3) if SIMULATED else (16, 4, 16)  # threads along a side, entries of each, coordinates of a tile
SIDE = ACROSS * PER
PADDED = SIDE + 1  # so that the stores of a warp, which go down a column of a tile, meet different banks


@cache
def kernel(dtype, metric):
    limits = np.finfo(str(dtype))
    zero, one, infinity, most = dtype(0), dtype(1), dtype(np.inf), dtype(limits.max)
    least = dtype(2.0 ** (limits.minexp // 2 + limits.nmant + 1))  # above, terms that vanish are no digit of the sum of squares
    root, squared, summed = metric == "euclidean", metric in ("euclidean", "sqeuclidean"), metric == "cityblock"
    threads, side, across, depth = ACROSS * ACROSS, unsigned(SIDE), unsigned(ACROSS), unsigned(DEPTH)

    @cuda.jit(device=True)
    def larger(a, b):
        return b if b > a or b != b else a  # NaN if either is

    @cuda.jit(device=True)
    def with_next(total, apart):
        if squared:
            return total + apart * apart
        return total + abs(apart) if summed else larger(total, abs(apart))

    @cuda.jit(device=True)
    def in_units_of_the_largest(x, i, y, j):
        largest, total, d = zero, zero, unsigned(x.shape[1])
        k = unsigned(0)
        while k < d:
            largest = larger(largest, abs(x[i, k] - y[j, k]))
            k += unsigned(1)
        unit = largest if zero < largest and largest < infinity else one
        k = unsigned(0)
        while k < d:
            apart = (x[i, k] - y[j, k]) / unit
            total += apart * apart
            k += unsigned(1)
        return unit * dtype(math.sqrt(total))

    @jit
    def fill(x, y, distances):
        x_tile = cuda.shared.array((DEPTH, PADDED), dtype)
        y_tile = cuda.shared.array((DEPTH, PADDED), dtype)
        total = cuda.local.array((PER, PER), dtype)
        n, m, d = unsigned(distances.shape[0]), unsigned(distances.shape[1]), unsigned(x.shape[1])
        blocks_across = (m + side - unsigned(1)) // side
        block, thread = unsigned(cuda.blockIdx.x), unsigned(cuda.threadIdx.x)
        top, left = block // blocks_across * side, block % blocks_across * side
        row, column = thread // across, thread % across
        for p in range(PER):
            for q in range(PER):
                total[p, q] = zero
        first = unsigned(0)
        while first < d:
            e = thread
            while e < side * depth:
                r, k = e // depth, e % depth
                x_tile[k, r] = x[top + r, first + k] if top + r < n and first + k < d else zero
                y_tile[k, r] = y[left + r, first + k] if left + r < m and first + k < d else zero
                e += unsigned(threads)
            cuda.syncthreads()
            for k in range(DEPTH):
                for p in range(PER):
                    for q in range(PER):
                        here, there = x_tile[k, row + across * unsigned(p)], y_tile[k, column + across * unsigned(q)]
                        total[p, q] = with_next(total[p, q], here - there)
            cuda.syncthreads()  # no thread may overwrite these tiles while another still reads them
            first += depth
        for p in range(PER):
            for q in range(PER):
                i, j = top + row + across * unsigned(p), left + column + across * unsigned(q)
                if i < n and j < m:
                    distances[i, j] = dtype(math.sqrt(total[p, q])) if root else total[p, q]
        if root:
            i = top + row
            while i < min(top + side, n):
                j = left + column
                while j < min(left + side, m):
                    if not (least <= distances[i, j] and distances[i, j] <= most):
                        distances[i, j] = in_units_of_the_largest(x, i, y, j)
                    j += across
                i += across

    return fill


@register("pairwise_distance", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=60)
def pairwise_distance(x, y, metric):
    distances = x.new_empty((x.shape[0], y.shape[0]))
    blocks = ceildiv(x.shape[0], SIDE) * ceildiv(y.shape[0], SIDE)
    launch(kernel(DTYPES[x.dtype], metric), blocks, ACROSS * ACROSS, x.contiguous(), y.contiguous(), distances)
    return distances
