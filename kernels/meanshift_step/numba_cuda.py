"""meanshift_step on CUDA: one fused pass over the data, which blocks of threads read through shared memory.

Each thread keeps a few points and their sums in registers; the warps of a block share the data of a tile and add up at the
end, in a fixed order. A gaussian's weight is exp2(-q^2), with distances in bandwidths times sqrt(log2(e) / 2). Where all of a
point's weights together come to less than the square root of the smallest number, what was lost below that number may be
missed: the block then looks for the nearest data, and goes through them all once more with weights relative to it.
"""

import math
from functools import cache

import numba
import numpy as np
import torch
from numba import cuda
from numba import uint64 as unsigned  # an index that cannot be negative: it needs no test for that at each access

from kernels._compute import cuda as _cuda
from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch, scalar
from kernels.meanshift_step import KERNELS
from registry import register

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = range(len(KERNELS))
LANES, WARPS, TILE = (4, 2, 8) if SIMULATED else (32, 8, 256)
NARROW = 2 if SIMULATED else 8  # the most coordinates that registers hold; wider points take a kernel of their own
CROWD = 16 if SIMULATED else 2**15  # from so many points on, one for each thread would be more threads than a device runs


def queries(n, d, dtype):
    """Return how many points a thread takes."""
    return 1 if n < CROWD or dtype is numba.float64 else 4 if d <= 4 else 2


@cache
def weight(dtype, kind):
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


SUMS, NEAREST, RELATIVE = range(3)  # what a pass through the data is for


@cache
def through(dtype, kind, d, own, purpose):
    """Return a pass of a block through the data: for sums of weights, for the nearest data, or for sums relative to these."""
    largest, zero, threads, weigh = dtype(np.finfo(str(dtype)).max), dtype(0), LANES * WARPS, weight(dtype, kind)

    @cuda.jit(device=True)
    def go(data, scale, tile, point, nearest, total, moved):
        difference = cuda.local.array((own, d), dtype)
        for p in range(own):
            total[p] = zero
            for k in range(d):
                moved[p, k] = zero
        for start in range(0, data.shape[0], TILE):
            count = min(TILE, data.shape[0] - start)
            cuda.syncthreads()  # until every warp has done with the last tile
            e, end = unsigned(cuda.threadIdx.x), unsigned(count * d)
            while e < end:
                tile[e // unsigned(d), e % unsigned(d)] = data[unsigned(start) + e // unsigned(d), e % unsigned(d)]
                e += unsigned(threads)
            cuda.syncthreads()
            j, end = unsigned(cuda.threadIdx.x // LANES), unsigned(count)
            while j < end:
                for p in range(own):
                    q2 = zero
                    for k in range(d):
                        difference[p, k] = tile[j, unsigned(k)] - point[p, k]
                        q = difference[p, k] * scale
                        q2 += q * q
                    if purpose != SUMS:
                        q2 = min(q2, largest)  # past the square root of that number all distances count alike
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
def narrow(dtype, kind, d, own):
    """Return the kernel for points of d coordinates, `own` of them for each thread."""
    limits, zero, sums = np.finfo(str(dtype)), dtype(0), d + 1
    largest, faint = dtype(limits.max), dtype(math.sqrt(limits.tiny))
    add_up, search, add_up_relative = (through(dtype, kind, d, own, purpose) for purpose in (SUMS, NEAREST, RELATIVE))

    @cuda.jit(device=True)
    def finish(first, point, left, total, moved, parts, least, y):
        """Add up the warps' parts, and move the points whose weights come to enough; return whether others are left."""
        lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
        again = False
        for p in range(own):
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
        point = cuda.local.array((own, d), dtype)
        moved = cuda.local.array((own, d), dtype)
        total = cuda.local.array(own, dtype)
        nearest = cuda.local.array(own, dtype)
        left = cuda.local.array(own, numba.boolean)
        lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
        first = cuda.blockIdx.x * (own * LANES) + lane
        for p in range(own):
            nearest[p], left[p] = largest, first + p * LANES < x.shape[0]
            for k in range(d):
                point[p, k] = x[min(first + p * LANES, x.shape[0] - 1), k]
        add_up(data, scale, tile, point, nearest, total, moved)
        again = finish(first, point, left, total, moved, parts, faint if kind == GAUSSIAN else zero, y)
        if kind == GAUSSIAN and cuda.syncthreads_or(numba.int32(again)):
            search(data, scale, tile, point, nearest, total, moved)
            for p in range(own):
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
    """Return the kernel for points of any number of coordinates: a thread sums NARROW of them for one point."""
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


@register("meanshift_step", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=70)
def meanshift_step(x, bandwidth, data, kernel):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    (n, d), dtype, kind = x.shape, DTYPES[x.dtype], KERNELS.index(kernel)
    if not y.numel():
        return y
    scale = scalar((math.sqrt(math.log2(math.e) / 2) if kind == GAUSSIAN else 1) / bandwidth, x)
    arguments = x.contiguous(), data.contiguous(), scale, y
    if d <= NARROW:
        own = queries(n, d, dtype)
        launch(narrow(dtype, kind, d, own), ceildiv(n, own * LANES), LANES * WARPS, *arguments)
    else:
        threads = n * ceildiv(d, NARROW)
        launch(wide(dtype, kind), ceildiv(threads, LANES * WARPS), LANES * WARPS, *arguments)
    return y
