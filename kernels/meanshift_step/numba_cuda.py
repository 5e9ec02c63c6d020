"""meanshift_step on CUDA: one fused pass over the data, which blocks of threads read through shared memory.

All warps of a block take the same points, a few for each lane, and keep them and their sums in registers. The data of a tile are
divided among the warps, whose sums are added at the end in a fixed order. A gaussian's weight is exp2(-q^2), for distances q in
bandwidths times sqrt(log2(e) / 2). Where the weights of a point sum to less than the square root of the smallest normal number,
weights that underflowed may matter. The block then finds the nearest datum of each such point, and goes through all data once
more with weights relative to that datum's.
"""

import math
from functools import cache

import numba
import numpy as np
import torch
from numba import cuda
from numba import uint64 as unsigned  # an index that cannot be negative: it needs no test for that at each access

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch, scalar
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._cuda import GAUSSIAN, NARROW, scale_of, weight
from registry import register

LANES, WARPS, TILE = (4, 2, 8) if SIMULATED else (32, 8, 256)
CROWD = 16 if SIMULATED else 2**15  # with so many points, one for each thread would be more threads than a device runs at once


def points_per_thread(n, d, dtype):
    """Return how many points a thread takes."""
    return 1 if n < CROWD or dtype is numba.float64 else 4 if d <= 4 else 2


SUMS, NEAREST, RELATIVE = range(3)  # what a pass through the data is for


@cache
def pass_over(dtype, kind, d, per_thread, purpose):
    """Return a block's pass over the data: for sums of weights, for the nearest datum, or for sums relative to its weight."""
    largest, zero, threads, weigh = dtype(np.finfo(str(dtype)).max), dtype(0), LANES * WARPS, weight(dtype, kind)

    @cuda.jit(device=True)
    def go(data, scale, tile, point, nearest, total, moved):
        difference = cuda.local.array((per_thread, d), dtype)
        for p in range(per_thread):
            total[p] = zero
            for k in range(d):
                moved[p, k] = zero
        for start in range(0, data.shape[0], TILE):
            count = min(TILE, data.shape[0] - start)
            cuda.syncthreads()  # until no warp reads the last tile any more
            e, end = unsigned(cuda.threadIdx.x), unsigned(count * d)
            while e < end:
                tile[e // unsigned(d), e % unsigned(d)] = data[unsigned(start) + e // unsigned(d), e % unsigned(d)]
                e += unsigned(threads)
            cuda.syncthreads()
            j, end = unsigned(cuda.threadIdx.x // LANES), unsigned(count)
            while j < end:
                for p in range(per_thread):
                    q2 = zero
                    for k in range(d):
                        difference[p, k] = tile[j, unsigned(k)] - point[p, k]
                        q = difference[p, k] * scale
                        q2 += q * q
                    if purpose != SUMS:
                        q2 = min(q2, largest)  # so that no infinity is subtracted from an infinity
                    if purpose == NEAREST:
                        nearest[p] = min(nearest[p], q2)
                    else:
                        w = weigh(q2 - nearest[p] if purpose == RELATIVE else q2)
                        total[p] += w
                        for k in range(d):
                            moved[p, k] += w * difference[p, k]
                j += unsigned(WARPS)

    return go


@cache
def narrow(dtype, kind, d, per_thread):
    """Return the kernel for points of d coordinates, `per_thread` points for each thread."""
    limits, zero, sums = np.finfo(str(dtype)), dtype(0), d + 1
    largest, threshold = dtype(limits.max), dtype(math.sqrt(limits.tiny))
    add_up, search, add_up_relative = (pass_over(dtype, kind, d, per_thread, purpose) for purpose in (SUMS, NEAREST, RELATIVE))

    @cuda.jit(device=True)
    def finish(first, point, left, total, moved, parts, least, y):
        """Add up the warps' parts, and move the points whose weights sum to `least` or more; return whether others are left."""
        lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
        again = False
        for p in range(per_thread):
            cuda.syncthreads()  # until the parts of the last point have been read
            parts[warp, d, lane] = total[p]
            for k in range(d):
                parts[warp, k, lane] = moved[p, k]
            cuda.syncthreads()
            together = zero
            for part in range(WARPS):
                together += parts[part, d, lane]
            if together < least:
                again = True
            elif left[p]:
                left[p] = False
                for k in range(d):
                    if warp == k % WARPS:
                        shift, still = zero, point[p, k]
                        for part in range(WARPS):
                            shift += parts[part, k, lane]
                        y[first + p * LANES, k] = still + shift / together if together > zero else still
        return again

    @jit
    def step(x, data, scale, y):
        tile = cuda.shared.array((TILE, d), dtype)
        parts = cuda.shared.array((WARPS, sums, LANES), dtype)
        point = cuda.local.array((per_thread, d), dtype)
        moved = cuda.local.array((per_thread, d), dtype)
        total = cuda.local.array(per_thread, dtype)
        nearest = cuda.local.array(per_thread, dtype)
        left = cuda.local.array(per_thread, numba.boolean)
        lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
        first = cuda.blockIdx.x * (per_thread * LANES) + lane
        for p in range(per_thread):
            nearest[p], left[p] = largest, first + p * LANES < x.shape[0]
            for k in range(d):
                point[p, k] = x[min(first + p * LANES, x.shape[0] - 1), k]
        add_up(data, scale, tile, point, nearest, total, moved)
        again = finish(first, point, left, total, moved, parts, threshold if kind == GAUSSIAN else zero, y)
        if kind == GAUSSIAN and cuda.syncthreads_or(numba.int32(again)):
            search(data, scale, tile, point, nearest, total, moved)
            for p in range(per_thread):
                cuda.syncthreads()  # until the parts of the last point have been read
                parts[warp, 0, lane] = nearest[p]
                cuda.syncthreads()
                for part in range(WARPS):
                    nearest[p] = min(nearest[p], parts[part, 0, lane])
            add_up_relative(data, scale, tile, point, nearest, total, moved)
            finish(first, point, left, total, moved, parts, zero, y)

    return step


@cache
def wide(dtype, kind):
    """Return the kernel for points of any number of coordinates: a thread sums up to NARROW of them, for one point."""
    largest, zero, one = dtype(np.finfo(str(dtype)).max), dtype(0), unsigned(1)
    weigh = weight(dtype, kind)

    @cuda.jit(device=True)
    def squared_distance(x, i, data, j, scale):
        q2, k, d = zero, unsigned(0), unsigned(x.shape[1])
        while k < d:
            q = (data[j, k] - x[i, k]) * scale
            q2 += q * q
            k += one
        return min(q2, largest)

    @jit
    def step(x, data, scale, y):
        moved = cuda.local.array(NARROW, dtype)
        d, m = unsigned(x.shape[1]), unsigned(data.shape[0])
        runs = (d + unsigned(NARROW - 1)) // unsigned(NARROW)
        thread = unsigned(cuda.grid(1))
        i, first = thread // runs, thread % runs * unsigned(NARROW)
        if i >= unsigned(x.shape[0]):
            return
        nearest = zero
        if kind == GAUSSIAN:
            nearest, j = largest, unsigned(0)
            while j < m:
                nearest = min(nearest, squared_distance(x, i, data, j, scale))
                j += one
        total, j = zero, unsigned(0)
        for k in range(NARROW):
            moved[k] = zero
        while j < m:
            w = weigh(squared_distance(x, i, data, j, scale) - nearest)
            total += w
            for k in range(NARROW):
                if first + unsigned(k) < d:
                    moved[k] += w * (data[j, first + unsigned(k)] - x[i, first + unsigned(k)])
            j += one
        for k in range(NARROW):
            at = first + unsigned(k)
            if at < d:
                y[i, at] = x[i, at] + moved[k] / total if total > zero else x[i, at]

    return step


@register(
    "meanshift_step",
    "numba_cuda",
    arrays="torch",
    requires=("numba", "torch"),
    device="cuda",
    rank=70,
    limits={"weights": (None,)},
)
def meanshift_step(x, bandwidth, data, kernel, weights=None):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    (n, d), dtype, kind = x.shape, DTYPES[x.dtype], KERNELS.index(kernel)
    if not y.numel():
        return y
    scale = scalar(scale_of(kind, bandwidth), x)
    arguments = x.contiguous(), data.contiguous(), scale, y
    if d <= NARROW:
        per_thread = points_per_thread(n, d, dtype)
        launch(narrow(dtype, kind, d, per_thread), ceildiv(n, per_thread * LANES), LANES * WARPS, *arguments)
    else:
        threads = n * ceildiv(d, NARROW)
        launch(wide(dtype, kind), ceildiv(threads, LANES * WARPS), LANES * WARPS, *arguments)
    return y
