"""standardize in Triton in three launches: the ends of each column's range, its mean and squares about the mean, and the result.

A program takes a tile of adjacent columns, and goes through a part of the rows, in two passes for the squares: the second one
finds the rows in the cache. All numbers are differences from the middle of the column's range, over the largest of them. What the
parts have is merged by Chan's formula in a fixed order. Half precision is computed with in float32.

References
----------
Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance: analysis and recommendations, (2.1).
"""

import threading

import torch
import triton
import triton.language as tl

from registry import register

INTERPRETED = triton.knobs.runtime.interpret
ROWS, COLUMNS, WARPS = (8, 8, 4) if INTERPRETED else (32, 32, 4)  # of a tile
HEIGHT, PARTS = (16, 3) if INTERPRETED else (512, 64)  # the least rows of a part, and the most parts

_one_at_a_time = threading.Lock()  # the interpreter keeps its language in globals; a launch does not wait for the device


@triton.jit
def place(n, d, parts, COLUMNS: tl.constexpr):
    """Return a program's columns, its part, and the first and the end of its rows."""
    part = tl.program_id(0) % parts
    column = tl.program_id(0) // parts * COLUMNS + tl.arange(0, COLUMNS)
    return column, part, (part.to(tl.int64) * n // parts).to(tl.int32), ((part + 1).to(tl.int64) * n // parts).to(tl.int32)


@triton.jit
def tile(x, d, top, stop, column, wide: tl.constexpr, ROWS: tl.constexpr):
    """Return a tile, which of its entries there are, and where they stand."""
    row = top + tl.arange(0, ROWS)
    there = (row < stop)[:, None] & (column < d)[None, :]
    at = row[:, None].to(tl.int64) * d + column[None, :]
    return tl.load(x + at, mask=there, other=0).to(wide), there, at


@triton.jit
def over(a, b):
    return a / b if a.dtype == tl.float64 else tl.div_rn(a, b)


@triton.jit
def root(a):
    return tl.sqrt(a) if a.dtype == tl.float64 else tl.sqrt_rn(a)


@triton.jit(do_not_specialize=["n", "d", "parts"])
def find(x, ends, n, d, parts, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    wide: tl.constexpr = ends.dtype.element_ty
    column, part, start, stop = place(n, d, parts, COLUMNS)
    low, high = tl.full((ROWS, COLUMNS), float("inf"), wide), tl.full((ROWS, COLUMNS), float("-inf"), wide)
    for top in range(start, stop, ROWS):
        entries, there, _ = tile(x, d, top, stop, column, wide, ROWS)
        low = tl.minimum(low, tl.where(there, entries, float("inf")))
        high = tl.maximum(high, tl.where(there, entries, float("-inf")))
    at = part * d + column
    tl.store(ends + at, tl.min(low, axis=0), mask=column < d)
    tl.store(ends + parts * d + at, tl.max(high, axis=0), mask=column < d)


@triton.jit
def frame(ends, d, parts, column):
    """Return the middle of each column's range, the largest difference from it, and whether there is one."""
    at = tl.minimum(column, d - 1)
    low, high = tl.load(ends + at), tl.load(ends + parts * d + at)
    for part in range(1, parts):
        low = tl.minimum(low, tl.load(ends + part * d + at))
        high = tl.maximum(high, tl.load(ends + (parts + part) * d + at))
    middle = low * 0.5 + high * 0.5
    return middle[None, :], tl.where(low == high, 1, tl.maximum(high - middle, middle - low))[None, :], (low != high)[None, :]


@triton.jit(do_not_specialize=["n", "d", "parts"])
def summarize(x, ends, moments, n, d, parts, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    wide: tl.constexpr = ends.dtype.element_ty
    column, part, start, stop = place(n, d, parts, COLUMNS)
    middle, largest, _varies = frame(ends, d, parts, column)
    total = tl.zeros((ROWS, COLUMNS), wide)
    for top in range(start, stop, ROWS):
        entries, there, _ = tile(x, d, top, stop, column, wide, ROWS)
        total += tl.where(there, over(entries - middle, largest), 0)
    mean = over(tl.sum(total, axis=0), tl.zeros((COLUMNS,), wide) + (stop - start))[None, :]
    squares = tl.zeros((ROWS, COLUMNS), wide)
    for top in range(start, stop, ROWS):
        entries, there, _ = tile(x, d, top, stop, column, wide, ROWS)
        apart = tl.where(there, over(entries - middle, largest) - mean, 0)
        squares += apart * apart
    at = part * d + column
    tl.store(moments + at[None, :], mean, mask=(column < d)[None, :])
    tl.store(moments + parts * d + at, tl.sum(squares, axis=0), mask=column < d)


@triton.jit(do_not_specialize=["n", "d", "parts"])
def apply(x, ends, moments, y, n, d, parts, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    wide: tl.constexpr = ends.dtype.element_ty
    column, _, start, stop = place(n, d, parts, COLUMNS)
    middle, largest, varies = frame(ends, d, parts, column)
    count, at = tl.zeros((1, COLUMNS), wide), tl.minimum(column, d - 1)[None, :]
    mean, squares = tl.zeros((1, COLUMNS), wide), tl.zeros((1, COLUMNS), wide)
    for part in range(0, parts):
        more = (((part + 1) * n.to(tl.int64) // parts) - part * n.to(tl.int64) // parts).to(wide)
        distance = tl.load(moments + part * d + at) - mean
        share = over(more + tl.zeros_like(count), count + more)
        mean += distance * share
        squares += tl.load(moments + (parts + part) * d + at) + distance * distance * (count * share)
        count += more
    factor = tl.where(varies, root(over(count, squares)), 0)  # a NaN among equal numbers still makes all NaN
    for top in range(start, stop, ROWS):
        entries, there, places = tile(x, d, top, stop, column, wide, ROWS)
        standardized = (over(entries - middle, largest) - mean) * factor
        tl.store(y + places, standardized.to(y.dtype.element_ty), mask=there)


@register(
    "standardize",
    "triton",
    arrays="torch",
    requires=("triton", "torch"),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=70,
)
def standardize(x):
    if INTERPRETED and x.dtype is torch.bfloat16:
        return standardize(x.float()).to(x.dtype)
    y = x.new_empty(x.shape)
    if not y.numel():
        return y
    (n, d), x = x.shape, x.contiguous()
    parts = min(PARTS, triton.cdiv(n, HEIGHT))
    ends, moments = x.new_empty((2, 2, parts, d), dtype=torch.float64 if x.dtype is torch.float64 else torch.float32)
    grid, shape = (triton.cdiv(d, COLUMNS) * parts,), {"ROWS": ROWS, "COLUMNS": COLUMNS, "num_warps": WARPS}
    with _one_at_a_time, torch.cuda.device_of(x):
        find[grid](x, ends, n, d, parts, **shape)
        summarize[grid](x, ends, moments, n, d, parts, **shape)
        apply[grid](x, ends, moments, y, n, d, parts, **shape)
    return y
