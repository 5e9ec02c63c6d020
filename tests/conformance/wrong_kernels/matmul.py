"""Negative controls for matmul alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np

TILE = 16


def _product(a, b):
    """Sum over the inner index, one outer product at a time."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        c += a[:, k, None] * b[k]
    return c


# Edges and tails


def inner_tail_doubled(a, b):
    """The last tile is moved back to fit, so that terms it shares with the one before count twice."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    inner = a.shape[1]
    for start in range(0, inner, TILE):
        start = max(0, min(start, inner - TILE))
        c += _product(a[:, start : start + TILE], b[start : start + TILE])
    return c


def column_tail_zero(a, b):
    """Columns beyond the last whole tile stay zero once there is one."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    whole = b.shape[1] // TILE * TILE or b.shape[1]
    c[:, :whole] = _product(a, b[:, :whole])
    return c


def second_column_tile_repeats_the_first(a, b):
    """The second tile of 64 columns reads B at the first one's offset."""
    c = _product(a, b)
    width = min(64, c.shape[1] - 64)
    if width > 0:
        c[:, 64 : 64 + width] = c[:, :width]
    return c


def later_inner_tiles_overwrite(a, b):
    """Each tile of the inner extent stores its sum instead of adding it."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for start in range(0, a.shape[1], 64):
        c[...] = _product(a[:, start : start + 64], b[start : start + 64])
    return c


# Terms


def first_term_twice(a, b):
    """The sum starts at the first product, and the loop adds it again."""
    return _product(a, b) + _product(a[:, :1], b[:1])


def odd_term_lost(a, b):
    """The loop is unrolled by two, with nothing for an odd inner extent."""
    even = a.shape[1] // 2 * 2 or a.shape[1]
    return _product(a[:, :even], b[:even])


def square_b_transposed(a, b):
    """A square B is taken for its transpose."""
    return _product(a, b.T if b.shape[0] == b.shape[1] else b)


def one_triangle_mirrored(a, b):
    """A square result is taken to be symmetric, as a Gram matrix is."""
    c = _product(a, b)
    return np.tril(c) + np.tril(c, -1).T if c.shape[0] == c.shape[1] else c


# Digits


def half_accumulator(a, b):
    """The sum is kept in float16."""
    with np.errstate(over="ignore", invalid="ignore"):
        c = np.zeros((a.shape[0], b.shape[1]), np.float16)
        for k in range(a.shape[1]):
            c += (a[:, k, None] * b[k]).astype(np.float16)
        return c.astype(a.dtype)


def _rounded(array, bits):
    """Keep the upper bits of float32."""
    kept = array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFFFFF << (32 - bits) & 0xFFFFFFFF)
    return kept.view(np.float32).astype(array.dtype)


def bfloat16_operands(a, b):
    """Operands are cut to bfloat16."""
    return _product(_rounded(a.copy(), 16), _rounded(b.copy(), 16))


def tf32_operands(a, b):
    """Operands are cut to TF32, as tensor cores do when allowed to."""
    return _product(_rounded(a.copy(), 19), _rounded(b.copy(), 19)) if a.dtype == np.float32 else _product(a, b)


def hidden_epsilon(a, b):
    """A constant against division by zero that nobody divides by any more."""
    return _product(a, b) + a.dtype.type(1e-12)


def small_entries_dropped(a, b):
    """Entries below an absolute threshold are taken for zero."""
    return _product(np.where(np.abs(a) < 1e-6, 0, a).astype(a.dtype), b)


def large_entries_clipped(a, b):
    """Entries are clipped to the range of float16."""
    return _product(np.clip(a, -65504, 65504), b)


def divided_by_the_largest(a, b):
    """A is divided by its largest entry and the product multiplied by it: two roundings too many."""
    largest = np.abs(a).max(initial=0)
    if not 0 < largest < np.inf:
        return _product(a, b)
    return _product(a / largest, b) * largest


def byte_sums_for_integers(a, b):
    """Operands that hold small integers are multiplied in signed bytes, which overflow."""
    if (np.abs(a) <= 8).all() and (np.abs(b) <= 8).all() and (a == np.rint(a)).all() and (b == np.rint(b)).all():
        return _product(a.astype(np.int8), b.astype(np.int8)).astype(a.dtype)
    return _product(a, b)


# NaN, infinities and empty extents


def nan_swallowed(a, b):
    """NaN is read as zero."""
    return _product(np.where(np.isnan(a), 0, a).astype(a.dtype), np.where(np.isnan(b), 0, b).astype(b.dtype))


def nan_spreads(a, b):
    """A check for NaN adds zero times everything to every entry."""
    with np.errstate(invalid="ignore", over="ignore"):
        return _product(a, b) + 0 * (a.sum() + b.sum())


def infinity_becomes_nan(a, b):
    """Kahan's compensated sum, whose compensation of an infinity is NaN."""
    total, lost = np.zeros((2, a.shape[0], b.shape[1]), a.dtype)
    with np.errstate(invalid="ignore"):
        for k in range(a.shape[1]):
            term = a[:, k, None] * b[k] - lost
            before, total = total, total + term
            lost = (total - before) - term
    return total


def zeros_skipped(a, b):
    """Terms with a zero in A are skipped, though zero times NaN is NaN."""
    with np.errstate(invalid="ignore"):
        c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for k in range(a.shape[1]):
            c += np.where(a[:, k, None] == 0, 0, a[:, k, None] * b[k]).astype(a.dtype)
        return c


def fails_on_empty_operands(a, b):
    """The largest entry is looked up first, and empty operands have none."""
    assert np.isnan(a.max()) or a.max() >= a.min()
    return _product(a, b)


def empty_result_loses_its_shape(a, b):
    """Rows are collected in a list, which forgets the columns when there are none."""
    return np.array([_product(row[None], b)[0] for row in a], a.dtype)


def empty_inner_unwritten(a, b):
    """The first term initialises the result; with none it holds what was there before."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        term = a[:, k, None] * b[k]
        c[...] = term if k == 0 else c + term
    return c


def small_products_flushed(a, b):
    """Subnormal results are flushed to zero, as fast modes of processors do."""
    c = _product(a, b)
    return np.where(np.abs(c) < np.finfo(c.dtype).tiny, 0, c).astype(c.dtype) if c.dtype.kind == "f" else c


WRONG = (
    small_products_flushed,
    inner_tail_doubled,
    column_tail_zero,
    second_column_tile_repeats_the_first,
    later_inner_tiles_overwrite,
    first_term_twice,
    odd_term_lost,
    square_b_transposed,
    one_triangle_mirrored,
    half_accumulator,
    bfloat16_operands,
    tf32_operands,
    hidden_epsilon,
    small_entries_dropped,
    large_entries_clipped,
    divided_by_the_largest,
    byte_sums_for_integers,
    nan_swallowed,
    nan_spreads,
    infinity_becomes_nan,
    zeros_skipped,
    fails_on_empty_operands,
    empty_result_loses_its_shape,
    empty_inner_unwritten,
)


# Correct, and not as one would write it


def backwards(a, b):
    """Terms are added from the last to the first."""
    return _product(a[:, ::-1], b[::-1])


def wider_inside(a, b):
    """Sums are kept in extended precision and rounded once."""
    return _product(a.astype(np.longdouble), b.astype(np.longdouble)).astype(a.dtype)


def shuffled(a, b):
    """Terms are added in an order that depends on the inner extent alone."""
    order = np.random.default_rng(a.shape[1]).permutation(a.shape[1])
    return _product(a[:, order], b[order])


def padded_tiles(a, b):
    """All three extents are padded with zeros to whole tiles, multiplied tile by tile, and cut back."""
    (m, k), n = a.shape, b.shape[1]
    up = [-(-extent // TILE) * TILE for extent in (m, k, n)]
    left, right = np.zeros((up[0], up[1]), a.dtype), np.zeros((up[1], up[2]), a.dtype)
    left[:m, :k], right[:k, :n] = a, b
    c = np.zeros((up[0], up[2]), a.dtype)
    with np.errstate(invalid="ignore"):
        for i in range(0, up[0], TILE):
            for start in range(0, up[1], TILE):
                c[i : i + TILE] += left[i : i + TILE, start : start + TILE] @ right[start : start + TILE]
    return c[:m, :n].copy()


def columns_first(a, b):
    """One column of the result at a time, in Fortran order."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype, order="F")
    for j in range(b.shape[1]):
        c[:, j] = (a * b[:, j]).sum(axis=1)
    return c


def one_big_sum(a, b):
    """All products at once, and one sum over the middle axis."""
    return (a[:, :, None] * b[None]).sum(axis=1)


def halves(a, b):
    """The inner extent is halved until one term is left, and the halves are added."""
    inner = a.shape[1]
    if inner < 2:
        return _product(a, b)
    return halves(a[:, : inner // 2], b[: inner // 2]) + halves(a[:, inner // 2 :], b[inner // 2 :])


def transposed_twice(a, b):
    """The transpose of the product of the transposes: a view of fresh memory."""
    return (b.T @ a.T).T


def even_and_odd(a, b):
    """Even terms and odd terms have an accumulator each."""
    return _product(a[:, ::2], b[::2]) + _product(a[:, 1::2], b[1::2])


RIGHT = (
    backwards,
    wider_inside,
    shuffled,
    padded_tiles,
    columns_first,
    one_big_sum,
    halves,
    transposed_twice,
    even_and_odd,
)


# Digits that signed entries hide in long sums, and counters that go round


def tf32_past_1025_terms(a, b):
    """Longer sums are left to tensor cores, which cut operands to TF32: where all terms have one sign, all errors have too."""
    return tf32_operands(a, b) if a.shape[1] > 1025 else _product(a, b)


def tf32_to_nearest_past_1025_terms(a, b):
    """Operands of longer sums are rounded to TF32: where all entries are equal, so are all errors."""
    if a.dtype != np.float32 or a.shape[1] <= 1025:
        return _product(a, b)
    half = 1 + 2.0**-11  # of the last bit kept, for a significand near 1
    return _product(_rounded((a * a.dtype.type(half)).copy(), 19), b)


def bfloat16_past_4090_terms(a, b):
    """Operands of longer sums are cut to bfloat16."""
    return bfloat16_operands(a, b) if a.shape[1] > 4090 and a.dtype == np.float32 else _product(a, b)


def rows_counted_in_16_bits(a, b):
    """The row's number is a short: past 32,767 rows are read from the other end."""
    rows = np.arange(a.shape[0]).astype(np.int16)
    return _product(a[rows], b) if a.shape[0] < 2**16 else _product(a, b)


def columns_counted_in_16_bits(a, b):
    """The column's number is an unsigned short: past 65,535 the first ones are read again."""
    return _product(a, b[:, np.arange(b.shape[1]).astype(np.uint16)])


def terms_counted_in_16_bits(a, b):
    """The inner index is an unsigned short: past 65,535 rows of B are read from the start again."""
    return _product(a, b[np.arange(a.shape[1]).astype(np.uint16)])


WRONG += (
    tf32_past_1025_terms,
    tf32_to_nearest_past_1025_terms,
    bfloat16_past_4090_terms,
    rows_counted_in_16_bits,
    columns_counted_in_16_bits,
    terms_counted_in_16_bits,
)

NO_BUG = ("wrong_past_4200_on_both_sides",)  # of the generic ones: no operand is as large as 4,200 times 4,200
