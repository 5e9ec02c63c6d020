"""softmax in Triton: a program computes some rows, in registers where a row fits a block, else in two passes over its blocks.

The first of the passes keeps the largest entry so far, and a sum that is scaled to each new one. float16 and bfloat16 are
computed with in float32, and rounded once.

References
----------
Milakov and Gimelshein 2018, Online normalizer calculation for softmax, section 3.
"""

import threading

import torch
import triton
import triton.language as tl

from registry import register

INTERPRETED = triton.knobs.runtime.interpret  # on the CPU: small blocks, and bfloat16 entries converted to float32
BLOCKS = {16: (4, 1)} if INTERPRETED else {32: (32, 4), 256: (4, 4), 1024: (1, 4), 4096: (1, 8)}  # rows and warps of a program

_one_at_a_time = threading.Lock()  # the interpreter keeps its language in globals; a launch does not wait for the device


@triton.jit
def exp(a):
    """Return e^a for a <= 0.

    In float32 the device has powers of 2 alone, and the product a log2(e) is rounded to too few digits. What that leaves is
    computed with tl.fma, and so is the second part of log2(e).
    """
    if a.dtype == tl.float64:
        return tl.exp(a)
    product = a * 1.4426950216293335
    left = tl.fma(a, tl.full(a.shape, 1.925962991126617e-08, tl.float32), tl.fma(a, 1.4426950216293335, -product))
    power = tl.exp2(product)
    return tl.where(a < -200, 0, tl.fma(power, left * 0.6931471805599453, power))  # also of -inf, where nothing is left


@triton.jit(do_not_specialize=["count"])
def softmax_of_rows(x, y, count, n, ROWS: tl.constexpr, BLOCK: tl.constexpr, FITS: tl.constexpr):
    wide = tl.float64 if x.dtype.element_ty == tl.float64 else tl.float32
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    j = tl.arange(0, BLOCK)[None, :].to(tl.int64)
    hidden = -float("inf")
    if FITS:
        tile = tl.load(x + i * n + j, mask=(i < count) & (j < n), other=hidden).to(wide)
        weights = exp(tile - tl.max(tile, axis=1)[:, None])
        total = tl.sum(weights, axis=1)[:, None]
        factor = 1 / total if wide == tl.float64 else tl.div_rn(tl.full(total.shape, 1, wide), total)
        tl.store(y + i * n + j, (weights * factor).to(y.dtype.element_ty), mask=(i < count) & (j < n))
    else:
        most = tl.full((ROWS, 1), hidden, wide)
        total = tl.zeros((ROWS, 1), wide)
        for start in range(0, n, BLOCK):
            tile = tl.load(x + i * n + start + j, mask=(i < count) & (start + j < n), other=hidden).to(wide)
            larger = tl.maximum(most, tl.max(tile, axis=1)[:, None])
            shift = tl.where(larger == hidden, 0, larger)  # while all are hidden, so that no -inf is subtracted from -inf
            total = total * exp(most - shift) + tl.sum(exp(tile - shift), axis=1)[:, None]
            most = larger
        factor = 1 / total if wide == tl.float64 else tl.div_rn(tl.full(total.shape, 1, wide), total)
        for start in range(0, n, BLOCK):
            tile = tl.load(x + i * n + start + j, mask=(i < count) & (start + j < n), other=hidden).to(wide)
            weights = exp(tile - most)
            tl.store(y + i * n + start + j, (weights * factor).to(y.dtype.element_ty), mask=(i < count) & (start + j < n))


@register(
    "softmax",
    "triton",
    arrays="torch",
    requires=("triton", "torch"),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    batches=True,
    rank=70,
)
def softmax(x):
    if INTERPRETED and x.dtype is torch.bfloat16:
        return softmax(x.float()).to(x.dtype)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not y.numel():
        return y
    n = x.shape[-1]
    count, block = y.numel() // n, next((block for block in BLOCKS if n <= block), max(BLOCKS))
    rows, warps = BLOCKS[block]
    with _one_at_a_time, torch.cuda.device_of(x):
        softmax_of_rows[(triton.cdiv(count, rows),)](x.contiguous(), y, count, n, rows, block, n <= block, num_warps=warps)
    return y
