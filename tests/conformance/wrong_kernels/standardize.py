"""Negative controls for standardize alone: kernels with one small bug each; correct ones stand beside them."""

import numpy as np
from wrong_kernels.of_standardize import correct
from wrong_kernels.of_standardize.correct import from_the_middle, made, quiet, two_passes

# Digits of columns that are far from zero


@quiet
def squares_in_one_pass(x):
    """The mean of the squares less the square of the mean (tracel-ai/burn #5607, tenstorrent/tt-metal #45968)."""
    return _filled(x, lambda x: (x - x.mean(axis=0)) / np.sqrt(np.maximum((x**2).mean(axis=0) - x.mean(axis=0) ** 2, 0)))


@quiet
def squares_in_one_pass_in_double(x):
    """The same in twice the precision, which moves the place where it goes wrong."""
    wide = np.longdouble if x.dtype == np.float64 else np.float64

    def of(x):
        z = x.astype(wide)
        return (z - z.mean(axis=0)) / np.sqrt(np.maximum((z**2).mean(axis=0) - z.mean(axis=0) ** 2, 0))

    return _filled(x, of)


@quiet
def differences_from_the_rounded_mean(x):
    """The mean is rounded to the dtype, and the differences from that have another mean (torch.var_mean, scikit-learn)."""
    return _filled(x, two_passes)


@quiet
def deviation_of_the_shifted_alone(x):
    """The deviation is computed from differences, but the numerator is the entry less the mean."""
    apart = from_the_middle(x)
    spread = x.std(axis=0, dtype=np.longdouble)
    return np.where(np.isfinite(apart) & (spread > 0), ((x - x.mean(axis=0)) / spread).astype(x.dtype), apart)


def _filled(x, standardized):
    """Apply a function to the columns themselves; constant columns are filled in afterwards."""
    if not x.size:
        return np.empty(x.shape, x.dtype)
    low, high = x.min(axis=0), x.max(axis=0)
    y = np.array(standardized(x), x.dtype)
    y[:, low == high] = (low - high)[low == high]
    return y


# Constant columns


@quiet
def constant_columns_are_nan(x):
    """Zero over zero, as scipy.stats.zscore gives it (scipy #13154)."""
    y = from_the_middle(x)
    y[:, (x == x[:1]).all(axis=0)] = np.nan
    return y


@quiet
def constant_by_its_deviation(x):
    """A deviation of 0 marks a constant column, and the mean of n equal numbers is another (scikit-learn #17794, #3722)."""
    y, spread = from_the_middle(x), x.std(axis=0)
    constant = (x == x[:1]).all(axis=0)
    y[:, constant] = ((x - x.mean(axis=0)) / np.where(spread == 0, 1, spread))[:, constant]
    return y


@quiet
def nearly_constant_is_constant(x):
    """A deviation below ten units of roundoff counts as 0, whatever the column's size (scikit-learn #19726)."""
    y = from_the_middle(x)
    y[:, x.std(axis=0) < 10 * np.finfo(x.dtype).eps] = 0
    return y


@quiet
def nearly_constant_beside_its_mean_is_constant(x):
    """A deviation that is small beside the mean counts as 0: the bound of the two-pass algorithm (scikit-learn #19788)."""
    y, eps = from_the_middle(x), np.finfo(x.dtype).eps
    y[:, x.std(axis=0) <= np.sqrt(len(x)) * eps * np.abs(x.mean(axis=0))] = 0
    return y


@quiet
def constant_columns_are_left_as_they_are(x):
    """Neither divided nor centred (elixir-nx/scholar #363)."""
    y, constant = from_the_middle(x), (x == x[:1]).all(axis=0)
    y[:, constant] = x[:, constant]
    return y


@quiet
def constant_by_its_first_rows(x):
    """Two equal rows are taken for all of them."""
    y = from_the_middle(x)
    y[:, (x[:2] == x[:1]).all(axis=0)] = 0
    return y


@quiet
def one_constant_column_for_all(x):
    """Where a column is constant, nothing is divided."""
    y = from_the_middle(x)
    return np.zeros_like(y) if (x == x[:1]).all(axis=0).any() else y


@quiet
def epsilon_under_the_root(x):
    """A constant is added to the variance, as layer normalisation does (pytorch's eps of 1e-5)."""
    return made(x, lambda z: (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + z.dtype.type(1e-5)))


# The range


@quiet
def differences_overflow(x):
    """Differences from the first row, which overflow where the column spans the range."""
    if not x.size:
        return np.empty(x.shape, x.dtype)
    apart = x - x[0]
    constant = (apart == 0).all(axis=0)
    y = two_passes(apart / np.where(constant, 1, np.abs(apart).max(axis=0)))
    y[:, constant] = 0
    return y.astype(x.dtype)


@quiet
def squares_overflow_and_underflow(x):
    """Differences are squared as they are (pytorch #44350)."""
    if not x.size:
        return np.empty(x.shape, x.dtype)
    low, high = x.min(axis=0), x.max(axis=0)
    y = two_passes(x - (low / 2 + high / 2))
    y[:, low == high] = (low - high)[low == high]
    return y


@quiet
def subnormal_columns_are_constant(x):
    """A range below the smallest normal number is taken for none."""
    y = from_the_middle(x)
    y[:, np.ptp(x, axis=0) < np.finfo(x.dtype).tiny] = 0
    return y


# NaN and infinities


@quiet
def nan_is_left_out(x):
    """Means and deviations are those of the entries that are numbers, as StandardScaler has it."""
    if not x.size:
        return np.empty(x.shape, x.dtype)
    y = from_the_middle(np.where(np.isnan(x), np.nanmean(np.where(np.isinf(x), 0, x), axis=0), x).astype(x.dtype))
    return np.where(np.isnan(x), np.nan, y).astype(x.dtype)


@quiet
def nan_spreads(x):
    """A NaN in one column makes all of them NaN."""
    y = from_the_middle(x)
    return y + 0 * y.sum(dtype=x.dtype)


@quiet
def infinite_columns_are_zero(x):
    """NaN that comes of infinities is replaced."""
    y = from_the_middle(x)
    y[:, np.isinf(x).any(axis=0)] = 0
    return y


# Another deviation, another mean, another axis


@quiet
def sample_deviation(x):
    """Over n - 1, as torch.std and pandas have it."""
    y = made(x, lambda z: (z - z.mean(axis=0)) / z.std(axis=0, ddof=1))
    return y


@quiet
def over_the_variance(x):
    """The root is forgotten."""
    return made(x, lambda z: (z - z.mean(axis=0)) / z.var(axis=0))


@quiet
def mean_absolute_deviation(x):
    """The mean of the sizes of the differences."""
    return made(x, lambda z: (z - z.mean(axis=0)) / np.abs(z - z.mean(axis=0)).mean(axis=0))


@quiet
def deviation_about_the_first_row(x):
    """Differences from the first row are squared before their mean is known."""
    return made(x, lambda z: (z - z.mean(axis=0)) / np.sqrt(((z - z[0]) ** 2).mean(axis=0)))


@quiet
def less_the_median(x):
    """The median for the mean."""
    return made(x, lambda z: (z - np.median(z, axis=0)) / z.std(axis=0))


@quiet
def rows_for_columns(x):
    """Each row less its mean, as layer normalisation has it."""
    return from_the_middle(np.ascontiguousarray(x.T)).T


@quiet
def one_mean_for_all(x):
    """The mean and deviation of the whole matrix."""
    return from_the_middle(x.reshape(-1, 1)).reshape(x.shape)


@quiet
def clipped_at_five(x):
    """Outliers are cut at five deviations."""
    return np.clip(from_the_middle(x), -5, 5)


@quiet
def padding_counts(x):
    """Rows are padded with zeros to whole tiles, and the padding has a difference from the mean (triton #9838)."""

    def of(z):
        up = -(-len(z) // 16) * 16
        apart = np.zeros((up, z.shape[1]), z.dtype) - z.mean(axis=0)
        apart[: len(z)] = z - z.mean(axis=0)
        return apart[: len(z)] / np.sqrt((apart**2).sum(axis=0) / len(z))

    return made(x, of)


@quiet
def blocks_merged_without_their_distance(x):
    """Squares about the means of blocks are added as if they were about one mean."""

    def of(z):
        blocks = [z[start : start + 32] for start in range(0, len(z), 32)]
        squares = sum(((block - block.mean(axis=0)) ** 2).sum(axis=0) for block in blocks)
        return (z - z.mean(axis=0)) / np.sqrt(squares / len(z))

    return made(x, of)


@quiet
def means_of_blocks_weigh_alike(x):
    """The mean of the means of blocks, the last of which is shorter."""

    def of(z):
        z = z - np.mean([z[start : start + 32].mean(axis=0) for start in range(0, len(z), 32)], axis=0)
        return z / np.sqrt((z**2).mean(axis=0))

    return made(x, of)


@quiet
def means_in_half(x):
    """The mean is kept in float16."""
    return made(x, lambda z: (z - z.mean(axis=0).astype(np.float16)) / z.std(axis=0))


WRONG = (
    squares_in_one_pass,
    squares_in_one_pass_in_double,
    differences_from_the_rounded_mean,
    deviation_of_the_shifted_alone,
    constant_columns_are_nan,
    constant_by_its_deviation,
    nearly_constant_is_constant,
    nearly_constant_beside_its_mean_is_constant,
    constant_columns_are_left_as_they_are,
    constant_by_its_first_rows,
    one_constant_column_for_all,
    epsilon_under_the_root,
    differences_overflow,
    squares_overflow_and_underflow,
    subnormal_columns_are_constant,
    nan_is_left_out,
    nan_spreads,
    infinite_columns_are_zero,
    sample_deviation,
    over_the_variance,
    mean_absolute_deviation,
    deviation_about_the_first_row,
    less_the_median,
    rows_for_columns,
    one_mean_for_all,
    clipped_at_five,
    padding_counts,
    blocks_merged_without_their_distance,
    means_of_blocks_weigh_alike,
    means_in_half,
)

RIGHT = correct.RIGHT

# Of the generic ones, those about terms: the result lacks no extent, so that none is summed over in its signature's words.
NO_BUG = (
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
