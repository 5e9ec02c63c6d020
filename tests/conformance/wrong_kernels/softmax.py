"""Negative controls for softmax alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np

TILE = 16


def _softmax(x):
    """Divide the exponentials of rows less their largest entries by their sums."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.exp(x - x.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)


def _over(x, shift, total=None):
    """Divide the exponentials of rows less a shift by their sums, or by what a function makes of them."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.exp(x - shift(x))
        sums = weights.sum(axis=-1, keepdims=True) if total is None else total(weights)
        return (weights / sums).astype(x.dtype)


def _largest(x):
    return x.max(axis=-1, keepdims=True)


# What is subtracted


def nothing_subtracted(x):
    """Exponentials of the entries themselves, which overflow, or all underflow (NVIDIA/DeepLearningExamples #169)."""
    return _over(x, lambda x: x.dtype.type(0))


def largest_of_all_rows(x):
    """The largest entry of the whole array is subtracted: rows far below it underflow (keras #9606)."""
    return _over(x, np.max)


def largest_of_the_columns(x):
    """The largest entries along the first axis are subtracted."""
    return _over(x, lambda x: x.max(axis=0, keepdims=True) if x.ndim > 1 else x.max())


def largest_is_at_least_zero(x):
    """The running maximum starts at 0: rows far below that underflow (NNlib.jl #43)."""
    return _over(x, lambda x: np.maximum(_largest(x), 0))


def largest_starts_at_a_finite_number(x):
    """The running maximum starts at -50,000, taken for -inf: rows below that are not shifted (flashinfer #4267)."""
    return _over(x, lambda x: np.maximum(_largest(x), x.dtype.type(-5e4)))


def largest_in_size(x):
    """The entry largest in size is subtracted: of mostly negative entries, exponentials overflow or underflow."""
    return _over(x, lambda x: np.abs(x).max(axis=-1, keepdims=True))


def first_tile_hidden(x):
    """Where a first tile is all -inf its maximum becomes 0, and stays it past entries below that (flash-attention #2082)."""
    first = x[..., :TILE].max(axis=-1, keepdims=True, initial=-np.inf)
    return _over(x, lambda x: np.where(np.isneginf(first), np.maximum(_largest(x), 0), _largest(x)).astype(x.dtype))


# Sums


def running_sum_not_rescaled(x):
    """One pass with a running maximum, which does not scale the sum so far to a new one."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        most, total = np.full_like(x[..., :1], -np.inf), np.zeros_like(x[..., :1])
        for start in range(0, x.shape[-1], TILE):
            tile = x[..., start : start + TILE]
            most = np.maximum(most, tile.max(axis=-1, keepdims=True))
            total += np.exp(tile - most).sum(axis=-1, keepdims=True)
        return np.exp(x - most) / total


def hidden_tile_makes_nan(x):
    """One pass whose first tiles are all -inf: -inf less -inf is rescaled by, and the row is NaN (flashinfer #1178)."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        most, total = np.full_like(x[..., :1], -np.inf), np.zeros_like(x[..., :1])
        for start in range(0, x.shape[-1], TILE):
            tile = x[..., start : start + TILE]
            larger = np.maximum(most, tile.max(axis=-1, keepdims=True))
            scale = np.where(total == 0, 0, np.exp(most - larger)) if start == 0 else np.exp(most - larger)
            total = total * scale + np.exp(tile - larger).sum(axis=-1, keepdims=True)
            most = larger
        return (np.exp(x - most) / total).astype(x.dtype)


def tail_padded_with_zeros(x):
    """Rows are padded to whole tiles with 0 instead of -inf, and each counts as an entry (vLLM #55009)."""
    padding = -x.shape[-1] % TILE
    padded = np.concatenate([x, np.zeros((*x.shape[:-1], padding), x.dtype)], axis=-1)
    return _softmax(padded)[..., : x.shape[-1]].copy()


def tail_of_long_rows_padded_with_zeros(x):
    """The same, for rows that are longer than one block of 1,024 alone."""
    return tail_padded_with_zeros(x) if x.shape[-1] > 1024 else _softmax(x)


def epsilon_in_the_sum(x):
    """A constant against division by zero, though the sum is at least 1."""
    return _over(x, _largest, lambda weights: weights.sum(axis=-1, keepdims=True) + 1e-6)


def small_terms_left_out(x):
    """Terms below 2^-11 of the largest are left out of the sum, as if they could not matter."""
    return _over(x, _largest, lambda weights: np.where(weights < 2.0**-11, 0, weights).sum(axis=-1, keepdims=True))


def half_sums(x):
    """Exponentials are added up in float16, one after another: from 2,048 on 1 adds nothing (sonos/tract #2586)."""

    def total(weights):
        return np.add.accumulate(weights.astype(np.float16), axis=-1)[..., -1:].astype(weights.dtype)

    return _over(x, _largest, total)


def sum_over_all_rows(x):
    """Exponentials are divided by the sum of all rows."""
    return _over(x, _largest, np.sum)


def odd_lengths_counted_twice(x):
    """A warp that is not full adds its entries twice, in rows of odd length past 512 but for the first (PyTorch #147284)."""
    n = x.shape[-1]
    if not (512 < n < 1024 and n % 2 and n % 32 != 31 and x.ndim > 1):
        return _softmax(x)
    twice = np.arange(n) >= n // 32 * 32

    def total(weights):
        doubled = (weights * (1 + twice)).sum(axis=-1, keepdims=True)
        doubled[:1] = weights[:1].sum(axis=-1, keepdims=True)
        return doubled

    return _over(x, _largest, total)


# Exponentials


def exponents_clipped(x):
    """Differences below -20 are clipped, so that nothing underflows."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.exp(np.maximum(x - _largest(x), -20))
        return weights / weights.sum(axis=-1, keepdims=True)


def base_two(x):
    """Powers of 2 instead of e: the factor log2(e) is forgotten."""
    return _over(x * x.dtype.type(np.log(2)), _largest)


def exponential_in_half(x):
    """Exponentials are computed in float16."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.exp((x - _largest(x)).astype(np.float16)).astype(x.dtype)
        return weights / weights.sum(axis=-1, keepdims=True)


def exponent_scaled_before_the_shift(x):
    """The product x log2(e) is rounded before the largest is subtracted: far from 0 the differences lose their digits."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        scaled = x * x.dtype.type(np.log2(np.e))
        weights = np.exp2(scaled - _largest(scaled))
        return weights / weights.sum(axis=-1, keepdims=True)


def through_the_logarithm(x):
    """The exponential of the log-softmax whose log-sum-exp was added to the largest: far from 0 it has lost its digits."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        most = _largest(x)
        return np.exp(x - (most + np.log(np.exp(x - most).sum(axis=-1, keepdims=True))))


# Entries that are not finite


def hidden_row_is_zero(x):
    """A row of nothing but -inf gives zeros, as attention wants it (burn #4697)."""
    y = _softmax(x)
    y[np.isneginf(x).all(axis=-1)] = 0
    return y


def hidden_row_is_uniform(x):
    """-inf is replaced by the least number, so that a row of nothing else is uniform."""
    with np.errstate(all="ignore"):
        return _softmax(np.maximum(x, np.finfo(x.dtype).min))


def nan_left_out(x):
    """The maximum and the sum leave NaN out, and its row is NaN in one place alone."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.exp(x - np.fmax.reduce(x, axis=-1, keepdims=True))
        return (weights / np.where(np.isnan(weights), 0, weights).sum(axis=-1, keepdims=True)).astype(x.dtype)


def infinity_takes_all(x):
    """A row with one +inf gives that entry 1, which is a limit, and not the contract."""
    y = _softmax(x)
    rows = np.isposinf(x).sum(axis=-1, keepdims=True) == 1
    return np.where(rows, np.isposinf(x), y).astype(x.dtype)


def nan_spreads_to_all_rows(x):
    """A check for NaN adds zero times everything to every entry."""
    with np.errstate(all="ignore"):
        return _softmax(x) + np.where(np.isnan(x), x, 0).sum(dtype=x.dtype)


# Axes


def first_axis(x):
    """The sums run over the first axis, as many a library's default has been."""
    return np.moveaxis(_softmax(np.moveaxis(x, 0, -1)), -1, 0).copy()


def fails_on_empty_rows(x):
    """A row without entries has no largest one."""
    x.max(axis=-1)
    return _softmax(x)


WRONG = (
    nothing_subtracted,
    largest_of_all_rows,
    largest_of_the_columns,
    largest_is_at_least_zero,
    largest_starts_at_a_finite_number,
    largest_in_size,
    first_tile_hidden,
    running_sum_not_rescaled,
    hidden_tile_makes_nan,
    tail_padded_with_zeros,
    tail_of_long_rows_padded_with_zeros,
    epsilon_in_the_sum,
    small_terms_left_out,
    half_sums,
    sum_over_all_rows,
    odd_lengths_counted_twice,
    exponents_clipped,
    base_two,
    exponential_in_half,
    exponent_scaled_before_the_shift,
    through_the_logarithm,
    hidden_row_is_zero,
    hidden_row_is_uniform,
    nan_left_out,
    infinity_takes_all,
    nan_spreads_to_all_rows,
    first_axis,
    fails_on_empty_rows,
)


# Correct, and not as one would write it


def by_rows(x):
    """Row by row, with a reciprocal of the sum."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.exp(x - _largest(x))
        return weights * (1 / weights.sum(axis=-1, keepdims=True))


def online(x):
    """One pass for the largest entry and the sum, which is scaled to each new largest one (Milakov and Gimelshein 2018)."""
    if not x.size:
        return np.empty_like(x)
    most, total = np.full_like(x[..., :1], -np.inf), np.zeros_like(x[..., :1])
    with np.errstate(all="ignore"):
        for i in range(x.shape[-1]):
            entry = x[..., i : i + 1]
            larger = np.maximum(most, entry)
            kept = np.where(np.isneginf(most), 0, total * np.exp(most - larger)).astype(x.dtype)
            added = np.where(np.isneginf(entry), 0, np.exp(entry - larger)).astype(x.dtype)
            most, total = larger, kept + added
        return np.exp(x - most) / total


def in_float64(x):
    """Exponentials and sums in extended precision, rounded once."""
    return _softmax(x.astype(np.longdouble)).astype(x.dtype)


def sorted_first(x):
    """Entries are sorted before they are added up, the smallest first."""
    return _over(x, _largest, lambda weights: np.sort(weights, axis=-1).sum(axis=-1, keepdims=True))


def padded_with_hidden_entries(x):
    """Rows are padded to whole tiles with -inf, and cut back."""
    padding = np.full((*x.shape[:-1], -x.shape[-1] % TILE), -np.inf, x.dtype)
    return _softmax(np.concatenate([x, padding], axis=-1))[..., : x.shape[-1]].copy()


def columns_first(x):
    """In Fortran order, with the sums one column after another."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.asfortranarray(np.exp(x - _largest(x)))
        total = np.zeros_like(x[..., :1])
        for i in range(x.shape[-1]):
            total += weights[..., i : i + 1]
        return weights / total


def exponents_in_two_factors(x):
    """Each exponential is the square of that of half the exponent, an exact halving."""
    if not x.size:
        return np.empty_like(x)
    with np.errstate(all="ignore"):
        weights = np.square(np.exp((x - _largest(x)) / 2))
        return weights / weights.sum(axis=-1, keepdims=True)


RIGHT = (by_rows, online, in_float64, sorted_first, padded_with_hidden_entries, columns_first, exponents_in_two_factors)

CLAIMS = {"batches": True}

# Of the generic ones: a softmax has no extent that its result lacks, and so no terms to be lost, wrapped or put in disorder;
# and the only row that is its own softmax is a single 1.
NO_BUG = (
    "returns_its_operand",
    "last_term_lost",
    "tail_of_terms_lost",
    "at_most_128_terms",
    "at_most_512_terms",
    "at_most_4200_terms",
    "counter_of_terms_wraps",
    "order_by_chance",
    "wrong_past_600_on_both_sides",
    "wrong_past_4200_on_both_sides",
)
