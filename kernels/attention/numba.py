"""attention compiled: tiles of queries against tiles of keys in registers, a softmax over a few hundred keys at a time in cache.

A tile is a few queries by three vectors of keys, or of values. The keys are packed into panels as wide as a tile, a row for each
of their entries. A few queries go through a block of keys at a time: products give their scores, which become weights relative
to the largest so far, and these times the values are added to the queries' sums. Queries are multiplied by log2(e) / sqrt(d) when
they are laid out, so that a weight is 2^(s - largest). What a query does not see, and what is past the last key, scores -inf.

References
----------
Dao 2023, FlashAttention-2: faster attention with better parallelism and work partitioning, algorithm 1. Goto and van de Geijn
2008, Anatomy of high-performance matrix multiplication.
"""

import functools
import math
import platform

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, exp2_near_0, larger, largest_of, splat, times_power_of_two, total_of, where_above
from kernels._compute.simd_points import origin
from kernels._compute.simd_tiles import add_outer, add_product, load_tile, store_tile
from kernels._compute.threads import parallel_for
from registry import register

TILE_ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # of 32 registers, or 16
TILE_VECTORS = 3
LIKE_TILE, LIKE_ROW = (0,) * (TILE_ROWS * TILE_VECTORS), (0,) * TILE_VECTORS  # tuples whose lengths tell the compiler the shapes
PANELS = 8  # panels in a block of keys
GRAIN = 1_000_000  # products that are worth waking a thread
LEAST = {4: -125.0, 8: -1021.0}  # powers of two below these count as zero
ROUNDER = {4: 1.5 * 2.0**23, 8: 1.5 * 2.0**52}  # a number that rounds what it is added to to a whole one, in its low bits


@jit
def attend(rows, panels, v, shift, causal, like_block, like_few, c, y):
    """Write the means for some queries.

    Shapes: rows (n, d), n padded to whole tiles; panels (panels d, width); v (m, e), e padded to whole vectors; y as n and e are.
    Query i sees keys j <= i + shift where `causal`.
    """
    lanes, (n, m, d) = BYTES // rows.itemsize, (len(y), len(v), rows.shape[1])
    width, zero, minus_infinity = TILE_VECTORS * lanes, splat(c[0] - c[0]), rows.dtype.type(-np.inf)
    least, rounder = splat(c[0]), splat(c[1])
    tile = np.empty((TILE_ROWS, PANELS * width), rows.dtype)
    largest, totals = np.full(len(rows), minus_infinity), np.zeros(len(rows), rows.dtype)
    sums = np.zeros((len(rows), v.shape[1]), rows.dtype)
    for near in range(0, m, PANELS * width):
        for i in range(0, len(rows), TILE_ROWS):
            count = min(PANELS * width, m - near)
            if causal:
                count = min(count, min(i + TILE_ROWS, n) + shift - near)
                if count <= 0:
                    continue
            used = -(-count // lanes) * lanes
            for j in range(0, used, width):
                scores = origin(rows, LIKE_TILE)
                panel = (near + j) // width * d
                for p in range(d):
                    scores = add_outer(scores, rows, i, p, load_tile(panels, LIKE_ROW, LIKE_ROW, panel + p, 0))
                store_tile(tile, LIKE_ROW, 0, j, scores)
            for r in range(TILE_ROWS):
                seen = max(0, min(count, i + r + shift + 1 - near)) if causal else count
                for j in range(seen, used):
                    tile[r, j] = minus_infinity
                most = load_tile(tile, (0,), (0,), r, 0)[0]
                for j in range(lanes, used, lanes):
                    most = larger(most, load_tile(tile, (0,), (0,), r, j)[0])
                before = largest[i + r]
                now = max(before, largest_of(most))
                if now == minus_infinity:
                    for j in range(used):
                        tile[r, j] = 0
                    continue
                largest[i + r] = now
                total, one = zero, splat(now)
                for j in range(0, used, lanes):
                    t = load_tile(tile, (0,), (0,), r, j)[0] - one
                    whole = t + rounder
                    w = where_above(t, least, times_power_of_two(exp2_near_0(t - (whole - rounder)), whole))
                    total = total + w
                    store_tile(tile, (0,), r, j, (w,))
                if now > before:
                    kept = rows.dtype.type(0) if before == minus_infinity else np.exp2(before - now)
                    totals[i + r] *= kept
                    for p in range(v.shape[1]):
                        sums[i + r, p] *= kept
                totals[i + r] += total_of(total)
            for p in range(0, v.shape[1], len(like_few) * lanes):
                moved = load_tile(sums, like_block, like_few, i, p)
                for j in range(count):
                    moved = add_product(moved, tile, j, load_tile(v, like_few, like_few, near + j, p), v, i, p)
                store_tile(sums, like_few, i, p, moved)
    for i in range(n):
        scale = 1 / totals[i] if totals[i] > 0 else totals[i]  # a query that saw no key has 0
        for p in range(y.shape[1]):
            y[i, p] = sums[i, p] * scale


@jit
def attend_each(rows, panels, v, causal, like_block, like_few, c, y, start, stop):
    """Do the same for tiles of queries from `start` to `stop`, counted through all of a batch."""
    tiles = rows.shape[1] // TILE_ROWS
    for at in range(start // tiles, -(-stop // tiles)):
        first, last = max(start - at * tiles, 0) * TILE_ROWS, min(stop - at * tiles, tiles) * TILE_ROWS
        shift = v.shape[1] - y.shape[1] + first
        attend(rows[at, first:last], panels[at], v[at], shift, causal, like_block, like_few, c, y[at, first:last])


def padded(x, rows, columns):
    """Return matrices with zeros up to so many rows and columns, or themselves."""
    if x.shape[1:] == (rows, columns):
        return x
    whole = np.zeros((len(x), rows, columns), x.dtype)
    whole[:, : x.shape[1], : x.shape[2]] = x
    return whole


@register("attention", "numba", requires=("numba",), layout="C", batches=True, rank=70)
def attention(q, k, v, causal):
    (n, d), (m, e), real, lanes = q.shape[-2:], v.shape[-2:], q.dtype.type, BYTES // q.itemsize
    batch = q.shape[:-2]
    if not batch == k.shape[:-2] == v.shape[:-2]:
        batch = np.broadcast_shapes(batch, k.shape[:-2], v.shape[:-2])
        q, k, v = (x if x.shape[:-2] == batch else np.broadcast_to(x, (*batch, *x.shape[-2:])).copy() for x in (q, k, v))
    y = np.zeros((*batch, n, e), q.dtype)
    if not (y.size and m):
        return y
    each = math.prod(batch)
    q, k, v = (x.reshape(each, *x.shape[-2:]) for x in (q, k, v))
    few, panel = 1 if e <= lanes else 2, TILE_VECTORS * lanes
    tall, deep, wide = (-(-extent // of) * of for extent, of in ((n, TILE_ROWS), (m, panel), (e, few * lanes)))
    rows = padded(q * real(math.log2(math.e) / math.sqrt(max(1, d))), tall, d)
    panels = padded(k, deep, d).reshape(-1, panel, d).transpose(0, 2, 1) if d else np.empty((0, 0, panel), k.dtype)
    work = functools.partial(
        attend_each, rows, np.ascontiguousarray(panels).reshape(each, -1, panel), padded(v, m, wide), causal,
        (0,) * (few * TILE_ROWS), (0,) * few, (real(LEAST[q.itemsize]), real(ROUNDER[q.itemsize])), y.reshape(each, n, e),
    )  # fmt: skip
    parallel_for(work, each * (tall // TILE_ROWS), 1 + GRAIN // (TILE_ROWS * m * (d + e)))
    return y
