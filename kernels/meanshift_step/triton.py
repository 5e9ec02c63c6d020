"""meanshift_step in Triton: a program keeps a few points and goes through the data, as flash attention does; no n x m matrix.

Arrays in a program are (coordinates, points, data): the first axis lies within a thread, so that both sums over pairs stay
in registers until the end. A gaussian takes a first pass for the nearest data, whose weight the others are relative to; its
weight is exp2(-q^2), with distances in bandwidths times sqrt(log2(e) / 2). More than 8 coordinates are summed 8 at a time.
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
NARROW = 8
DATA = 16 if INTERPRETED else 64
ENTRIES = 512 if INTERPRETED else 2048  # coordinates x points x data of a program, in float32

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = map(tl.constexpr, range(len(KERNELS)))

_one_at_a_time = threading.Lock()  # the interpreter keeps its language in globals; a launch does not wait for the device


@triton.jit
def load(points, n, d, i, k):
    return tl.load(points + i * d + k, mask=(i < n) & (k < d), other=0)


@triton.jit
def squared_distances(x, data, n, m, d, i, j, scale, own, difference, ALONE: tl.constexpr, COORDINATES: tl.constexpr):
    q = difference * scale
    q2 = tl.sum(q * q, axis=0)
    if not ALONE:
        for first in range(0, d, COORDINATES):
            if first != own:
                k = first + tl.arange(0, COORDINATES)[:, None, None]
                q = (load(data, m, d, j, k) - load(x, n, d, i, k)) * scale
                q2 += tl.sum(q * q, axis=0)
    largest: tl.constexpr = 1.7976931348623157e308 if q2.dtype == tl.float64 else 3.4028234663852886e38
    return tl.minimum(q2, largest)


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
    COORDINATES: tl.constexpr,
):
    dtype = x.dtype.element_ty
    # The bits of the scale, since a float argument would be float32.
    scale = bits.to(tl.float64, bitcast=True) if dtype == tl.float64 else bits.to(tl.float32, bitcast=True)
    runs = tl.cdiv(d, COORDINATES)
    own = tl.program_id(0) % runs * COORDINATES  # the first of the coordinates that this program moves
    i = (tl.program_id(0) // runs).to(tl.int64) * POINTS + tl.arange(0, POINTS)[None, :, None]
    k = own + tl.arange(0, COORDINATES)[:, None, None]
    along = tl.arange(0, DATA)[None, None, :].to(tl.int64)
    here = load(x, n, d, i, k)
    nearest = tl.full((POINTS, DATA), float("inf"), dtype)
    if KERNEL == GAUSSIAN:
        for start in range(0, m, DATA):
            j = start + along
            difference = load(data, m, d, j, k) - here
            q2 = squared_distances(x, data, n, m, d, i, j, scale, own, difference, ALONE, COORDINATES)
            nearest = tl.minimum(nearest, tl.where(start + tl.arange(0, DATA)[None, :] < m, q2, float("inf")))
    nearest = tl.min(nearest, axis=1)[:, None]
    total = tl.zeros((POINTS, DATA), dtype)
    moved = tl.zeros((COORDINATES, POINTS, DATA), dtype)
    for start in range(0, m, DATA):
        j = start + along
        difference = load(data, m, d, j, k) - here
        q2 = squared_distances(x, data, n, m, d, i, j, scale, own, difference, ALONE, COORDINATES)
        if KERNEL == GAUSSIAN:
            w = tl.exp2(nearest - q2)
        elif KERNEL == TRIANGULAR:
            w = tl.maximum(1 - (tl.sqrt(q2) if dtype == tl.float64 else tl.sqrt_rn(q2)), 0)
        elif KERNEL == EPANECHNIKOV:
            w = tl.maximum(1 - q2, 0)
        else:
            w = (q2 <= 1).to(dtype)
        w = tl.where(start + tl.arange(0, DATA)[None, :] < m, w, 0)
        total += w
        moved += w[None] * difference
    total = tl.sum(total, axis=1)[None, :, None]
    moved = tl.sum(moved, axis=2, keep_dims=True)
    moved = moved / total if dtype == tl.float64 else tl.div_rn(moved, total)
    tl.store(y + i * d + k, tl.where(total > 0, here + moved, here), mask=(i < n) & (k < d))


@register("meanshift_step", "triton", arrays="torch", requires=("triton", "torch"), device="cuda", rank=60)
def meanshift_step(x, bandwidth, data, kernel):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not y.numel():
        return y
    (n, d), m = x.shape, data.shape[0]
    scale = (math.sqrt(math.log2(math.e) / 2) if kernel == "gaussian" else 1) / bandwidth
    single = x.dtype is torch.float32
    bits = int(np.float32(scale).view(np.int32) if single else np.float64(scale).view(np.int64))
    coordinates = triton.next_power_of_2(min(d, NARROW))
    points = max(1, ENTRIES // (1 if single else 2) // DATA // coordinates)
    programs = triton.cdiv(n, points) * triton.cdiv(d, coordinates)
    with _one_at_a_time, torch.cuda.device_of(x):
        step[(programs,)](
            x.contiguous(),
            data.contiguous(),
            y,
            n,
            m,
            d,
            bits,
            KERNELS.index(kernel),
            d <= coordinates,
            points,
            DATA,
            coordinates,
        )
    return y
