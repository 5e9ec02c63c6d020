"""Negative controls for meanshift_step alone: kernels with one small bug each; correct ones stand beside them."""

import numpy as np
from wrong_kernels.of_meanshift_step import cells, correct, masses
from wrong_kernels.of_meanshift_step.plain import BATCH, distances, move, step, truncated, weights_of

# Weights


def gaussian_without_the_half(x, bandwidth, *, data, kernel):
    """The gaussian is exp(-q^2)."""
    q2 = distances(x, bandwidth, data)
    return move(x, data, weights_of(2 * q2 if kernel == "gaussian" else q2, kernel))


def gaussian_of_the_distance(x, bandwidth, *, data, kernel):
    """The gaussian is exp(-q/2): the square was forgotten."""
    q2 = distances(x, bandwidth, data)
    return move(x, data, weights_of(np.sqrt(q2) if kernel == "gaussian" else q2, kernel))


def triangular_not_clipped(x, bandwidth, *, data, kernel):
    """Triangular weights go below zero."""
    q2 = distances(x, bandwidth, data)
    return move(x, data, 1 - np.sqrt(q2) if kernel == "triangular" else weights_of(q2, kernel))


def epanechnikov_of_the_distance(x, bandwidth, *, data, kernel):
    """Epanechnikov weights are 1 - q."""
    return step(x, bandwidth, data, "triangular" if kernel == "epanechnikov" else kernel)


def flat_reaches_too_far(x, bandwidth, *, data, kernel):
    """Flat compares the squared distance with the bandwidth."""
    q2 = distances(x, bandwidth, data)
    return move(x, data, (q2 * bandwidth <= 1).astype(x.dtype) if kernel == "flat" else weights_of(q2, kernel))


def kernel_ignored(x, bandwidth, *, data, kernel):
    """It is always a gaussian."""
    return step(x, bandwidth, data, "gaussian")


def city_block_distance(x, bandwidth, *, data, kernel):
    """Distances are sums of absolute differences."""
    return move(x, data, weights_of(np.abs((data - x[:, None]) / bandwidth).sum(axis=2) ** 2, kernel))


def coordinate_tail_lost(x, bandwidth, *, data, kernel):
    """Distances take coordinates four at a time, and leave the rest once there are four."""
    d = x.shape[1] // 4 * 4 or x.shape[1]
    return move(x, data, weights_of(distances(x[:, :d], bandwidth, data[:, :d]), kernel))


def gaussian_cut_at_three(x, bandwidth, *, data, kernel):
    """The gaussian ends at three bandwidths."""
    return truncated(x, bandwidth, data, kernel, 3)


def gaussian_cut_at_four(x, bandwidth, *, data, kernel):
    """The gaussian ends at four bandwidths."""
    return truncated(x, bandwidth, data, kernel, 4)


def gaussian_cut_at_seven(x, bandwidth, *, data, kernel):
    """The gaussian ends at seven bandwidths, too few for float64."""
    return truncated(x, bandwidth, data, kernel, 7)


def exponential_by_a_power(x, bandwidth, *, data, kernel):
    """The exponential is (1 + t/1024)^1024."""
    if kernel != "gaussian":
        return step(x, bandwidth, data, kernel)
    q2 = distances(x, bandwidth, data)
    q2 = q2 - q2.min(axis=1, keepdims=True, initial=np.inf)
    return move(x, data, np.maximum(1 - q2 / 2048, 0) ** 1024)


# Sums and quotients


def normalised_by_the_count(x, bandwidth, *, data, kernel):
    """The mean is divided by the number of points."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    return x + np.einsum("ij,ijk->ik", w, data - x[:, None]) / max(1, len(data))


def hidden_epsilon(x, bandwidth, *, data, kernel):
    """A constant against division by zero stands in the denominator."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    return x + np.einsum("ij,ijk->ik", w, data - x[:, None]) / (w.sum(axis=1) + 1e-12)[:, None]


def epsilon_under_the_root(x, bandwidth, *, data, kernel):
    """A constant that smooths a gradient stands under the root."""
    r2 = ((data - x[:, None]) ** 2).sum(axis=2) + 1e-12
    return move(x, data, weights_of(r2 / bandwidth**2, kernel))


def small_moves_dropped(x, bandwidth, *, data, kernel):
    """A point that would move by less than an absolute tolerance is taken to have converged."""
    y = step(x, bandwidth, data, kernel)
    return np.where(np.abs(y - x) < 1e-7, x, y)


def self_excluded(x, bandwidth, *, data, kernel):
    """A point does not pull itself."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    return move(x, data, w * ~np.eye(len(x), dtype=bool) if data is x else w)


def coincident_points_excluded(x, bandwidth, *, data, kernel):
    """Points at no distance are taken for the point itself and left out."""
    q2 = distances(x, bandwidth, data)
    return move(x, data, np.where(q2 == 0, 0, weights_of(q2, kernel)))


def duplicates_removed(x, bandwidth, *, data, kernel):
    """Equal points count once."""
    return step(x, bandwidth, np.unique(data, axis=0), kernel)


def last_point_skipped(x, bandwidth, *, data, kernel):
    """The loop over data is unrolled by 16, and one too short where a rest is left."""
    m = len(data) - 1 if len(data) > BATCH and len(data) % BATCH else len(data)
    return step(x, bandwidth, data[:m], kernel)


def nearest_32_only(x, bandwidth, *, data, kernel):
    """Only the 32 nearest points have weight."""
    q2 = distances(x, bandwidth, data)
    w = weights_of(q2, kernel)
    return move(x, data, np.where(q2.argsort(axis=1).argsort(axis=1) < 32, w, 0))


def data_ignored(x, bandwidth, *, data, kernel):
    """It is always the blurring step."""
    return step(x, bandwidth, x, kernel)


def blurring_assumed(x, bandwidth, *, data, kernel):
    """Data of x's shape is taken for x."""
    return step(x, bandwidth, x if data.shape == x.shape else data, kernel)


def diagonal_twice(x, bandwidth, *, data, kernel):
    """One triangle of the weights is added to its transpose, the diagonal included."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    return move(x, data, w + np.diag(np.diag(w)) if data is x else w)


# Rows: order, tails, and those that nothing reaches


def in_place_by_row(x, bandwidth, *, data, kernel):
    """Rows are written while later rows read them, as in the lecture."""
    y = x.copy()
    for i in range(len(x)):
        y[i : i + 1] = step(y[i : i + 1], bandwidth, y if data is x else data, kernel)
    return y


def in_place_by_batch(x, bandwidth, *, data, kernel):
    """Batches of rows are written while later batches read them, as in the lecture."""
    y = x.copy()
    for start in range(0, len(x), BATCH):
        batch = y[start : start + BATCH]
        batch[...] = step(batch, bandwidth, y if data is x else data, kernel)
    return y


def in_place_without_data(x, bandwidth, data=None, kernel="gaussian"):
    """The lecture's loop where data is left out, as its author would call it; right for any data that is given."""
    if data is not None:
        return step(x, bandwidth, data, kernel)
    y = x.copy()
    for i in range(len(x)):
        y[i : i + 1] = step(y[i : i + 1], bandwidth, y, kernel)
    return y


def rows_beyond_512_stay(x, bandwidth, *, data, kernel):
    """Two blocks of 256 rows are launched, however many there are."""
    y = x.copy()
    y[:512] = step(x[:512], bandwidth, data, kernel)
    return y


def _shifted_by_nothing(x, bandwidth, data, kernel, finish):
    w = np.exp(-distances(x, bandwidth, data) / 2) if kernel == "gaussian" else weights_of(distances(x, bandwidth, data), kernel)
    with np.errstate(all="ignore"):
        return finish(w, np.einsum("ij,ijk->ik", w, data - x[:, None]), w.sum(axis=1)[:, None])


def gaussian_divides_zero_by_zero(x, bandwidth, *, data, kernel):
    """The gaussian's exponents are not shifted: far from all data it is 0/0."""
    y = _shifted_by_nothing(x, bandwidth, data, kernel, lambda w, moved, total: x + moved / total)
    return y if kernel == "gaussian" else step(x, bandwidth, data, kernel)


def gaussian_stays_far_away(x, bandwidth, *, data, kernel):
    """The gaussian's exponents are not shifted: far from all data a point stays."""
    return _shifted_by_nothing(x, bandwidth, data, kernel, lambda w, moved, total: x + moved / np.where(total > 0, total, 1))


def unreached_row_is_nan(x, bandwidth, *, data, kernel):
    """A row that no data reaches is 0/0."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    with np.errstate(invalid="ignore"):
        return x + np.einsum("ij,ijk->ik", w, data - x[:, None]) / w.sum(axis=1)[:, None]


def unreached_row_is_zero(x, bandwidth, *, data, kernel):
    """A row that no data reaches goes to the origin."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    return np.where(w.sum(axis=1)[:, None] > 0, step(x, bandwidth, data, kernel), 0).astype(x.dtype)


def unreached_row_goes_to_the_nearest(x, bandwidth, *, data, kernel):
    """A row that no data reaches goes to the nearest point."""
    q2 = distances(x, bandwidth, data)
    alone = (weights_of(q2, kernel).sum(axis=1) == 0)[:, None]
    return np.where(alone, data[q2.argmin(axis=1)], step(x, bandwidth, data, kernel)) if q2.size else x.copy()


def fails_without_points(x, bandwidth, *, data, kernel):
    """Batches are concatenated, and there is none to start with."""
    batches = range(0, len(x), BATCH)
    return np.concatenate([step(x[start : start + BATCH], bandwidth, data, kernel) for start in batches])


def no_points_lose_their_shape(x, bandwidth, *, data, kernel):
    """Rows are collected in a list, which forgets the columns when there are none."""
    return np.array([step(row[None], bandwidth, data, kernel)[0] for row in x], x.dtype)


# Digits


def half_weights(x, bandwidth, *, data, kernel):
    """Weights are kept in float16."""
    return move(x, data, weights_of(distances(x, bandwidth, data), kernel).astype(np.float16).astype(x.dtype))


def bfloat16_differences(x, bandwidth, *, data, kernel):
    """Differences are cut to bfloat16 before they are squared."""
    scaled = ((data - x[:, None]) / bandwidth).astype(np.float32)
    scaled = (scaled.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32).astype(x.dtype)
    return move(x, data, weights_of((scaled**2).sum(axis=2), kernel))


def half_bandwidth(x, bandwidth, *, data, kernel):
    """The bandwidth's significand is rounded to float16's."""
    significand, exponent = np.frexp(bandwidth)
    return step(x, float(np.ldexp(float(np.float16(significand)), exponent)), data, kernel)


def expansion_not_centred(x, bandwidth, *, data, kernel):
    """Squared distances are |x|^2 + |y|^2 - 2xy, far from the origin too."""
    p, q = x / bandwidth, data / bandwidth
    q2 = (p**2).sum(axis=1)[:, None] + (q**2).sum(axis=1) - 2 * (p @ q.T)
    return move(x, data, weights_of(np.maximum(q2, 0), kernel))


def plain_mean(x, bandwidth, *, data, kernel):
    """The mean of the points rather than of the differences, which loses digits far from the origin."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    total = w.sum(axis=1)[:, None]
    return np.where(total > 0, np.einsum("ij,jk->ik", w, data) / np.where(total > 0, total, 1), x)


def bandwidth_squared(x, bandwidth, *, data, kernel):
    """Squared distances are divided by the squared bandwidth, and both leave the dtype's range."""
    with np.errstate(all="ignore"):
        h2 = x.dtype.type(bandwidth) ** 2
        return move(x, data, weights_of(((data - x[:, None]) ** 2).sum(axis=2) / h2, kernel))


# Space: what should be the same everywhere and in every direction


def snapped_to_whole_numbers(x, bandwidth, *, data, kernel):
    """Points far out are taken to lie on whole numbers, as indices of a grid would."""
    far = np.abs(x) > 4096
    return step(np.where(far, np.rint(x), x), bandwidth, data, kernel)


def box_for_ball(x, bandwidth, *, data, kernel):
    """What lies in the cube of one bandwidth is in reach of the flat kernel, not the ball."""
    q = np.abs((data - x[:, None]) / bandwidth)
    w = (q <= 1).all(axis=2).astype(x.dtype) if kernel == "flat" else weights_of((q**2).sum(axis=2), kernel)
    return move(x, data, w)


def first_axis_counts_twice(x, bandwidth, *, data, kernel):
    """The distance starts from the first coordinate's square, and adds it again."""
    q2 = distances(x, bandwidth, data)
    extra = distances(x[:, :1], bandwidth, data[:, :1]) if x.shape[1] > 1 else 0
    return move(x, data, weights_of(q2 + extra, kernel))


def clipped_to_the_bounding_box(x, bandwidth, *, data, kernel):
    """Results are clipped to the bounding box of x, which is not that of the data."""
    y = step(x, bandwidth, data, kernel)
    return np.clip(y, x.min(axis=0), x.max(axis=0)) if len(x) else y


def overshoots(x, bandwidth, *, data, kernel):
    """The move is over-relaxed by two and a half."""
    return (x + x.dtype.type(2.5) * (step(x, bandwidth, data, kernel) - x)).astype(x.dtype)


def weights_of_pairs_not_mirrored(x, bandwidth, *, data, kernel):
    """Each pair is weighed once, with a weight rounded to float16 for one of the two."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    return move(x, data, np.where(np.tri(*w.shape, dtype=bool), w, w.astype(np.float16).astype(x.dtype)) if data is x else w)


def large_bandwidth_taken_for_infinite(x, bandwidth, *, data, kernel):
    """Beyond ten thousand bandwidths' worth of extent the result is the middle of the bounding box, taken for the mean."""
    if data.size and bandwidth > 1e4 * max(np.ptp(data), np.finfo(x.dtype).tiny):
        return np.broadcast_to((data.max(axis=0) + data.min(axis=0)) / 2, x.shape).copy()
    return step(x, bandwidth, data, kernel)


WRONG = (
    gaussian_without_the_half,
    gaussian_of_the_distance,
    triangular_not_clipped,
    epanechnikov_of_the_distance,
    flat_reaches_too_far,
    kernel_ignored,
    city_block_distance,
    coordinate_tail_lost,
    gaussian_cut_at_three,
    gaussian_cut_at_four,
    gaussian_cut_at_seven,
    exponential_by_a_power,
    normalised_by_the_count,
    hidden_epsilon,
    epsilon_under_the_root,
    small_moves_dropped,
    self_excluded,
    coincident_points_excluded,
    duplicates_removed,
    last_point_skipped,
    nearest_32_only,
    data_ignored,
    blurring_assumed,
    diagonal_twice,
    in_place_by_row,
    in_place_by_batch,
    in_place_without_data,
    rows_beyond_512_stay,
    gaussian_divides_zero_by_zero,
    gaussian_stays_far_away,
    unreached_row_is_nan,
    unreached_row_is_zero,
    unreached_row_goes_to_the_nearest,
    fails_without_points,
    no_points_lose_their_shape,
    half_weights,
    bfloat16_differences,
    half_bandwidth,
    expansion_not_centred,
    plain_mean,
    bandwidth_squared,
    snapped_to_whole_numbers,
    box_for_ball,
    first_axis_counts_twice,
    clipped_to_the_bounding_box,
    overshoots,
    weights_of_pairs_not_mirrored,
    large_bandwidth_taken_for_infinite,
    *cells.WRONG,
    *masses.WRONG,
)
RIGHT = correct.RIGHT + masses.RIGHT
NO_BUG = ()  # of the generic ones
