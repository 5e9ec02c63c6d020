"""pairwise_distance in Triton: a program computes a tile of the result, one coordinate of all its points after the other.

Points lie coordinate by coordinate, so that the numbers of a load are adjacent. float16 and bfloat16 are computed in float32 and
rounded once. Where a sum of squares is near the ends of the range, or beyond, or 0, terms may have been lost: the program then
goes through the coordinates again, for the largest difference of each pair and for squares in units of it.
"""

import threading

import torch
import triton
import triton.language as tl

from kernels.pairwise_distance import METRICS
from registry import register

INTERPRETED = triton.knobs.runtime.interpret  # on the CPU: a small tile, and bfloat16 points converted to float32
TOP, LEFT, WARPS = (8, 16, 8) if INTERPRETED else (32, 64, 8)
EUCLIDEAN, SQEUCLIDEAN, CITYBLOCK, CHEBYSHEV = map(tl.constexpr, range(len(METRICS)))

_one_at_a_time = threading.Lock()  # the interpreter keeps its language in globals; a launch does not wait for the device


@triton.constexpr_function
def largest_of(dtype):
    return 1.7976931348623157e308 if dtype == tl.float64 else 3.4028234663852886e38


@triton.constexpr_function
def least_of(dtype):
    """Above this, terms that vanish are no digit of a sum."""
    return 2.0**-943 if dtype == tl.float64 else 2.0**-90


@triton.jit
def differences(x, y, n, m, i, j, k, WIDE: tl.constexpr):
    """Load coordinate k of the points i and j, and return the sizes of their differences."""
    here, there = tl.load(x + k * n + i, mask=i < n, other=0).to(WIDE), tl.load(y + k * m + j, mask=j < m, other=0).to(WIDE)
    return tl.abs(here - there)


@triton.jit
def fill(x, y, distances, n, m, d, METRIC: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr):
    DOUBLE: tl.constexpr = distances.dtype.element_ty == tl.float64
    WIDE: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    across = tl.cdiv(m, LEFT)
    i = (tl.program_id(0) // across).to(tl.int64) * TOP + tl.arange(0, TOP)[:, None]
    j = (tl.program_id(0) % across).to(tl.int64) * LEFT + tl.arange(0, LEFT)[None, :]
    inside = (i < n) & (j < m)
    total = tl.zeros((TOP, LEFT), WIDE)
    for k in range(d):
        apart = differences(x, y, n, m, i, j, k, WIDE)
        if METRIC == CITYBLOCK:
            total += apart
        elif METRIC == CHEBYSHEV:
            total = tl.where((apart > total) | (apart != apart), apart, total)  # NaN if either is
        else:
            total += apart * apart
    if METRIC == EUCLIDEAN:
        certain = (total >= least_of(WIDE)) & (total <= largest_of(WIDE))
        again = inside & ~certain
        total = tl.sqrt(total) if DOUBLE else tl.sqrt_rn(total)
        if tl.max(again.to(tl.float32)) > 0:
            unit = tl.zeros((TOP, LEFT), WIDE)
            for k in range(d):
                unit = tl.maximum(unit, differences(x, y, n, m, i, j, k, WIDE))
            unit = tl.where((unit > 0) & (unit <= largest_of(WIDE)), unit, 1.0)
            scaled = tl.zeros((TOP, LEFT), WIDE)
            for k in range(d):
                apart = differences(x, y, n, m, i, j, k, WIDE)
                apart = apart / unit if DOUBLE else tl.div_rn(apart, unit)
                scaled += apart * apart
            scaled = unit * (tl.sqrt(scaled) if DOUBLE else tl.sqrt_rn(scaled))
            total = tl.where(again, scaled, total)
    tl.store(distances + i * m + j, total.to(distances.dtype.element_ty), mask=inside)


@register(
    "pairwise_distance",
    "triton",
    arrays="torch",
    requires=("triton", "torch"),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    rank=65,
)
def pairwise_distance(x, y, metric):
    if INTERPRETED and x.dtype is torch.bfloat16:
        return pairwise_distance(x.float(), y.float(), metric).to(x.dtype)
    (n, d), m = x.shape, y.shape[0]
    distances = x.new_empty((n, m))
    if not distances.numel():
        return distances
    with _one_at_a_time, torch.cuda.device_of(x):
        fill[(triton.cdiv(n, TOP) * triton.cdiv(m, LEFT),)](
            x.T.contiguous(), y.T.contiguous(), distances, n, m, d, METRICS.index(metric), TOP, LEFT, num_warps=WARPS
        )
    return distances
