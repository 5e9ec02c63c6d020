"""Negative controls for difference_map alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np


def _factor(a):
    return 0.5 ** ((a.shape[0] * a.shape[1]).bit_length() + 1)


def _sums(a, b, sum_=lambda apart: apart.sum(axis=(0, 1))):
    """Return the sums of |a - b|, of fractions of them where they would overflow."""
    with np.errstate(all="ignore"):
        total = sum_(np.abs(a - b))
        return sum_(np.abs(a * _factor(a) - b * _factor(a))) if np.isinf(total).any() else total


def _scaled(total):
    """Return a map less its least entry, over its range."""
    if not total.size:
        return total
    with np.errstate(all="ignore"):
        above = total - total.min()
        return above / (above.max() or 1)


# What is averaged


def difference_of_means(a, b):
    """The means are subtracted, where the differences should be averaged: signs cancel."""
    return _scaled(np.abs(_mean(a) - _mean(b)))


def _mean(a):
    return a.mean(axis=(0, 1))


def mean_of_signed_differences(a, b):
    """The absolute value is taken of the mean."""
    return _scaled(np.abs((a - b).mean(axis=(0, 1))))


def squared(a, b):
    """Squares in place of absolute values."""
    with np.errstate(all="ignore"):
        return _scaled(((a - b) ** 2).sum(axis=(0, 1)))


def root_of_the_mean_square(a, b):
    """A norm over the channels, and the mean over samples alone."""
    with np.errstate(all="ignore"):
        return _scaled(np.sqrt(((a - b) ** 2).sum(axis=1)).sum(axis=0))


def greatest_channel(a, b):
    """The largest channel in place of their mean."""
    return _scaled(np.abs(a - b).max(axis=1).sum(axis=0))


def first_sample_only(a, b):
    """One prediction in place of all."""
    return _scaled(_sums(a[:1], b[:1]))


def each_sample_scaled_first(a, b):
    """Each sample's map is scaled to [0, 1] before they are averaged."""
    maps = [_scaled(_sums(a[i : i + 1], b[i : i + 1])) for i in range(len(a))]
    return _scaled(np.sum(maps, axis=0))


def one_sample_less(a, b):
    """The sum over one less than the count, as of a sample's variance: nothing is left where there is one plane."""
    with np.errstate(all="ignore"):
        return _scaled(_sums(a, b) / a.dtype.type(a.shape[0] * a.shape[1] - 1))


# How it is scaled


def over_the_largest(a, b):
    """The least entry is not taken away."""
    total = _sums(a, b)
    return total / (total.max(initial=0) or 1) if total.size else total


def clamped_at_three_means(a, b):
    """Clamped at three times the mean and divided by it, as the pipeline for DiffEdit in diffusers scales its map."""
    total = _sums(a, b)
    if not total.size:
        return total
    most = 3 * total.mean()
    return np.clip(total, 0, most) / (most or 1)


def hidden_epsilon(a, b):
    """A constant against a range of 0 is added to every range."""
    total = _sums(a, b) / (a.shape[0] * a.shape[1])
    if not total.size:
        return total
    above = total - total.min()
    return (above / (above.max() + a.dtype.type(1e-8))).astype(a.dtype)


def small_ranges_are_constant(a, b):
    """A range below a threshold gives zeros."""
    total = _sums(a, b)
    return np.zeros_like(total) if total.size and np.ptp(total) < 1e-6 else _scaled(total)


def constant_is_nan(a, b):
    """Nothing against a range of 0: caffe #1418, scikit-image #4015."""
    total = _sums(a, b)
    with np.errstate(all="ignore"):
        return (total - total.min()) / np.ptp(total) if total.size else total


def constant_is_one(a, b):
    """A constant map stays as it is, divided by itself: scikit-image #4596 has a constant outside of what was asked for."""
    total = _sums(a, b)
    return np.ones_like(total) if total.size and np.ptp(total) == 0 else _scaled(total)


def last_places_in_another_order(a, b):
    """The last places of a row add planes backwards, as torch's sum (#39516) adds them in another order: no constant is one."""

    def sum_(apart):
        planes = apart.reshape(apart.shape[0] * apart.shape[1], *apart.shape[2:])
        total = np.zeros(planes.shape[1:], apart.dtype)
        whole = planes.shape[2] // 4 * 4
        for forwards, backwards in zip(planes, planes[::-1], strict=True):
            total[:, :whole] += forwards[:, :whole]
            total[:, whole:] += backwards[:, whole:]
        return total

    return _scaled(_sums(a, b, sum_))


def trimmed(a, b):
    """The range is that of all but the outermost hundredths."""
    total = _sums(a, b)
    if not total.size or not np.isfinite(total).all():
        return _scaled(total)
    low, high = np.percentile(total, [1, 99]).astype(total.dtype)
    return np.clip((total - low) / (high - low or 1), 0, 1).astype(total.dtype)


def transposed_where_square(a, b):
    """Columns for rows, which no shape betrays."""
    y = _scaled(_sums(a, b))
    return y.T.copy() if y.shape[0] == y.shape[1] else y


# Digits


def largest_less_smallest(a, b):
    """|a - b| as the larger less the smaller, but summed first: far from zero nothing is left."""
    with np.errstate(all="ignore"):
        return _scaled(np.maximum(a, b).sum(axis=(0, 1)) - np.minimum(a, b).sum(axis=(0, 1)))


def expanded(a, b):
    """|a - b| as the root of a^2 - 2ab + b^2."""
    with np.errstate(all="ignore"):
        apart = np.sqrt(np.maximum(a * a - 2 * (a * b) + b * b, 0)).astype(a.dtype)
    return _scaled(apart.sum(axis=(0, 1)))


def sums_overflow(a, b):
    """Nothing against sums past the largest number."""
    with np.errstate(all="ignore"):
        return _scaled(np.abs(a - b).sum(axis=(0, 1)))


def differences_overflow(a, b):
    """The mean is one of quotients, so that no sum overflows; a difference still may."""
    with np.errstate(all="ignore"):
        return _scaled((np.abs(a - b) / a.dtype.type(a.shape[0] * a.shape[1])).sum(axis=(0, 1)))


def means_lose_the_smallest(a, b):
    """The mean of subnormal numbers is rounded to one."""
    with np.errstate(all="ignore"):
        return _scaled((_sums(a, b) / (3 * a.shape[0] * a.shape[1])).astype(a.dtype))


def half_precision(a, b):
    """Differences are kept in float16, as a mixed-precision pipeline would."""
    with np.errstate(all="ignore"):
        return _scaled(np.abs(a - b).astype(np.float16).astype(a.dtype).sum(axis=(0, 1)))


def operands_in_half_precision(a, b):
    """Both operands are kept in float16."""
    with np.errstate(all="ignore"):
        return _scaled(_sums(*(each.astype(np.float16).astype(a.dtype) for each in (a, b))))


# What is not finite


def nan_left_out(a, b):
    """NaN is left out of the least and the largest entry, so that most of the map looks sound."""
    total = _sums(a, b)
    if not total.size or np.isnan(total).all():
        return total
    with np.errstate(all="ignore"):
        above = total - np.nanmin(total)
        return above / (np.nanmax(above) or 1)


def nan_becomes_zero(a, b):
    """The map goes through nan_to_num."""
    return np.nan_to_num(_scaled(_sums(a, b)))


WRONG = (
    difference_of_means,
    mean_of_signed_differences,
    squared,
    root_of_the_mean_square,
    greatest_channel,
    first_sample_only,
    each_sample_scaled_first,
    one_sample_less,
    over_the_largest,
    clamped_at_three_means,
    hidden_epsilon,
    small_ranges_are_constant,
    constant_is_nan,
    constant_is_one,
    last_places_in_another_order,
    trimmed,
    transposed_where_square,
    largest_less_smallest,
    expanded,
    sums_overflow,
    differences_overflow,
    means_lose_the_smallest,
    half_precision,
    operands_in_half_precision,
    nan_left_out,
    nan_becomes_zero,
)


# Correct, and not as one would write it


def by_sums(a, b):
    """Sums in place of means: the range takes the count out again."""
    return _scaled(_sums(a, b))


def wider_inside(a, b):
    """All in extended precision, rounded once."""
    with np.errstate(all="ignore"):
        return _scaled(_sums(a.astype(np.longdouble), b.astype(np.longdouble))).astype(a.dtype)


def planes_shuffled(a, b):
    """Planes are added one by one, in an order that depends on their number alone."""

    def sum_(apart):
        planes = apart.reshape(apart.shape[0] * apart.shape[1], *apart.shape[2:])
        total = np.zeros(planes.shape[1:], apart.dtype)
        for k in np.random.default_rng(len(planes)).permutation(len(planes)):
            total += planes[k]
        return total

    return _scaled(_sums(a, b, sum_))


def means_of_means(a, b):
    """Scaled by a power of two so that the largest difference is about 1; the mean over channels, then that over samples."""
    if not a.size:
        return np.zeros(a.shape[2:], a.dtype)
    with np.errstate(all="ignore"):
        apart = np.abs(a - b)
        if np.isinf(apart).any():
            apart = np.abs(a / 2 - b / 2)
        apart = np.ldexp(apart, -np.frexp(apart.max())[1]) if np.isfinite(apart.max()) else apart
        return _scaled(apart.mean(axis=1).mean(axis=0))


def scaled_by_the_reciprocal(a, b):
    """Each entry times one over the range, in place of a quotient, where the range is not so small that this overflows."""
    total = _sums(a, b)
    if not total.size:
        return total
    with np.errstate(all="ignore"):
        above = total - total.min()
        once = 1 / (above.max() or 1)
        return (above * once).astype(a.dtype) if np.finfo(a.dtype).tiny < once < np.inf else above / (above.max() or 1)


RIGHT = (by_sums, wider_inside, planes_shuffled, means_of_means, scaled_by_the_reciprocal)

NO_BUG = (
    # The map is one whole: there are no rows that are computed apart, and these ask for some hundreds.
    "wrong_past_600_on_both_sides",
    "wrong_past_4200_on_both_sides",
    "wrong_past_256_everywhere",  # four extents past 256 are four billion entries
    "returns_its_operand",  # the map has another shape
)

# What is wrong at several long extents is wrong at one: a sum has one length, whatever the shape.
IDLE = ("agrees_at_ordinary_sizes",)
