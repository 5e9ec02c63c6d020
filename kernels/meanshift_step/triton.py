"""meanshift_step in Triton: a program keeps a few points and goes through the data, as flash attention does; no n x m matrix.

A warp keeps a few points, and each of its lanes takes another datum of a tile. There is an array for each coordinate: an axis of
coordinates would be divided among threads, and each thread would compute every pair's weight again. A gaussian's weight is
exp2(-q^2), for distances q in bandwidths times sqrt(log2(e) / 2). Where the weights of a point sum to less than the square root
of the smallest normal number, the program goes through the data again, first for the nearest datum and then for weights
relative to its weight. Both times q^2 must be the same to the last digit: so it is written with tl.fma, since a compiler may or
may not fuse a product and a sum. Points with more than 8 coordinates are summed 8 at a time.

References
----------
Dao, Fu, Ermon, Rudra and Re 2022, FlashAttention: fast and memory-efficient exact attention with IO-awareness.
"""

import math
import threading

import numpy as np
import torch
import triton
import triton.language as tl

from kernels.meanshift_step import KERNELS
from registry import register

INTERPRETED = triton.knobs.runtime.interpret
NARROW = 8  # the most coordinates that registers hold
LANES, WARPS = (16, 4) if INTERPRETED else (32, 4)  # the lanes of a warp take different data, and the warps different points
CROWD = 64 if INTERPRETED else 2**15  # with so many points, one for each warp would be more warps than a device runs at once
REGISTERS = 72  # of a thread, for its points' coordinates and sums

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = map(tl.constexpr, range(len(KERNELS)))

_one_at_a_time = threading.Lock()  # the interpreter keeps its language in globals; a launch does not wait for the device


def points_per_thread(n, count, single):
    """Return how many points of `count` coordinates a warp takes: a power of two, as all extents of a program's arrays."""
    most = REGISTERS // (2 * count + 1) // (1 if single else 2)
    return 1 if n < CROWD else 2 ** (most.bit_length() - 1)


@triton.constexpr_function
def largest(dtype):
    return 1.7976931348623157e308 if dtype == tl.float64 else 3.4028234663852886e38


@triton.constexpr_function
def threshold(dtype):
    return 2.0**-511 if dtype == tl.float64 else 2.0**-63


@triton.jit
def coordinates(points, n, d, i, first, COUNT: tl.constexpr):
    """Load COUNT coordinates of points from `first` on, as an array for each; those past the last are zero."""
    loaded = ()
    for k in tl.static_range(COUNT):
        loaded += (tl.load(points + i * d + first + k, mask=(i < n) & (first + k < d), other=0),)
    return loaded


@triton.jit
def squared_distances(x, data, n, m, d, i, j, scale, first, here, there, ALONE: tl.constexpr, COUNT: tl.constexpr):
    q2 = tl.zeros((i.shape[0], j.shape[1]), scale.dtype)
    for k in tl.static_range(COUNT):
        q = (there[k] - here[k]) * scale
        q2 = tl.fma(q, q, q2)
    if not ALONE:
        for start in range(0, d, COUNT):
            if start != first:
                others, theirs = coordinates(x, n, d, i, start, COUNT), coordinates(data, m, d, j, start, COUNT)
                for k in tl.static_range(COUNT):
                    q = (theirs[k] - others[k]) * scale
                    q2 = tl.fma(q, q, q2)
    return q2


@triton.jit
def sums(
    x,
    data,
    n,
    m,
    d,
    i,
    scale,
    first,
    here,
    nearest,
    KERNEL: tl.constexpr,
    ALONE: tl.constexpr,
    DATA: tl.constexpr,
    COUNT: tl.constexpr,
):
    """Return the sums of the weights of each point, relative to its nearest datum's, and of the weighted differences."""
    total = tl.zeros((i.shape[0], DATA), scale.dtype)
    moved = ()
    for _ in tl.static_range(COUNT):
        moved += (total,)
    for start in range(0, m, DATA):
        j = start + tl.arange(0, DATA)[None, :].to(tl.int64)
        there = coordinates(data, m, d, j, first, COUNT)
        q2 = squared_distances(x, data, n, m, d, i, j, scale, first, here, there, ALONE, COUNT)
        if KERNEL == GAUSSIAN:
            w = tl.exp2(-q2 if nearest is None else nearest - tl.minimum(q2, largest(scale.dtype)))
        elif KERNEL == TRIANGULAR:
            w = tl.maximum(1 - (tl.sqrt(q2) if scale.dtype == tl.float64 else tl.sqrt_rn(q2)), 0)
        elif KERNEL == EPANECHNIKOV:
            w = tl.maximum(1 - q2, 0)
        else:
            w = (q2 <= 1).to(scale.dtype)
        w = tl.where(j < m, w, 0)
        total += w
        further = ()
        for k in tl.static_range(COUNT):
            further += (tl.fma(w, there[k] - here[k], moved[k]),)
        moved = further
    together = ()
    for k in tl.static_range(COUNT):
        together += (tl.sum(moved[k], axis=1)[:, None],)
    return tl.sum(total, axis=1)[:, None], together


@triton.jit
def move(y, n, d, i, first, here, total, moved, mask, COUNT: tl.constexpr):
    for k in tl.static_range(COUNT):
        shift = moved[k] / total if total.dtype == tl.float64 else tl.div_rn(moved[k], total)
        there = tl.where(total > 0, here[k] + shift, here[k])
        tl.store(y + i * d + first + k, there, mask=mask & (i < n) & (first + k < d))


@triton.jit(do_not_specialize=["bits"])
def step(
    x,
    data,
    y,
    n,
    m,
    d,
    bits,
    KERNEL: tl.constexpr,
    ALONE: tl.constexpr,
    POINTS: tl.constexpr,
    DATA: tl.constexpr,
    COUNT: tl.constexpr,
):
    # The bits of the scale, since a float argument would be float32.
    scale = bits.to(tl.float64, bitcast=True) if x.dtype.element_ty == tl.float64 else bits.to(tl.float32, bitcast=True)
    runs = tl.cdiv(d, COUNT)
    first = tl.program_id(0) % runs * COUNT  # of the coordinates that this program moves
    i = (tl.program_id(0) // runs).to(tl.int64) * POINTS + tl.arange(0, POINTS)[:, None]
    here = coordinates(x, n, d, i, first, COUNT)
    total, moved = sums(x, data, n, m, d, i, scale, first, here, None, KERNEL, ALONE, DATA, COUNT)
    if KERNEL != GAUSSIAN:
        move(y, n, d, i, first, here, total, moved, i < n, COUNT)
    else:
        light = total < threshold(scale.dtype)
        move(y, n, d, i, first, here, total, moved, ~light, COUNT)
        if tl.min(total) < threshold(scale.dtype):
            nearest = tl.full((POINTS, DATA), largest(scale.dtype), scale.dtype)
            for start in range(0, m, DATA):
                j = tl.minimum(start + tl.arange(0, DATA)[None, :].to(tl.int64), m - 1)
                there = coordinates(data, m, d, j, first, COUNT)
                nearest = tl.minimum(nearest, squared_distances(x, data, n, m, d, i, j, scale, first, here, there, ALONE, COUNT))
            nearest = tl.min(nearest, axis=1)[:, None]
            total, moved = sums(x, data, n, m, d, i, scale, first, here, nearest, KERNEL, ALONE, DATA, COUNT)
            move(y, n, d, i, first, here, total, moved, light, COUNT)


@register(
    "meanshift_step",
    "triton",
    arrays="torch",
    requires=("triton", "torch"),
    device="cuda",
    rank=60,
    limits={"weights": (None,)},
)
def meanshift_step(x, bandwidth, data, kernel, weights=None):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not y.numel():
        return y
    (n, d), m = x.shape, data.shape[0]
    scale = (math.sqrt(math.log2(math.e) / 2) if kernel == "gaussian" else 1) / bandwidth
    single = x.dtype is torch.float32
    bits = int(np.float32(scale).view(np.int32) if single else np.float64(scale).view(np.int64))
    count = min(d, NARROW)
    points = points_per_thread(n, count, single) * WARPS
    with _one_at_a_time, torch.cuda.device_of(x):
        step[(triton.cdiv(n, points) * triton.cdiv(d, count),)](
            x.contiguous(),
            data.contiguous(),
            y,
            n,
            m,
            d,
            bits,
            KERNELS.index(kernel),
            d <= count,
            points,
            LANES,
            count,
            num_warps=WARPS,
        )
    return y
