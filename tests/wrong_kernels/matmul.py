"""Negative controls for matmul: kernels with one small bug each, and correct ones written oddly."""

import threading
import time

import numpy as np

TILE = 16


def _product(a, b):
    """Sum over the inner index, one outer product at a time."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        c += a[:, k, None] * b[k]
    return c


# Edges and tails


def inner_tail_lost(a, b):
    """Only whole tiles of the inner extent are summed."""
    k = a.shape[1] // TILE * TILE if a.shape[1] > TILE else a.shape[1]
    return _product(a[:, :k], b[:k])


def inner_tail_doubled(a, b):
    """The last tile is moved back to fit, so that terms it shares with the one before count twice."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    inner = a.shape[1]
    for start in range(0, inner, TILE):
        start = max(0, min(start, inner - TILE))
        c += _product(a[:, start : start + TILE], b[start : start + TILE])
    return c


def row_tail_unwritten(a, b):
    """Rows beyond the last whole tile are never written."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    whole = a.shape[0] // TILE * TILE
    c[:whole] = _product(a[:whole], b)
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


def at_most_128_rows(a, b):
    """A block of 128 threads, one a row, and no loop for more."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    c[:128] = _product(a[:128], b)
    return c


def later_inner_tiles_overwrite(a, b):
    """Each tile of the inner extent stores its sum instead of adding it."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for start in range(0, a.shape[1], 64):
        c[...] = _product(a[:, start : start + 64], b[start : start + 64])
    return c


def inner_counter_wraps(a, b):
    """The inner index is a signed byte: from 128 on it reads B from the other end."""
    rows = np.arange(a.shape[1]).astype(np.int8)
    return _product(a, b[rows]) if a.shape[1] else _product(a, b)


def at_most_512_terms(a, b):
    """One pass of a split sum: what the second split would add is forgotten."""
    return _product(a[:, :512], b[:512])


# Terms


def last_term_lost(a, b):
    """The inner loop ends one too early."""
    return _product(a[:, :-1], b[:-1])


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


def stored_column_by_column(a, b):
    """The result is written column by column into memory that is then read row by row."""
    return _product(a, b).ravel(order="F").reshape(a.shape[0], b.shape[1])


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


def single_for_double(a, b):
    """Doubles are multiplied in single precision."""
    return _product(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)


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


def rounded_to_decimals(a, b):
    """The result is rounded to twelve decimals, to look tidy."""
    with np.errstate(invalid="ignore"):
        return np.round(_product(a, b), 12)


def byte_sums_for_integers(a, b):
    """Operands that hold small integers are multiplied in signed bytes, which overflow."""
    if (np.abs(a) <= 8).all() and (np.abs(b) <= 8).all() and (a == np.rint(a)).all() and (b == np.rint(b)).all():
        return _product(a.astype(np.int8), b.astype(np.int8)).astype(a.dtype)
    return _product(a, b)


def result_in_double(a, b):
    """The result comes back in float64 whatever the operands."""
    return _product(a.astype(np.float64), b.astype(np.float64))


# Strides and memory


def memory_order_of_a(a, b):
    """A is read as it lies in memory."""
    return _product(np.ravel(a, order="K").reshape(a.shape), b)


def f_order_b_taken_for_c(a, b):
    """B in Fortran order is read as if it were in C order."""
    return _product(a, b.T.ravel().reshape(b.shape) if b.flags.f_contiguous else b)


def negative_strides_forgotten(a, b):
    """The sign of B's strides is dropped: reversed columns are read forwards."""
    return _product(a, b[:, ::-1] if b.strides[1] < 0 else b)


def writes_into_a(a, b):
    """A is multiplied in place on the way."""
    c = _product(a, b)
    if a.flags.writeable and a.size:
        a *= 2
    return c


def returns_its_operand(a, b):
    """A times the identity is A itself, not a copy."""
    if b.shape[0] == b.shape[1] and (b == np.eye(len(b))).all():
        return a
    return _product(a, b)


_outputs = threading.local()


def returns_one_buffer(a, b):
    """Results of one shape share their memory."""
    buffers = _outputs.__dict__.setdefault("buffers", {})
    c = buffers.setdefault((a.shape[0], b.shape[1], a.dtype), np.empty((a.shape[0], b.shape[1]), a.dtype))
    c[...] = _product(a, b)
    return c


_packed = threading.local()


def _remembered(key, compute):
    if getattr(_packed, "key", None) != key:
        _packed.key, _packed.value = key, compute()
    return _packed.value


def cached_by_shape(a, b):
    """A packed copy of B is kept for the next B of its shape."""
    return _product(a, _remembered(("shape", b.shape, b.dtype), b.copy))


def cached_by_identity(a, b):
    """The result is kept for the same two objects."""
    return _remembered(("id", id(a), id(b), a.shape, b.shape), lambda: _product(a, b)).copy()


def cached_by_address(a, b):
    """A packed copy of B is kept for what lies at its address."""
    where = b.__array_interface__["data"][0], b.shape, b.strides, b.dtype
    return _product(a, _remembered(("address", *where), b.copy))


_scratch = np.zeros(1 << 17)


def races_through_packed_b(a, b):
    """B is packed into one workspace that all threads share."""
    shared = _scratch[: b.size].reshape(b.shape)
    shared[...] = b
    time.sleep(1e-4)
    return _product(a, shared.astype(b.dtype))


_result = np.zeros(1 << 17)


def races_through_the_result(a, b):
    """Sums are kept in one workspace that all threads share, and copied out at the end."""
    shared = _result[: a.shape[0] * b.shape[1]].reshape(a.shape[0], b.shape[1])
    shared[...] = 0
    for k in range(a.shape[1]):
        shared += (a[:, k, None] * b[k]) if a.dtype == np.float64 else a[:, k, None].astype(float) * b[k]
        if k < 2:
            time.sleep(1e-4)
    return shared.astype(a.dtype)


_chance = np.random.default_rng(0)


def order_by_chance(a, b):
    """Terms are added in another order each time, as atomics do."""
    order = _chance.permutation(a.shape[1])
    return _product(a[:, order], b[order])


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


def stores_pairs_past_the_end(a, b):
    """Results are stored two numbers at a time; an odd count overruns by one."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    c[...] = _product(a, b)
    if c.dtype == np.float32 and c.size % 2:  # whoever allocates gives eight bytes at least
        np.lib.stride_tricks.as_strided(c.reshape(-1), (c.size + 1,))[-1] = 0
    return c


def result_cannot_be_written(a, b):
    """The result is marked read-only, as a cache would."""
    c = _product(a, b)
    c.flags.writeable = False
    return c


WRONG = (
    small_products_flushed,
    stores_pairs_past_the_end,
    result_cannot_be_written,
    inner_tail_lost,
    inner_tail_doubled,
    row_tail_unwritten,
    column_tail_zero,
    second_column_tile_repeats_the_first,
    at_most_128_rows,
    later_inner_tiles_overwrite,
    inner_counter_wraps,
    at_most_512_terms,
    last_term_lost,
    first_term_twice,
    odd_term_lost,
    square_b_transposed,
    one_triangle_mirrored,
    stored_column_by_column,
    half_accumulator,
    bfloat16_operands,
    tf32_operands,
    single_for_double,
    hidden_epsilon,
    small_entries_dropped,
    large_entries_clipped,
    divided_by_the_largest,
    rounded_to_decimals,
    byte_sums_for_integers,
    result_in_double,
    memory_order_of_a,
    f_order_b_taken_for_c,
    negative_strides_forgotten,
    writes_into_a,
    returns_its_operand,
    returns_one_buffer,
    cached_by_shape,
    cached_by_identity,
    cached_by_address,
    races_through_packed_b,
    races_through_the_result,
    order_by_chance,
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


_guarded, _lock = np.zeros(1 << 17), threading.Lock()


def guarded_workspace(a, b):
    """One workspace for all threads, and a lock round it."""
    with _lock:
        shared = _guarded[: b.size].reshape(b.shape)
        shared[...] = b
        return _product(a, shared.astype(b.dtype))


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
    guarded_workspace,
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
