"""meanshift_step on CUDA: one fused pass over the data, which blocks of threads read through shared memory.

Each thread keeps a few points and their sums in registers; the warps of a block share the data of a tile and add up at the
end, in a fixed order. A gaussian's weights are relative to a shift that follows the nearest data seen so far, and lags it by
at most 2^16, so that it rarely moves: the running maximum of Milakov and Gimelshein 2018, Online normalizer calculation for
softmax. Coordinates come in bandwidths, times sqrt(log2(e) / 2) for a gaussian, whose weight is then exp2(-q^2).
"""

import math
from functools import cache

import numba
import numpy as np
import torch
from numba import cuda

from kernels._cuda import DTYPES, SIMULATED, ceildiv, exp2_of, launch, scalar
from kernels.meanshift_step import KERNELS
from registry import register

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = range(len(KERNELS))
LANES, WARPS, TILE = (4, 2, 8) if SIMULATED else (32, 8, 256)
NARROW = 2 if SIMULATED else 8  # the most coordinates that registers hold; wider points take a kernel of their own
LAG = 16
CROWD = 16 if SIMULATED else 2**15  # from so many points on, one for each thread would be more threads than a device runs


def queries(n, d, dtype):
    """Return how many points a thread takes."""
    return 1 if n < CROWD or dtype is numba.float64 else 4 if d <= 3 else 2 if d == 4 else 1


@cache
def weight(dtype, kind):
    one, zero, exp2 = dtype(1), dtype(0), exp2_of(dtype)

    @cuda.jit(device=True)
    def of(q2, nearest):
        if kind == GAUSSIAN:
            return exp2(nearest - q2)
        if kind == TRIANGULAR:
            return max(one - dtype(math.sqrt(q2)), zero)
        if kind == EPANECHNIKOV:
            return max(one - q2, zero)
        return one if q2 <= one else zero

    return of


@cache
def narrow(dtype, kind, d, own):
    """Return the kernel for points of d coordinates, `own` of them for each thread."""
    largest, zero, lag, threads = dtype(np.finfo(str(dtype)).max), dtype(0), dtype(LAG), LANES * WARPS
    weigh, sums = weight(dtype, kind), d + 2

    @cuda.jit(cache=True)
    def step(x, data, scale, y):
        tile = cuda.shared.array((TILE, d), dtype)
        parts = cuda.shared.array((WARPS, sums, LANES), dtype)
        point = cuda.local.array((own, d), dtype)
        moved = cuda.local.array((own, d), dtype)
        total = cuda.local.array(own, dtype)
        nearest = cuda.local.array(own, dtype)
        difference = cuda.local.array((own, d), dtype)
        q2 = cuda.local.array(own, dtype)
        lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
        n, m = x.shape[0], data.shape[0]
        first = cuda.blockIdx.x * (own * LANES) + lane
        for p in range(own):
            total[p], nearest[p] = zero, largest
            for k in range(d):
                point[p, k], moved[p, k] = x[min(first + p * LANES, n - 1), k], zero
        for start in range(0, m, TILE):
            count = min(TILE, m - start)
            cuda.syncthreads()  # until every warp has done with the last tile
            for e in range(cuda.threadIdx.x, count * d, threads):
                tile[e // d, e % d] = data[start + e // d, e % d]
            cuda.syncthreads()
            for j in range(warp, count, WARPS):
                for p in range(own):
                    q2[p] = zero
                    for k in range(d):
                        difference[p, k] = tile[j, k] - point[p, k]
                        q = difference[p, k] * scale
                        q2[p] += q * q
                if kind == GAUSSIAN:
                    closer = zero
                    for p in range(own):
                        q2[p] = min(q2[p], largest)  # past the square root of the largest number all distances count alike
                        closer = max(closer, nearest[p] - q2[p])
                    if closer > lag:
                        for p in range(own):
                            shift = min(nearest[p], q2[p])
                            shrink = weigh(nearest[p], shift)
                            nearest[p] = shift
                            total[p] *= shrink
                            for k in range(d):
                                moved[p, k] *= shrink
                for p in range(own):
                    w = weigh(q2[p], nearest[p])
                    total[p] += w
                    for k in range(d):
                        moved[p, k] += w * difference[p, k]
        for p in range(own):
            cuda.syncthreads()  # until the parts of the last point have been read
            parts[warp, 0, lane] = nearest[p]
            parts[warp, 1, lane] = total[p]
            for k in range(d):
                parts[warp, 2 + k, lane] = moved[p, k]
            cuda.syncthreads()
            if warp == 0 and first + p * LANES < n:
                shift = largest
                for part in range(WARPS):
                    shift = min(shift, parts[part, 0, lane])
                all_weights = zero
                for k in range(d):
                    moved[p, k] = zero
                for part in range(WARPS):
                    share = weigh(parts[part, 0, lane], shift) if kind == GAUSSIAN else dtype(1)
                    all_weights += share * parts[part, 1, lane]
                    for k in range(d):
                        moved[p, k] += share * parts[part, 2 + k, lane]
                for k in range(d):
                    still = point[p, k]
                    y[first + p * LANES, k] = still + moved[p, k] / all_weights if all_weights > zero else still

    return step


@cache
def wide(dtype, kind):
    """Return the kernel for points of any number of coordinates: a thread sums NARROW of them for one point."""
    largest, zero = dtype(np.finfo(str(dtype)).max), dtype(0)
    weigh = weight(dtype, kind)

    @cuda.jit(device=True)
    def squared_distance(x, i, data, j, scale):
        q2 = zero
        for k in range(x.shape[1]):
            q = (data[j, k] - x[i, k]) * scale
            q2 += q * q
        return min(q2, largest)

    @cuda.jit(cache=True)
    def step(x, data, scale, y):
        moved = cuda.local.array(NARROW, dtype)
        (n, d), m = x.shape, data.shape[0]
        runs = (d + NARROW - 1) // NARROW
        thread = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        i, first = thread // runs, thread % runs * NARROW
        if i >= n:
            return
        nearest = largest
        if kind == GAUSSIAN:
            for j in range(m):
                nearest = min(nearest, squared_distance(x, i, data, j, scale))
        total = zero
        for k in range(NARROW):
            moved[k] = zero
        for j in range(m):
            w = weigh(squared_distance(x, i, data, j, scale), nearest)
            total += w
            for k in range(NARROW):
                if first + k < d:
                    moved[k] += w * (data[j, first + k] - x[i, first + k])
        for k in range(NARROW):
            if first + k < d:
                y[i, first + k] = x[i, first + k] + moved[k] / total if total > zero else x[i, first + k]

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
