"""Negative controls for pairwise_distance alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np


def _apart(x, y):
    return np.abs(x[:, None] - y)


def _from_apart(apart, metric):
    """Reduce the differences of all pairs, (n, m, d), as the metric says."""
    if metric == "chebyshev":
        return apart.max(axis=2, initial=0)
    if metric == "cityblock":
        return apart.sum(axis=2)
    if metric == "sqeuclidean":
        return (apart**2).sum(axis=2)
    largest = apart.max(axis=2, initial=0)
    unit = np.where((largest > 0) & (largest < np.inf), largest, 1).astype(apart.dtype)
    return unit * np.sqrt(((apart / unit[:, :, None]) ** 2).sum(axis=2))


def _right(x, y, metric):
    return _from_apart(_apart(x, y), metric)


def _of_squares(squares, metric):
    return np.sqrt(squares) if metric == "euclidean" else squares


def _has_squares(metric):
    return metric in ("euclidean", "sqeuclidean")


def _expanded(x, y):
    squares = (x**2).sum(axis=1)[:, None] - 2 * (x @ y.T) + (y**2).sum(axis=1)
    return np.maximum(squares, 0)


# Digits


def scikit_learns_expansion(x, y, metric):
    """scikit-learn 1.9.1's euclidean_distances: |x|^2 - 2xy + |y|^2, of float32 in float64, and the diagonal 0 where y is x.

    scikit-learn #9354 has what is lost far from the origin; the fix of float32, #13554, left float64 as it was.
    """
    if not _has_squares(metric):
        return _right(x, y, metric)
    distances = _of_squares(_expanded(x.astype(float), y.astype(float)), metric).astype(x.dtype)
    if y is x:
        np.fill_diagonal(distances, 0)
    return distances


def torchs_expansion_past_25_rows(x, y, metric):
    """torch.cdist's default: an expansion where there are more than 25 rows (pytorch #42479, #37734)."""
    if not _has_squares(metric) or max(len(x), len(y)) <= 25:
        return _right(x, y, metric)
    return _of_squares(_expanded(x, y), metric)


def centred_expansion(x, y, metric):
    """An expansion of centred points that claims the digits of differences."""
    if not _has_squares(metric) or not len(y):
        return _right(x, y, metric)
    centre = y.mean(axis=0)
    return _of_squares(_expanded(x - centre, y - centre), metric)


def centred_expansion_in_double(x, y, metric):
    """float32 through an expansion in float64, which has digits enough for points near the origin; float64 by differences."""
    if x.dtype == np.float64 or not _has_squares(metric):
        return _right(x, y, metric)
    return _of_squares(_expanded(x.astype(float), y.astype(float)), metric).astype(x.dtype)


def tf32_products(x, y, metric):
    """Squares of differences that are cut to TF32 first, as tensor cores do (pytorch #57690)."""
    apart = _apart(x, y)
    if _has_squares(metric) and x.dtype == np.float32:
        apart = (apart.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    return _from_apart(apart, metric)


def epsilon_under_the_root(x, y, metric):
    """A small number under the root, against a gradient that is infinite at 0."""
    apart = _apart(x, y)
    squares = _from_apart(apart, "sqeuclidean")
    return np.sqrt(squares + x.dtype.type(1e-12)) if metric == "euclidean" else _from_apart(apart, metric)


def small_squares_are_zero(x, y, metric):
    """Squared distances below the rounding of the points' own squares are taken for 0, in case they came from an expansion."""
    distances = _right(x, y, metric)
    own = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)
    small = _from_apart(_apart(x, y), "sqeuclidean") < np.finfo(x.dtype).eps * own
    return np.where(small, 0, distances).astype(x.dtype) if _has_squares(metric) else distances


# Range


def squares_overflow_and_vanish(x, y, metric):
    """torch.cdist's exact mode and SciPy's cdist: the root of the sum of squares as they are."""
    apart = _apart(x, y)
    return np.sqrt((apart**2).sum(axis=2)) if metric == "euclidean" else _from_apart(apart, metric)


def squares_vanish(x, y, metric):
    """Differences are scaled down where they are large, and not up where they are small."""
    apart = _apart(x, y)
    if metric != "euclidean":
        return _from_apart(apart, metric)
    unit = np.maximum(np.where(np.isfinite(apart), apart, 0).max(axis=2, initial=0), 1).astype(x.dtype)
    return unit * np.sqrt(((apart / unit[:, :, None]) ** 2).sum(axis=2))


def one_unit_for_all_pairs(x, y, metric):
    """Squares are scaled by the largest difference of all pairs: those of far smaller ones vanish."""
    apart = _apart(x, y)
    if metric != "euclidean":
        return _from_apart(apart, metric)
    unit = np.where(np.isfinite(apart), apart, 0).max(initial=0) or x.dtype.type(1)
    return unit * np.sqrt(((apart / unit) ** 2).sum(axis=2))


def zero_where_squares_overflow(x, y, metric):
    """The root of what is no number, or infinite, is 0 (NumKong #384)."""
    distances = squares_overflow_and_vanish(x, y, metric)
    return np.where(np.isfinite(distances), distances, 0).astype(x.dtype) if metric == "euclidean" else distances


# Diagonals and symmetry


def zero_on_any_diagonal(x, y, metric):
    """The diagonal is set to 0 wherever the result is square: as if y were x (gpytorch does so where it is told that it is)."""
    distances = _right(x, y, metric)
    if len(x) == len(y):
        np.fill_diagonal(distances, 0)
    return distances


def zero_where_first_rows_agree(x, y, metric):
    """Another y is taken for x, whose diagonal is 0, where shapes and first rows are the same."""
    distances = _right(x, y, metric)
    if x.shape == y.shape and len(x) and (x[0] == y[0]).all():
        np.fill_diagonal(distances, np.where(np.isnan(np.diagonal(distances)), np.nan, 0))
    return distances


def one_triangle_mirrored(x, y, metric):
    """A square result is taken to be symmetric."""
    distances = _right(x, y, metric)
    return np.tril(distances) + np.tril(distances, -1).T if len(x) == len(y) else distances


def the_other_way_round(x, y, metric):
    """Where the result is square, it is the distances of y from x."""
    return _right(y, x, metric) if len(x) == len(y) else _right(x, y, metric)


# Metrics


def minkowski_for_chebyshev(x, y, metric):
    """A Minkowski distance of a large order stands in for the largest difference (pytorch #184036)."""
    apart = _apart(x, y)
    if metric != "chebyshev":
        return _from_apart(apart, metric)
    largest = apart.max(axis=2, initial=0)
    unit = np.where((largest > 0) & (largest < np.inf), largest, 1).astype(x.dtype)
    return unit * ((apart / unit[:, :, None]) ** 16).sum(axis=2) ** x.dtype.type(1 / 16)


def one_for_chebyshev(x, y, metric):
    """The root of infinite order of a sum of infinite powers: 1 for all (SciPy #8776)."""
    distances = _right(x, y, metric)
    return np.ones_like(distances) if metric == "chebyshev" else distances


def signed_cityblock(x, y, metric):
    """The size of the summed differences, not the sum of their sizes."""
    return np.abs((x[:, None] - y).sum(axis=2)) if metric == "cityblock" else _right(x, y, metric)


def mean_for_cityblock(x, y, metric):
    """The mean over the coordinates, not the sum."""
    distances = _right(x, y, metric)
    return distances / x.dtype.type(max(1, x.shape[1])) if metric == "cityblock" else distances


def root_forgotten(x, y, metric):
    """Euclidean distances are left squared."""
    return _right(x, y, "sqeuclidean" if metric == "euclidean" else metric)


def root_of_both(x, y, metric):
    """The squared metric gets the root as well."""
    return _right(x, y, "euclidean" if metric == "sqeuclidean" else metric)


def metric_of_the_first_call(x, y, metric):
    """What is compiled for the first metric serves all."""
    return _right(x, y, _first.setdefault("metric", metric))


_first = {}


# Special values


def chebyshev_loses_nan(x, y, metric):
    """SciPy's cdist and torch.cdist: a comparison with NaN is false, and the largest of the others is left (Distances.jl #17)."""
    apart = _apart(x, y)
    return np.fmax.reduce(apart, axis=2, initial=0).astype(x.dtype) if metric == "chebyshev" else _from_apart(apart, metric)


def chebyshev_loses_nan_past_whole_registers(x, y, metric):
    """Coordinates go eight at a time, and the largest of the rest joins in by a comparison that NaN loses."""
    apart, whole = _apart(x, y), x.shape[1] // 8 * 8
    if metric != "chebyshev" or whole in (0, x.shape[1]):
        return _from_apart(apart, metric)
    return np.fmax(apart[:, :, :whole].max(axis=2), apart[:, :, whole:].max(axis=2))


def nan_clipped_to_zero(x, y, metric):
    """Squares are clipped at 0 by a function that takes NaN for nothing."""
    distances = _right(x, y, metric)
    return np.fmax(distances, x.dtype.type(0)) if _has_squares(metric) else distances


def infinity_beside_nan(x, y, metric):
    """As C's hypot: a distance is infinite where a difference is, even if another is NaN."""
    apart = _apart(x, y)
    return np.where(np.isinf(apart).any(axis=2), np.inf, _from_apart(apart, metric)).astype(x.dtype)


def equal_infinities_are_near(x, y, metric):
    """Equal coordinates are 0 apart, infinite ones too."""
    return _from_apart(np.where(x[:, None] == y, 0, _apart(x, y)).astype(x.dtype), metric)


def nan_from_a_unit_of_infinity(x, y, metric):
    """Infinite differences are divided by the largest, which is infinite: NaN."""
    apart = _apart(x, y)
    if metric != "euclidean":
        return _from_apart(apart, metric)
    largest = apart.max(axis=2, initial=0)
    unit = np.where(largest > 0, largest, 1).astype(x.dtype)
    return unit * np.sqrt(((apart / unit[:, :, None]) ** 2).sum(axis=2))


WRONG = (
    scikit_learns_expansion,
    torchs_expansion_past_25_rows,
    centred_expansion,
    centred_expansion_in_double,
    tf32_products,
    epsilon_under_the_root,
    small_squares_are_zero,
    squares_overflow_and_vanish,
    squares_vanish,
    one_unit_for_all_pairs,
    zero_where_squares_overflow,
    zero_on_any_diagonal,
    zero_where_first_rows_agree,
    one_triangle_mirrored,
    the_other_way_round,
    minkowski_for_chebyshev,
    one_for_chebyshev,
    signed_cityblock,
    mean_for_cityblock,
    root_forgotten,
    root_of_both,
    metric_of_the_first_call,
    chebyshev_loses_nan,
    chebyshev_loses_nan_past_whole_registers,
    nan_clipped_to_zero,
    infinity_beside_nan,
    equal_infinities_are_near,
    nan_from_a_unit_of_infinity,
)


# Correct ones


def by_differences(x, y, metric):
    """All differences at once, in units of each pair's largest."""
    return _right(x, y, metric)


def wider_inside(x, y, metric):
    """The definition as it reads, in a format whose range holds all squares."""
    apart = np.abs(x.astype(np.longdouble)[:, None] - y.astype(np.longdouble))
    if not _has_squares(metric):
        return _from_apart(apart, metric).astype(x.dtype)
    return _of_squares((apart**2).sum(axis=2), metric).astype(x.dtype)


def coordinate_by_coordinate(x, y, metric):
    """One coordinate of all pairs after the other, the last first; a power of two of each pair's own for a unit."""
    total = np.zeros((len(x), len(y)), x.dtype)
    largest = _from_apart(_apart(x, y), "chebyshev")
    _, exponent = np.frexp(np.where(np.isfinite(largest) & (metric == "euclidean"), largest, 0))
    for k in reversed(range(x.shape[1])):
        apart = np.ldexp(np.abs(y[:, k] - x[:, k, None]), -exponent)
        total = total + (apart if metric == "cityblock" else apart * apart)
    if metric == "chebyshev":
        return largest
    return np.ldexp(np.sqrt(total), exponent) if metric == "euclidean" else total


def only_one_triangle(x, y, metric):
    """Where y is x, the pairs above the diagonal, and the same below it; the diagonal as it is, NaN where a point is infinite."""
    if y is not x:
        return _right(x, y, metric)
    distances = np.empty((len(x), len(x)), x.dtype)
    for i in range(len(x)):
        distances[i, i:] = distances[i:, i] = _right(x[i : i + 1], x[i:], metric)[0]
    return distances


def columns_first(x, y, metric):
    """The distances of y from x, transposed."""
    return np.ascontiguousarray(_right(y, x, metric).T)


def scaled_again_where_squares_fail(x, y, metric):
    """Squares as they are, and once more with a unit where their sum is not in the middle of the range."""
    apart = _apart(x, y)
    if metric != "euclidean":
        return _from_apart(apart, metric)
    squares, limits = (apart**2).sum(axis=2), np.finfo(x.dtype)
    middle = (squares >= limits.tiny * x.shape[1] / limits.eps) & (squares <= limits.max)
    return np.where(middle, np.sqrt(squares), _from_apart(apart, metric))


def public_signature(x, y=None, *, metric="euclidean"):
    """The operation as callers see it."""
    return _right(x, x if y is None else y, metric)


RIGHT = (
    by_differences,
    wider_inside,
    coordinate_by_coordinate,
    only_one_triangle,
    columns_first,
    scaled_again_where_squares_fail,
    public_signature,
)

# Of the generic ones: no array is as large as 4,200 times 4,200, and only zeros are the distances of themselves.
NO_BUG = ("wrong_past_4200_on_both_sides", "returns_its_operand")
