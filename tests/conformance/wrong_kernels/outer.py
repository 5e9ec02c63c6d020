"""Negative controls for outer alone: kernels with one small bug each, and correct ones written oddly.

They claim whole numbers and truth values besides floating-point numbers, since half of what goes wrong goes wrong there.
"""

import numpy as np

CLAIMS = {"dtypes": ("bool", "int8", "uint8", "int64", "float32", "float64")}
COMPARISONS = ("less", "less_equal", "equal")


def _broadcast(a, b, function):
    """Return the function of a column and a row."""
    return getattr(np, function)(a[:, None], b[None, :])


# Which way round


def transposed_where_square(a, b, function):
    """Where both vectors have one length the result is transposed, and no shape betrays it."""
    c = _broadcast(a, b, function)
    return c.T.copy() if len(a) == len(b) else c


def operands_exchanged(a, b, function):
    """The right shape, but f(b_j, a_i): differences have the other sign, and less is greater."""
    return getattr(np, function)(b[None, :], a[:, None])


def mirrored_where_the_operands_are_one(a, b, function):
    """Where both vectors hold the same, the result is taken to be symmetric, as a product is."""
    c = _broadcast(a, b, function)
    same = a.shape == b.shape and (a == b).all()
    return np.where(np.tri(len(a), dtype=bool), c, c.T) if same else c


# NaN, infinities and zeros in comparisons


def less_equal_is_not_greater(a, b, function):
    """Less or equal as not greater: true wherever there is a NaN."""
    return ~_broadcast(a, b, "greater") if function == "less_equal" else _broadcast(a, b, function)


def equal_by_a_difference_of_zero(a, b, function):
    """Equality as a difference of 0: an infinity is not equal to itself, since inf - inf is NaN."""
    if function != "equal" or a.dtype == bool:
        return _broadcast(a, b, function)
    with np.errstate(invalid="ignore"):
        return _broadcast(a, b, "subtract") == 0


def less_by_the_sign_of_the_difference(a, b, function):
    """Less as a negative difference: an unsigned difference is never negative, and a signed one wraps."""
    if function != "less" or a.dtype == bool:
        return _broadcast(a, b, function)
    with np.errstate(invalid="ignore"):
        return _broadcast(a, b, "subtract") < 0


def nan_equals_nan(a, b, function):
    """Missing values are taken to be equal, as assert_array_equal takes them."""
    c = _broadcast(a, b, function)
    return c | (np.isnan(a)[:, None] & np.isnan(b)) if function == "equal" and a.dtype.kind == "f" else c


def equal_bit_by_bit(a, b, function):
    """Equality of the bits: zeros of two signs differ, and a NaN equals itself."""
    if function == "equal" and a.dtype.kind == "f":
        a, b = (np.ascontiguousarray(each).view(f"i{each.itemsize}") for each in (a, b))
    return _broadcast(a, b, function)


def equal_within_a_tolerance(a, b, function):
    """What isclose takes for equal is equal."""
    return np.isclose(a[:, None], b) if function == "equal" and a.dtype.kind == "f" else _broadcast(a, b, function)


def less_equal_is_less(a, b, function):
    """A choice is mistaken for its neighbour: only ties tell."""
    return _broadcast(a, b, "less" if function == "less_equal" else function)


def small_numbers_are_equal(a, b, function):
    """Subnormal numbers are taken for zero, as fast modes of processors do."""
    if a.dtype.kind == "f":
        a, b = (np.where(np.abs(each) < np.finfo(each.dtype).tiny, 0, each).astype(each.dtype) for each in (a, b))
    return _broadcast(a, b, function)


# Whole numbers and truth values


def whole_numbers_through_doubles(a, b, function):
    """int64 is compared and multiplied as float64, which has 53 digits: NumPy #5746 and #8851, of int64 beside uint64."""
    if a.dtype != np.int64:
        return _broadcast(a, b, function)
    with np.errstate(all="ignore"):
        return _broadcast(a.astype(float), b.astype(float), function).astype(bool if function in COMPARISONS else np.int64)


def saturates(a, b, function):
    """Bytes stop at their ends, as libraries for images have it, where they should wrap."""
    if a.dtype.kind not in "iu" or a.itemsize > 1 or function in COMPARISONS:
        return _broadcast(a, b, function)
    info = np.iinfo(a.dtype)
    return np.clip(_broadcast(a.astype(int), b.astype(int), function), info.min, info.max).astype(a.dtype)


def widened(a, b, function):
    """Whole numbers come back in int64, where they do not wrap: what NumPy #2522 asks of differences of unsigned numbers."""
    return _broadcast(a.astype(np.int64), b.astype(np.int64), function) if a.dtype.kind in "iu" else _broadcast(a, b, function)


def unsigned_as_signed(a, b, function):
    """Unsigned bytes are read as signed ones: from 128 on they are negative, which only comparisons show."""
    return _broadcast(a.view(np.int8), b.view(np.int8), function).astype(
        bool if function in COMPARISONS else a.dtype
    ) if a.dtype == np.uint8 and a.flags.c_contiguous and b.flags.c_contiguous else _broadcast(a, b, function)  # fmt: skip


def truth_values_added_without_carry(a, b, function):
    """A sum of truth values as exclusive or: true and true is false."""
    return _broadcast(a, b, "not_equal") if a.dtype == bool and function == "add" else _broadcast(a, b, function)


# What comes back


def comparisons_in_numbers(a, b, function):
    """Comparisons come back as 0 and 1 in the operands' dtype."""
    return _broadcast(a, b, function).astype(a.dtype)


def comparisons_in_bytes(a, b, function):
    """Comparisons come back as bytes, as a kernel stores them that has no truth values."""
    c = _broadcast(a, b, function)
    return c.astype(np.uint8) if function in COMPARISONS else c


def zeros_skipped(a, b, function):
    """Rows of a zero are left zero, though zero times NaN is NaN."""
    with np.errstate(invalid="ignore"):
        c = _broadcast(a, b, function)
    return np.where(a[:, None] == 0, 0, c).astype(c.dtype) if function == "multiply" else c


def repeats_a_view(a, b, function):
    """The row is repeated without a copy, where all rows are the same: the entries of a column share their memory."""
    if len(a) > 1 and (a == a[0]).all():
        return np.broadcast_to(_broadcast(a[:1], b, function), (len(a), len(b)))
    return _broadcast(a, b, function)


WRONG = (
    transposed_where_square,
    operands_exchanged,
    mirrored_where_the_operands_are_one,
    less_equal_is_not_greater,
    equal_by_a_difference_of_zero,
    less_by_the_sign_of_the_difference,
    nan_equals_nan,
    equal_bit_by_bit,
    equal_within_a_tolerance,
    less_equal_is_less,
    small_numbers_are_equal,
    whole_numbers_through_doubles,
    saturates,
    widened,
    unsigned_as_signed,
    truth_values_added_without_carry,
    comparisons_in_numbers,
    comparisons_in_bytes,
    zeros_skipped,
    repeats_a_view,
)


# Correct, and not as one would write it


def column_by_column(a, b, function):
    """One column of the result at a time, in Fortran order."""
    c = np.empty((len(a), len(b)), bool if function in COMPARISONS else a.dtype, order="F")
    for j in range(len(b)):
        c[:, j] = getattr(np, function)(a, b[j])
    return c


def by_the_opposite(a, b, function):
    """Each function by another: less as greater the other way round, a difference as the negative of the opposite one."""
    opposite = {"less": "greater", "less_equal": "greater_equal", "subtract": "subtract"}.get(function, function)
    c = getattr(np, opposite)(b[None, :], a[:, None])
    return np.negative(c) if function == "subtract" else c


def on_repeated_operands(a, b, function):
    """Both operands are repeated to the full shape first."""
    m, n = len(a), len(b)
    return getattr(np, function)(np.repeat(a, n), np.tile(b, m)).reshape(m, n)


def product_of_matrices(a, b, function):
    """A product is one of two matrices that share an extent of 1."""
    return np.matmul(a[:, None], b[None]) if function == "multiply" else _broadcast(a, b, function)


def transposed_twice(a, b, function):
    """Row by row of the transpose, which is a view of fresh memory."""
    return getattr(np, function)(a[None, :], b[:, None]).T


RIGHT = (column_by_column, by_the_opposite, on_repeated_operands, product_of_matrices, transposed_twice)

NO_BUG = (
    # Nothing is summed, and there are no terms.
    "last_term_lost",
    "tail_of_terms_lost",
    "at_most_128_terms",
    "at_most_512_terms",
    "at_most_4200_terms",
    "counter_of_terms_wraps",
    "order_by_chance",
    "wrong_past_600_on_both_sides",
    "wrong_past_4200_on_both_sides",
    # A vector lies in one order, whatever it is called.
    "memory_order_of_the_first",
    "memory_order_of_the_last",
    "f_order_of_the_first_taken_for_c",
    "f_order_of_the_last_taken_for_c",
    "returns_its_operand",  # the result has another shape
)
