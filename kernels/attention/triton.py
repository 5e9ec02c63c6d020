"""attention in Triton: a program keeps a tile of queries and goes through the keys, with a running softmax; no n x m matrix.

Scores and sums are of float32, or of float64 for float64. Weights are rounded to float16 or bfloat16 where the values are of
that, so that both products run on tensor cores; float32 is multiplied as IEEE float32, without them. Keys of more than DEPTH
entries are multiplied part by part, and where values have more than WIDTH columns other programs take the next ones. A weight
is 2^(s - largest), for scores times log2(e) / sqrt(d).

References
----------
Dao 2023, FlashAttention-2: faster attention with better parallelism and work partitioning, algorithm 1.
"""

import math
import threading

import numpy as np
import torch
import triton
import triton.language as tl

from registry import register

INTERPRETED = triton.knobs.runtime.interpret  # on the CPU: small tiles, and bfloat16 operands converted to float32
LEAST, DEPTH, WIDTH = 16, 128, 128  # the least extent of a factor, and the most of a key's and of a value's entries in a tile
TILES = {torch.float16: (64, 64), torch.bfloat16: (64, 64), torch.float32: (32, 16), torch.float64: (16, 16)}  # queries, keys
STAGES = 2

_one_at_a_time = threading.Lock()  # the interpreter keeps its language in globals; a launch does not wait for the device


@triton.jit
def exp2(t):
    """Return 2^t for t <= 0. That of float64 branches where the result is subnormal: there it is 0."""
    if t.dtype == tl.float64:
        return tl.where(t < -1021, 0, tl.exp2(tl.maximum(t, -1021)))
    return tl.exp2(t)


@triton.jit(do_not_specialize=["last", "bits"])
def attend(
    q, k, v, y, n, m, d, e, last, bits,
    QUERIES: tl.constexpr, KEYS: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    wide = tl.float64 if y.dtype.element_ty == tl.float64 else tl.float32
    scale = bits.to(wide, bitcast=True)  # its bits, since a float argument would be float32
    across = tl.cdiv(e, WIDTH)
    top = (tl.program_id(0) // across).to(tl.int64) * QUERIES
    i = top + tl.arange(0, QUERIES)[:, None]
    column = tl.program_id(0) % across * WIDTH + tl.arange(0, WIDTH)[None, :]
    entry = tl.arange(0, DEPTH)
    queries = tl.load(q + i * d + entry[None, :], mask=(i < n) & (entry[None, :] < d), other=0)
    largest = tl.full((QUERIES, 1), -float("inf"), wide)
    total = tl.zeros((QUERIES, 1), wide)
    moved = tl.zeros((QUERIES, WIDTH), wide)
    seen = tl.minimum(i + last, m)
    for start in range(0, tl.minimum(tl.minimum(top + QUERIES, n) - 1 + last, m), KEYS):
        j = (start + tl.arange(0, KEYS)).to(tl.int64)
        keys = tl.load(k + j[None, :] * d + entry[:, None], mask=(j[None, :] < m) & (entry[:, None] < d), other=0)
        scores = tl.dot(queries, keys, input_precision="ieee", out_dtype=wide)
        for first in range(DEPTH, d, DEPTH):
            part = first + entry
            further = tl.load(q + i * d + part[None, :], mask=(i < n) & (part[None, :] < d), other=0)
            keys = tl.load(k + j[None, :] * d + part[:, None], mask=(j[None, :] < m) & (part[:, None] < d), other=0)
            scores = tl.dot(further, keys, scores, input_precision="ieee", out_dtype=wide)
        scores = tl.where(j[None, :] < seen, scores * scale, -float("inf"))
        now = tl.maximum(largest, tl.max(scores, axis=1)[:, None])
        shift = tl.where(now == -float("inf"), 0, now)  # of queries that have seen no key yet
        kept, weights = exp2(largest - shift), exp2(scores - shift)
        total = total * kept + tl.sum(weights, axis=1)[:, None]
        values = tl.load(v + j[:, None] * e + column, mask=(j[:, None] < m) & (column < e), other=0)
        moved = tl.dot(weights.to(values.dtype), values, moved * kept, input_precision="ieee", out_dtype=wide)
        largest = now
    total = tl.where(total == 0, 1, total)
    mean = moved / total if wide == tl.float64 else tl.div_rn(moved, tl.broadcast_to(total, moved.shape))
    tl.store(y + i * e + column, mean.to(y.dtype.element_ty), mask=(i < n) & (column < e))


def tile_of(dtype, d, e):
    """Return the extents of a program's tiles: queries, keys, and entries of keys and of values."""
    queries, keys = (LEAST, LEAST) if INTERPRETED else TILES[dtype]
    most = (LEAST, LEAST) if INTERPRETED else (DEPTH, WIDTH)
    return queries, keys, *(min(limit, max(LEAST, triton.next_power_of_2(x))) for limit, x in zip(most, (d, e), strict=True))


def warps_of(depth, width):
    """Return the warps of a program: more where tiles are wide, so that no register spills."""
    return 4 if max(depth, width) <= 64 else 8


@register("attention", "triton", arrays="torch", requires=("triton", "torch"), device="cuda",
          dtypes=("float16", "bfloat16", "float32", "float64"), precision="fused", rank=56)  # fmt: skip
def attention(q, k, v, causal):
    if INTERPRETED and q.dtype is torch.bfloat16:
        return attention(q.float(), k.float(), v.float(), causal).to(q.dtype)
    (n, d), (m, e) = q.shape, v.shape
    y = q.new_empty((n, e))
    if not y.numel():
        return y
    scale = math.log2(math.e) / math.sqrt(max(1, d))
    bits = int(np.float64(scale).view(np.int64) if q.dtype is torch.float64 else np.float32(scale).view(np.int32))
    queries, keys, depth, width = tile_of(q.dtype, d, e)
    with _one_at_a_time, torch.cuda.device_of(q):
        attend[(triton.cdiv(n, queries) * triton.cdiv(e, width),)](
            q.contiguous(), k.contiguous(), v.contiguous(), y, n, m, d, e, m - n + 1 if causal else m, bits,
            queries, keys, depth, width, num_warps=warps_of(depth, width), num_stages=STAGES,
        )  # fmt: skip
    return y
