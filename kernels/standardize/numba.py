"""standardize compiled: one pass over the rows for means and deviations, block by block in cache, and one that applies them.

In a block, a column's mean comes first, and then the squares of the differences from it; blocks are merged by Chan's formula.
All numbers are differences from the column's first entry. Parts of the rows, as many whatever the number of cores, are summed
in parallel and merged in order. Rows of few columns are taken several at a time, as one row of more columns. Where columns are
contiguous, each is taken by itself; what is small is copied so, since blocks cost more than the copy. Columns whose squares leave
the dtype's range go to `_numpy`.

References
----------
Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance: analysis and recommendations, (2.1).
"""

from functools import cache, partial

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, fma, load, splat, store, total_of
from kernels._compute.threads import parallel_for
from kernels.standardize._numpy import standardized
from registry import register

HEIGHT, WIDTH = 32, 1024  # a block's rows and columns, which stay in the second-level cache for its second pass
NARROW, LANES = 64, 16  # rows of fewer columns are taken several at a time: a multiple of so many, which fill whole registers
PARTS = 32  # of the rows
GRAIN = 2**17  # entries that are worth waking a thread
SMALL = 2**14  # entries that are copied so that columns are contiguous


@jit
def summarize(x, first, edges, mean, squares, largest, start, stop):
    """Compute, for some parts of the rows, each column's mean, its squares about the mean, and the largest of its differences."""
    width, one = x.shape[1], x.dtype.type(1)
    block_mean, block_squares = np.empty(WIDTH, x.dtype), np.empty(WIDTH, x.dtype)
    for part in range(start, stop):
        for left in range(0, width, WIDTH):
            right = min(left + WIDTH, width)
            origin, most = first[left:right], largest[part, left:right]
            so_far, about = mean[part, left:right], squares[part, left:right]
            so_far[:], about[:], most[:] = 0, 0, 0
            for top in range(edges[part], edges[part + 1], HEIGHT):
                bottom = min(top + HEIGHT, edges[part + 1])
                here, before = x.dtype.type(bottom - top), x.dtype.type(top - edges[part])
                block_mean[:], block_squares[:] = 0, 0
                for i in range(top, bottom):
                    row = x[i, left:right]
                    for j in range(len(row)):
                        apart = row[j] - origin[j]
                        size = abs(apart)
                        block_mean[j] += apart
                        most[j] = size if size > most[j] else most[j]
                for j in range(right - left):
                    block_mean[j] *= one / here
                for i in range(top, bottom):
                    row = x[i, left:right]
                    for j in range(len(row)):
                        apart = row[j] - origin[j] - block_mean[j]
                        block_squares[j] += apart * apart
                share, weight = here / (before + here), before * here / (before + here)
                for j in range(right - left):
                    moved = block_mean[j] - so_far[j]
                    so_far[j] += moved * share
                    about[j] += block_squares[j] + moved * moved * weight


@jit
def apply(x, first, mean, factor, y, start, stop):
    """Write some rows of the result."""
    for i in range(start, stop):
        row, out = x[i], y[i]
        for j in range(len(row)):
            out[j] = (row[j] - first[j] - mean[j]) * factor[j]


@jit(error_model="numpy")
def standardize_columns(x, y, least, left_out, start, stop):
    """Write some columns of the result, rows of x and y here; say which are left out, since their squares leave the range."""
    n, one, lanes = x.shape[1], x.dtype.type(1), BYTES // x.itemsize
    whole = n // (2 * lanes) * (2 * lanes)
    for j in range(start, stop):
        column, out, first = x[j], y[j], x[j, 0]
        origin = splat(first)
        even = odd = splat(x.dtype.type(0))
        for i in range(0, whole, 2 * lanes):
            even, odd = even + (load(column, i) - origin), odd + (load(column, i + lanes) - origin)
        mean = total_of(even + odd)
        for i in range(whole, n):
            mean += column[i] - first
        mean /= x.dtype.type(n)
        centre = splat(mean)
        even = odd = splat(x.dtype.type(0))
        for i in range(0, whole, 2 * lanes):
            here, next_ = load(column, i) - origin - centre, load(column, i + lanes) - origin - centre
            even, odd = fma(here, here, even), fma(next_, next_, odd)
        squares = total_of(even + odd)
        for i in range(whole, n):
            squares += (column[i] - first - mean) ** 2
        left_out[j] = not least < squares < np.inf
        factor = np.sqrt(x.dtype.type(n) / squares)
        if left_out[j] and first - first == 0:
            equal = True
            for i in range(n):
                equal &= column[i] == first
            if equal:
                left_out[j], mean, factor = False, one - one, one - one
        centre, times = splat(mean), splat(factor)
        for i in range(0, whole, lanes):
            store(out, i, (load(column, i) - origin - centre) * times)
        for i in range(whole, n):
            out[i] = (column[i] - first - mean) * factor


@cache
def compiled(function, dtype):
    """Compile once for a dtype. The operand's type is read-only, which a writable array may be passed for as well."""
    number, last = from_dtype(dtype), (types.intp, types.intp)
    x, y, row = types.Array(number, 2, "C", readonly=True), number[:, ::1], number[::1]
    arguments = {
        summarize: (x, row, types.intp[::1], y, y, y),
        apply: (x, row, row, row, y),
        standardize_columns: (x, y, number, types.boolean[::1]),
    }
    return function.compile((*arguments[function], *last))


def summaries(x, first):
    """Return the number of rows in each part, and what `summarize` says of the part."""
    rows = len(x)
    parts = min(PARTS, -(-rows // HEIGHT))
    edges = np.arange(parts + 1) * rows // parts
    mean, squares, largest = (np.empty((parts, x.shape[1]), x.dtype) for _ in range(3))
    work = partial(compiled(summarize, x.dtype), x, first, edges, mean, squares, largest)
    parallel_for(work, parts, 1 + parts * GRAIN // x.size)
    return np.diff(edges), mean, squares, largest


def by_rows(x, y, least):
    """Standardize into y the columns of x that stay within the range; return which do not."""
    (n, d), first = x.shape, x[0].copy()
    fold = 1 if d >= NARROW else LANES * max(1, NARROW // (LANES * d))
    whole = n - n % fold
    cuts = [(slice(whole), fold), (slice(whole, n), 1)]
    pieces = [(rows, fold, np.tile(first, fold)) for rows, fold in cuts if len(x[rows])]
    parts = []
    for rows, fold, origin in pieces:
        counts, *each = summaries(x[rows].reshape(-1, fold * d), origin)
        parts.append((np.repeat(counts, fold), *(summary.reshape(-1, d) for summary in each)))
    counts, mean, squares, largest = map(np.concatenate, zip(*parts, strict=True))
    counts = counts.astype(x.dtype)[:, None]
    centre = (counts * mean).sum(axis=0) / x.dtype.type(n)
    squares = squares.sum(axis=0) + (counts * (mean - centre) ** 2).sum(axis=0)
    constant = (largest.max(axis=0) == 0) & (squares == 0)
    factor = np.where(constant, 0, np.sqrt(x.dtype.type(n) / squares))
    for rows, fold, origin in pieces:
        there, here = (array[rows].reshape(-1, fold * d) for array in (x, y))
        write = partial(compiled(apply, x.dtype), there, origin, np.tile(centre, fold), np.tile(factor, fold), here)
        parallel_for(write, len(there), 1 + GRAIN // there.shape[1])
    return ~(constant | ((squares > least) & (squares < np.inf)))


def by_columns(x, y, least):
    """Do the same where columns are contiguous."""
    left_out = np.empty(x.shape[1], bool)
    work = partial(compiled(standardize_columns, x.dtype), x.T, y.T, least, left_out)
    parallel_for(work, x.shape[1], 1 + GRAIN // len(x))
    return left_out


@register("standardize", "numba", requires=("numba",), rank=60)
@np.errstate(all="ignore")
def standardize(x):
    n, limits = len(x), np.finfo(x.dtype)
    if n == 1:
        return x - x  # a row of zeros, and NaN for what is not finite
    transposed = x.flags.f_contiguous
    columns = transposed or x.shape[1] == 1 or x.size <= SMALL
    x = np.asarray(x, order="F" if columns else "C")
    y = np.empty_like(x, order="F" if columns else "C")
    if y.size:
        least = x.dtype.type(n * limits.tiny / limits.eps)
        left_out = by_columns(x, y, least) if columns else by_rows(x, y, least)
        if left_out.any():
            y[:, left_out] = standardized(x[:, left_out])
    return y if transposed else np.ascontiguousarray(y)
