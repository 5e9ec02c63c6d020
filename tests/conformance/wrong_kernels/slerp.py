"""Negative controls for slerp alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np


def _over_largest(x):
    largest = np.abs(x).max(axis=-1, keepdims=True, initial=0)
    return x / np.where(largest > 0, largest, 1)


def _norm(x):
    return np.sqrt((x**2).sum(axis=-1, keepdims=True))


def _normalized(x):
    """Return rows over their lengths, and which of them have none."""
    scaled = _over_largest(x)
    size = _norm(scaled)
    return scaled / np.where(size == 0, 1, size), size == 0


def _angle(a, b):
    """Return the angles between rows, and where there is no arc."""
    (of_a, no_a), (of_b, no_b) = _normalized(a), _normalized(b)
    apart, together = _norm(of_a - of_b), _norm(of_a + of_b)
    return 2 * np.arctan2(apart, together), no_a | no_b | (together == 0)


def _arc(a, b, t, w, straight):
    """Return the rows' sum with the weights that an angle gives."""
    with np.errstate(all="ignore"):
        near, far = (np.where(straight | (w == 0), share, np.sin(share * w) / np.sin(w)) for share in (1 - t, t))
        return (near * a + far * b).astype(a.dtype)


@np.errstate(all="ignore")
def plain(a, b, t):
    """The definition, row by row, in NumPy."""
    return _arc(a, b, t, *_angle(a, b))


# The angle


@np.errstate(all="ignore")
def angle_from_the_cosine(a, b, t):
    """The angle is the arc cosine of the clipped product: near 180 degrees half of its digits are lost (Resonite-Issues#3008)."""
    (of_a, no_a), (of_b, no_b) = _normalized(a), _normalized(b)
    cosine = np.clip((of_a * of_b).sum(axis=-1, keepdims=True), -1, 1)
    return _arc(a, b, t, np.arccos(cosine), no_a | no_b | (_angle(a, b)[1]))


@np.errstate(all="ignore")
def cosine_beyond_one(a, b, t):
    """The cosine is not clipped: rounding takes it past 1, whose arc cosine is NaN (yoanlcq/vek#47, hlslpp#68)."""
    (of_a, no_a), (of_b, no_b) = _normalized(a), _normalized(b)
    return _arc(a, b, t, np.arccos((of_a * of_b).sum(axis=-1, keepdims=True)), no_a | no_b | _angle(a, b)[1])


@np.errstate(all="ignore")
def nothing_over_nothing(a, b, t):
    """Parallel rows have the angle 0, and sin(0) / sin(0) is NaN (toji/gl-matrix#500)."""
    w, straight = _angle(a, b)
    near, far = (np.where(straight, share, np.sin(share * w) / np.sin(w)) for share in (1 - t, t))
    return (near * a + far * b).astype(a.dtype)


@np.errstate(all="ignore")
def linear_within_two_degrees(a, b, t):
    """Past a cosine of 0.9995 the result is linear: three digits of an arc are lost (glam-rs#356)."""
    w, straight = _angle(a, b)
    return _arc(a, b, t, w, straight | (np.abs(np.cos(w)) > 0.9995))


def linear_within_the_square_root_of_a_rounding(a, b, t):
    """A sine whose square is below epsilon counts as no angle, at 0 and at 180 degrees (three.js#14349)."""
    w, straight = _angle(a, b)
    return _arc(a, b, t, w, straight | (np.sin(w) ** 2 <= np.finfo(a.dtype).eps))


def the_mean_of_close_rows(a, b, t):
    """Rows that are close give their mean, whatever t is (three.js#14258)."""
    w, _ = _angle(a, b)
    return np.where(np.abs(np.sin(w)) < 1e-3, a / 2 + b / 2, plain(a, b, t)).astype(a.dtype)


def the_shorter_way(a, b, t):
    """An obtuse angle is avoided by the negative of b, which for quaternions alone is the same rotation (graphene#157)."""
    with np.errstate(all="ignore"):
        obtuse = (_over_largest(a) * _over_largest(b)).sum(axis=-1, keepdims=True) < 0
    return plain(a, np.where(obtuse, -b, b).astype(b.dtype), t)


def hidden_epsilon(a, b, t):
    """A constant in the sine, against division by zero."""
    w, straight = _angle(a, b)
    with np.errstate(all="ignore"):
        near, far = (np.where(straight | (w == 0), share, np.sin(share * w) / (np.sin(w) + 1e-6)) for share in (1 - t, t))
    return (near * a + far * b).astype(a.dtype)


# Rows that have no arc


def stays_between_opposite_rows(a, b, t):
    """Between opposite rows the result is the first one, for every t (nalgebra#1614)."""
    (of_a, _), (of_b, _) = _normalized(a), _normalized(b)
    return np.where((of_a + of_b == 0).all(axis=-1, keepdims=True), a + 0 * b, plain(a, b, t)).astype(a.dtype)


@np.errstate(all="ignore")
def opposite_rows_by_the_formula(a, b, t):
    """Opposite rows are not told from others: weights of 1e7 that ought to cancel."""
    return _arc(a, b, t, _angle(a, b)[0], False)


@np.errstate(all="ignore")
def zero_rows_are_nan(a, b, t):
    """A row of zeros is divided by its length."""
    w, straight = _angle(a, b)
    zero = (_norm(_over_largest(a)) == 0) | (_norm(_over_largest(b)) == 0)
    return np.where(zero, np.nan, _arc(a, b, t, w, straight)).astype(a.dtype)


def nan_is_left_where_it_is(a, b, t):
    """Entries that are not finite count as 0 in the angle, and spoil their own column alone."""
    clean = (np.where(np.isfinite(rows), rows, 0) for rows in (a, b))
    with np.errstate(all="ignore"):
        return _arc(a, b, t, *_angle(*clean))


# Lengths


@np.errstate(all="ignore")
def squares_leave_the_range(a, b, t):
    """Lengths are square roots of sums of squares as they come: NaN for large rows, and small ones count as zero."""
    size_a, size_b = _norm(a), _norm(b)
    of_a, of_b = (x / np.where(size == 0, 1, size) for x, size in ((a, size_a), (b, size_b)))
    together = _norm(of_a + of_b)
    w = 2 * np.arctan2(_norm(of_a - of_b), together)
    return _arc(a, b, t, w, (size_a == 0) | (size_b == 0) | (together == 0))


def rows_of_one_length(a, b, t):
    """Rows are taken to be of length 1, as quaternions are (g-truc/glm#1423)."""
    with np.errstate(all="ignore"):
        cosine = np.clip((a * b).sum(axis=-1, keepdims=True), -1, 1)
        return _arc(a, b, t, np.arccos(cosine), _angle(a, b)[1])


def result_of_length_one(a, b, t):
    """The rows themselves are normalised, so that their lengths are lost."""
    return plain(_normalized(a)[0].astype(a.dtype), _normalized(b)[0].astype(b.dtype), t)


@np.errstate(all="ignore")
def one_angle_for_a_batch(a, b, t):
    """The angle is that of the first row, for all rows of the batch."""
    a, b = np.broadcast_arrays(a, b)
    w, straight = _angle(a, b)
    first = (slice(0, 1),) * (a.ndim - 1)
    return _arc(a, b, t, w[first], straight[first]) if a.ndim > 1 else _arc(a, b, t, w, straight)


def half_the_angle(a, b, t):
    """Kahan's formula gives half of the angle, and the 2 is forgotten."""
    w, straight = _angle(a, b)
    return _arc(a, b, t, w / 2, straight)


def sums_to_one(a, b, t):
    """The weight of a is 1 less that of b, as in a linear interpolation."""
    w, straight = _angle(a, b)
    with np.errstate(all="ignore"):
        far = np.where(straight | (w == 0), t, np.sin(t * w) / np.sin(w))
    return ((1 - far) * a + far * b).astype(a.dtype)


WRONG = (
    angle_from_the_cosine,
    cosine_beyond_one,
    nothing_over_nothing,
    linear_within_two_degrees,
    linear_within_the_square_root_of_a_rounding,
    the_mean_of_close_rows,
    the_shorter_way,
    hidden_epsilon,
    stays_between_opposite_rows,
    opposite_rows_by_the_formula,
    zero_rows_are_nan,
    nan_is_left_where_it_is,
    squares_leave_the_range,
    rows_of_one_length,
    result_of_length_one,
    one_angle_for_a_batch,
    half_the_angle,
    sums_to_one,
)


# Correct, and not as one would write it


def wider_inside(a, b, t):
    """Everything in extended precision, rounded once."""
    return plain(a.astype(np.longdouble), b.astype(np.longdouble), t).astype(a.dtype)


@np.errstate(all="ignore")
def by_sinc(a, b, t):
    """Weights as quotients of sin(x) / x, which need no exception where the angle is 0."""
    w, straight = _angle(a, b)
    near, far = (share * np.sinc(share * w / np.pi) / np.sinc(w / np.pi) for share in (1 - t, t))
    near, far = np.where(straight, 1 - t, near), np.where(straight, t, far)
    return (near * a + far * b).astype(a.dtype)


@np.errstate(all="ignore")
def from_the_bisector(a, b, t):
    """Half of the angle by the arc sine or the arc cosine, whichever is well-conditioned."""
    (of_a, no_a), (of_b, no_b) = _normalized(a), _normalized(b)
    apart, together = _norm(of_a - of_b), _norm(of_a + of_b)
    half = np.where(apart < together, np.arcsin(np.minimum(apart / 2, 1)), np.arccos(np.minimum(together / 2, 1)))
    return _arc(a, b, t, 2 * half, no_a | no_b | (together == 0))


def row_by_row(a, b, t):
    """One row of the batch at a time, and from the other end."""
    a, b = np.broadcast_arrays(a, b)
    y = np.empty(a.shape, a.dtype)
    for index in np.ndindex(a.shape[:-1]):
        y[index] = plain(b[index][::-1], a[index][::-1], 1 - t)[::-1]
    return y


RIGHT = (plain, wider_inside, by_sinc, from_the_bisector, row_by_row)

CLAIMS = {"batches": True}

# Of the generic ones: no extent is summed away, so that there are no terms.
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
