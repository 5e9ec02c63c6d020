"""Negative controls for frobenius_norm alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np

quiet = np.errstate(all="ignore")


@quiet
def by_power_of_two(x):
    """Entries times the power of two that brings the largest to about 1."""
    largest = np.abs(x).max(initial=0)
    if not 0 < largest < np.inf:
        return np.asarray(largest)
    _, exponent = np.frexp(largest)
    return np.asarray(np.ldexp(np.sqrt((np.ldexp(x, -exponent) ** 2).sum()), exponent))


# Squares that leave the range


@quiet
def numpys_norm(x):
    """Squares as they are: inf at 1e200 and 0 at 1e-200 (numpy #19097, #8775, #32372; pytorch #193006)."""
    return np.linalg.norm(x).astype(x.dtype)


@quiet
def guarded_against_overflow_alone(x):
    """Scaled where the sum of squares is not finite, and not where it underflows."""
    total = (x**2).sum()
    return by_power_of_two(x) if np.isinf(total) else np.sqrt(total)


@quiet
def guarded_against_underflow_alone(x):
    """Scaled where the sum of squares is 0, and not where it is too small to have digits, nor where it overflows."""
    total = (x**2).sum()
    return by_power_of_two(x) if total == 0 else np.sqrt(total)


@quiet
def scaled_where_the_sum_is_no_normal_number(x):
    """A sum of squares that is above the smallest normal number may be made of squares that underflowed."""
    total = (x**2).sum()
    return np.sqrt(total) if np.finfo(x.dtype).tiny < total < np.inf and x.size < 8 else by_power_of_two(np.where(x**2 > 0, x, 0))


@quiet
def times_the_reciprocal_of_the_largest(x):
    """The reciprocal of a subnormal number is infinite."""
    largest = np.abs(x).max(initial=0)
    if not 0 < largest < np.inf:
        return largest
    return largest * np.sqrt(((x * (1 / largest)) ** 2).sum())


@quiet
def subnormal_entries_are_zero(x):
    """A matrix whose largest entry is below the smallest normal number is taken for zeros."""
    return x.dtype.type(0) if np.abs(x).max(initial=0) < np.finfo(x.dtype).tiny else by_power_of_two(x)


@quiet
def epsilon_under_the_root(x):
    """A constant keeps the root away from 0, where its gradient is infinite."""
    total = by_power_of_two(x)
    return np.sqrt(total**2 + x.dtype.type(1e-12)) if 1e-15 < total < 1e15 else total


@quiet
def narrowed_before_the_root(x):
    """Squares are summed in a wider precision, and the sum goes back to the dtype before its root (jax #39899)."""
    return np.sqrt((x.astype(np.longdouble) ** 2).sum().astype(x.dtype))


# NaN and infinities


@quiet
def infinities_divided_by_each_other(x):
    """Two infinities are NaN once they are divided by the largest (gonum/blas #135, LAPACK #607)."""
    largest = np.abs(x).max(initial=0)
    return largest * np.sqrt(((x / largest) ** 2).sum()) if largest else largest


@quiet
def nan_is_no_maximum(x):
    """A largest entry that no comparison finds is lost with its NaN (Reference-LAPACK #390, #147)."""
    largest = np.fmax.reduce(np.abs(x), axis=None, initial=0)
    if largest in (0, np.inf):
        return x.dtype.type(largest)
    return by_power_of_two(x)


@quiet
def nan_is_left_out(x):
    """NaN counts as missing."""
    return by_power_of_two(np.where(np.isnan(x), 0, x).astype(x.dtype))


@quiet
def infinity_beats_nan(x):
    """As IEEE's hypot has it, which is inf for inf and NaN."""
    return x.dtype.type(np.inf) if np.isinf(x).any() else by_power_of_two(x)


@quiet
def largest_finite_for_infinity(x):
    """Infinities are replaced by the largest number, as nan_to_num does."""
    return by_power_of_two(np.where(np.isinf(x), np.copysign(np.finfo(x.dtype).max / 4, x), x).astype(x.dtype))


# Another norm, other entries


@quiet
def spectral_norm(x):
    """The largest singular value, as numpy.linalg.norm(x, 2) gives it."""
    if not np.isfinite(x).all() or not x.size:
        return by_power_of_two(x)
    return x.dtype.type(np.linalg.norm(x.astype(float), 2))


@quiet
def root_mean_square(x):
    """Divided by the square root of the number of entries."""
    return (by_power_of_two(x) / max(1, x.size) ** 0.5).astype(x.dtype)


@quiet
def root_forgotten(x):
    """The sum of the squares."""
    return by_power_of_two(x) ** 2


@quiet
def sum_of_row_norms(x):
    """Rows have norms, and those are added."""
    return np.asarray([by_power_of_two(row[None]) for row in x], x.dtype).sum(dtype=x.dtype)


@quiet
def one_triangle_twice(x):
    """A square matrix is taken to be symmetric."""
    if x.shape[0] != x.shape[1]:
        return by_power_of_two(x)
    return by_power_of_two(np.concatenate([np.tril(x), np.tril(x, -1).T]))


@quiet
def last_column_lost(x):
    """The loop along a row ends one too early."""
    return by_power_of_two(x[:, : max(1, x.shape[1] - 1)])


@quiet
def pairs_along_a_row(x):
    """Rows are read two numbers at a time, with nothing for an odd one."""
    return by_power_of_two(x[:, : x.shape[1] // 2 * 2 or x.shape[1]])


@quiet
def rescaled_without_the_square(x):
    """Where a new largest entry is found, the sum so far is multiplied by the ratio and not by its square."""
    largest, total = x.dtype.type(0), x.dtype.type(0)
    for size in np.abs(x).ravel():
        if size > largest:
            total, largest = 1 + total * (largest / size), size
        elif size == largest:
            total += x.dtype.type(1)
        else:
            total += (size / largest) ** 2
    return largest * np.sqrt(total)


@quiet
def half_accumulator(x):
    """The scaled squares are summed in float16."""
    largest = np.abs(x).max(initial=0)
    if not 0 < largest < np.inf:
        return largest
    return largest * np.sqrt(((x / largest) ** 2).astype(np.float16).sum(dtype=np.float16)).astype(x.dtype)


def zeros_over_zero(x):
    """A matrix of zeros is divided by its largest entry."""
    with np.errstate(all="ignore"):
        largest = np.abs(x).max(initial=0)
        return largest * np.sqrt(((x / largest) ** 2).sum()) if not np.isinf(largest) else largest


def fails_on_no_entries(x):
    """The largest of no entries is asked for."""
    np.abs(x).max()
    return by_power_of_two(x)


WRONG = (
    numpys_norm,
    guarded_against_overflow_alone,
    guarded_against_underflow_alone,
    scaled_where_the_sum_is_no_normal_number,
    times_the_reciprocal_of_the_largest,
    subnormal_entries_are_zero,
    epsilon_under_the_root,
    narrowed_before_the_root,
    infinities_divided_by_each_other,
    nan_is_no_maximum,
    nan_is_left_out,
    infinity_beats_nan,
    largest_finite_for_infinity,
    spectral_norm,
    root_mean_square,
    root_forgotten,
    sum_of_row_norms,
    one_triangle_twice,
    last_column_lost,
    pairs_along_a_row,
    rescaled_without_the_square,
    half_accumulator,
    zeros_over_zero,
    fails_on_no_entries,
)


# Correct, and not as one would write it


@quiet
def three_sums(x):
    """Large, ordinary and small entries have a sum each, with a scale of their own (Blue 1978)."""
    size, real, info = np.abs(x).ravel(), x.dtype.type, np.finfo(x.dtype)
    low, high = real(2.0 ** (info.minexp // 2)), real(2.0 ** ((info.maxexp - info.nmant) // 2 - 4))
    up, down = real(2.0 ** (info.nmant - info.minexp // 2)), real(2.0 ** -(info.maxexp // 2 + info.nmant))
    large, small = size > high, size < low
    big, ordinary, little = (
        ((part * scale) ** 2).sum() for part, scale in ((size[large], down), (size[~large & ~small], real(1)), (size[small], up))
    )
    if big:
        return np.sqrt(big + ordinary * down * down) / down
    return np.sqrt(ordinary + little / up / up) if ordinary else np.sqrt(little) / up


@quiet
def wider_inside(x):
    """Squares and their sum in extended precision, whose range holds them."""
    return np.sqrt((x.astype(np.longdouble) ** 2).sum()).astype(x.dtype)


@quiet
def norm_of_row_norms(x):
    """Rows have norms, and those have a norm."""
    return by_power_of_two(np.asarray([by_power_of_two(row[None]) for row in x], x.dtype)[None])


@quiet
def from_the_smallest_up(x):
    """Squares are added from the smallest to the largest."""
    largest = np.abs(x).max(initial=0)
    if not 0 < largest < np.inf:
        return largest
    total = x.dtype.type(0)
    for square in np.sort(((x / largest) ** 2).ravel()):
        total += square
    return largest * np.sqrt(total)


@quiet
def a_dot_product_with_itself(x):
    """The entries over the largest, as a vector, times themselves."""
    largest = np.abs(x).max(initial=0)
    if not 0 < largest < np.inf:
        return np.array(largest)
    vector = x.ravel(order="K") / largest
    return largest * np.sqrt(vector @ vector)


RIGHT = (by_power_of_two, three_sums, wider_inside, norm_of_row_norms, from_the_smallest_up, a_dot_product_with_itself)

# Of the generic ones: the sum has no order; the result has neither rows nor the shape of x, and NumPy gets it as a scalar.
NO_BUG = (
    "memory_order_of_the_first",
    "memory_order_of_the_last",
    "f_order_of_the_first_taken_for_c",
    "f_order_of_the_last_taken_for_c",
    "negative_strides_forgotten",
    "returns_its_operand",
    "result_cannot_be_written",
    "returns_one_buffer",
    "tail_of_rows_unwritten",
    "at_most_128_rows",
    "at_most_4200_rows",
    "counter_of_rows_wraps",
    "stored_column_by_column",
    "wrong_past_256_everywhere",
    "wrong_past_600_on_both_sides",
    "wrong_past_4200_on_both_sides",
    "wrong_at_a_length_of_11",
    "wrong_at_a_length_of_130",
)

# What is wrong at several long extents is wrong at one: a sum has one length, whatever the shape.
IDLE = ("agrees_at_ordinary_sizes",)
