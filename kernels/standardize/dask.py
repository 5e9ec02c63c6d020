"""standardize of a dask array, lazily, by its definition: extremes, sums and sums of squares of blocks, added up as trees."""

import functools

import dask.array as da

from kernels._dask.blocks import added, gathered, namespace, without_empty
from kernels._dispatch.neutral import in_neutral_state
from registry import register


@register("standardize", "dask", arrays="dask", requires=("dask",), rank=20)
def standardize(x):
    if not x.size:
        return x.copy()
    x = without_empty(x)
    ends = reduced(extremes, smallest, x)
    total = reduced(sums, added, x, ends)
    squares = reduced(functools.partial(sums_of_squares, len(x)), added, x, ends, total)
    return blockwise(functools.partial(standardized, len(x)), x, ends, total, squares)


def blockwise(function, x, *of_columns, **chunks):
    """Apply a function to each block of x, (n, d), with arrays that have a block for each block of columns."""
    pairs = [each for array in of_columns for each in (array, "j")]
    return da.blockwise(function, "ij", x, "ij", *pairs, align_arrays=False, dtype=x.dtype, meta=x._meta, **chunks)


def reduced(function, gather, x, *of_columns):
    """Return what a function gives of the blocks, gathered over all rows."""
    return gathered(blockwise(function, x, *of_columns, adjust_chunks={"i": lambda _: 1}), 0, gather)


@in_neutral_state
def extremes(x):
    xp = namespace(x)
    return xp.stack([xp.min(x, axis=0), -xp.max(x, axis=0)])


@in_neutral_state
def smallest(blocks):
    return functools.reduce(namespace(blocks[0]).minimum, blocks)


@in_neutral_state
def scaled(x, ends):
    """Return entries less the middle of their column's range, over half of it: squares stay within the dtype's range."""
    low, high = ends[0], -ends[1]
    xp, centre = namespace(x), low / 2 + high / 2
    half = xp.maximum(high - centre, centre - low)
    return (x - centre) / xp.where(low == high, xp.ones_like(half), half)


@in_neutral_state
def sums(x, ends):
    return namespace(x).sum(scaled(x, ends), axis=0)


@in_neutral_state
def sums_of_squares(n, x, ends, total):
    return namespace(x).sum((scaled(x, ends) - total / n) ** 2, axis=0)


@in_neutral_state
def standardized(n, x, ends, total, squares):
    low, high = ends[0], -ends[1]
    return namespace(x).where(low == high, low - high, (scaled(x, ends) - total / n) / (squares / n) ** 0.5)
