"""Negative controls for meanshift_step alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np

BATCH = 16


def _weights(q2, kernel):
    """The four weights of squared distances in bandwidths; a gaussian's relative to its row's largest."""
    if kernel == "gaussian":
        q2 = np.minimum(q2, np.finfo(q2.dtype).max)
        return np.exp((q2.min(axis=1, keepdims=True, initial=np.inf) - q2) / 2)
    if kernel == "triangular":
        return np.maximum(1 - np.sqrt(q2), 0)
    if kernel == "epanechnikov":
        return np.maximum(1 - q2, 0)
    return (q2 <= 1).astype(q2.dtype)


def _distances(x, bandwidth, data):
    return (((data - x[:, None]) / bandwidth) ** 2).sum(axis=2)


def _move(x, data, w):
    """Move each point by the weighted mean of the differences; one without any weight stays."""
    total = w.sum(axis=1)
    moved = np.stack([(w * (data[:, k] - x[:, k, None])).sum(axis=1) for k in range(x.shape[1])] or [total], axis=1)
    return x + moved[:, : x.shape[1]] / np.where(total > 0, total, 1)[:, None]


def _step(x, bandwidth, data, kernel):
    y = np.empty(x.shape, x.dtype)
    rows = max(1, 2**16 // max(1, data.size))  # what stays in a processor's cache
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        y[start : start + rows] = _move(part, data, _weights(_distances(part, bandwidth, data), kernel))
    return y


# Weights


def gaussian_without_the_half(x, bandwidth, *, data, kernel):
    """The gaussian is exp(-q^2)."""
    q2 = _distances(x, bandwidth, data)
    return _move(x, data, _weights(2 * q2 if kernel == "gaussian" else q2, kernel))


def gaussian_of_the_distance(x, bandwidth, *, data, kernel):
    """The gaussian is exp(-q/2): the square was forgotten."""
    q2 = _distances(x, bandwidth, data)
    return _move(x, data, _weights(np.sqrt(q2) if kernel == "gaussian" else q2, kernel))


def triangular_not_clipped(x, bandwidth, *, data, kernel):
    """Triangular weights go below zero."""
    q2 = _distances(x, bandwidth, data)
    return _move(x, data, 1 - np.sqrt(q2) if kernel == "triangular" else _weights(q2, kernel))


def epanechnikov_of_the_distance(x, bandwidth, *, data, kernel):
    """Epanechnikov weights are 1 - q."""
    return _step(x, bandwidth, data, "triangular" if kernel == "epanechnikov" else kernel)


def flat_reaches_too_far(x, bandwidth, *, data, kernel):
    """Flat compares the squared distance with the bandwidth."""
    q2 = _distances(x, bandwidth, data)
    return _move(x, data, (q2 * bandwidth <= 1).astype(x.dtype) if kernel == "flat" else _weights(q2, kernel))


def kernel_ignored(x, bandwidth, *, data, kernel):
    """It is always a gaussian."""
    return _step(x, bandwidth, data, "gaussian")


def city_block_distance(x, bandwidth, *, data, kernel):
    """Distances are sums of absolute differences."""
    return _move(x, data, _weights(np.abs((data - x[:, None]) / bandwidth).sum(axis=2) ** 2, kernel))


def coordinate_tail_lost(x, bandwidth, *, data, kernel):
    """Distances take coordinates four at a time, and leave the rest once there are four."""
    d = x.shape[1] // 4 * 4 or x.shape[1]
    return _move(x, data, _weights(_distances(x[:, :d], bandwidth, data[:, :d]), kernel))


def _truncated(x, bandwidth, data, kernel, reach):
    q2 = _distances(x, bandwidth, data)
    w = _weights(q2, kernel)
    return _move(x, data, np.where(q2 - q2.min(axis=1, keepdims=True, initial=np.inf) > reach**2, 0, w))


def gaussian_cut_at_three(x, bandwidth, *, data, kernel):
    """The gaussian ends at three bandwidths."""
    return _truncated(x, bandwidth, data, kernel, 3)


def gaussian_cut_at_four(x, bandwidth, *, data, kernel):
    """The gaussian ends at four bandwidths."""
    return _truncated(x, bandwidth, data, kernel, 4)


def gaussian_cut_at_seven(x, bandwidth, *, data, kernel):
    """The gaussian ends at seven bandwidths, too few for float64."""
    return _truncated(x, bandwidth, data, kernel, 7)


def exponential_by_a_power(x, bandwidth, *, data, kernel):
    """The exponential is (1 + t/1024)^1024."""
    if kernel != "gaussian":
        return _step(x, bandwidth, data, kernel)
    q2 = _distances(x, bandwidth, data)
    q2 = q2 - q2.min(axis=1, keepdims=True, initial=np.inf)
    return _move(x, data, np.maximum(1 - q2 / 2048, 0) ** 1024)


# Sums and quotients


def normalised_by_the_count(x, bandwidth, *, data, kernel):
    """The mean is divided by the number of points."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    return x + np.einsum("ij,ijk->ik", w, data - x[:, None]) / max(1, len(data))


def hidden_epsilon(x, bandwidth, *, data, kernel):
    """A constant against division by zero stands in the denominator."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    return x + np.einsum("ij,ijk->ik", w, data - x[:, None]) / (w.sum(axis=1) + 1e-12)[:, None]


def epsilon_under_the_root(x, bandwidth, *, data, kernel):
    """A constant that smooths a gradient stands under the root."""
    r2 = ((data - x[:, None]) ** 2).sum(axis=2) + 1e-12
    return _move(x, data, _weights(r2 / bandwidth**2, kernel))


def small_moves_dropped(x, bandwidth, *, data, kernel):
    """A point that would move by less than an absolute tolerance is taken to have converged."""
    y = _step(x, bandwidth, data, kernel)
    return np.where(np.abs(y - x) < 1e-7, x, y)


def self_excluded(x, bandwidth, *, data, kernel):
    """A point does not pull itself."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    return _move(x, data, w * ~np.eye(len(x), dtype=bool) if data is x else w)


def coincident_points_excluded(x, bandwidth, *, data, kernel):
    """Points at no distance are taken for the point itself and left out."""
    q2 = _distances(x, bandwidth, data)
    return _move(x, data, np.where(q2 == 0, 0, _weights(q2, kernel)))


def duplicates_removed(x, bandwidth, *, data, kernel):
    """Equal points count once."""
    return _step(x, bandwidth, np.unique(data, axis=0), kernel)


def last_point_skipped(x, bandwidth, *, data, kernel):
    """The loop over data is unrolled by 16, and one too short where a rest is left."""
    m = len(data) - 1 if len(data) > BATCH and len(data) % BATCH else len(data)
    return _step(x, bandwidth, data[:m], kernel)


def nearest_32_only(x, bandwidth, *, data, kernel):
    """Only the 32 nearest points have weight."""
    q2 = _distances(x, bandwidth, data)
    w = _weights(q2, kernel)
    return _move(x, data, np.where(q2.argsort(axis=1).argsort(axis=1) < 32, w, 0))


def data_ignored(x, bandwidth, *, data, kernel):
    """It is always the blurring step."""
    return _step(x, bandwidth, x, kernel)


def blurring_assumed(x, bandwidth, *, data, kernel):
    """Data of x's shape is taken for x."""
    return _step(x, bandwidth, x if data.shape == x.shape else data, kernel)


def diagonal_twice(x, bandwidth, *, data, kernel):
    """One triangle of the weights is added to its transpose, the diagonal included."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    return _move(x, data, w + np.diag(np.diag(w)) if data is x else w)


# Rows: order, tails, and those that nothing reaches


def in_place_by_row(x, bandwidth, *, data, kernel):
    """Rows are written while later rows read them, as in the lecture."""
    y = x.copy()
    for i in range(len(x)):
        y[i : i + 1] = _step(y[i : i + 1], bandwidth, y if data is x else data, kernel)
    return y


def in_place_by_batch(x, bandwidth, *, data, kernel):
    """Batches of rows are written while later batches read them, as in the lecture."""
    y = x.copy()
    for start in range(0, len(x), BATCH):
        batch = y[start : start + BATCH]
        batch[...] = _step(batch, bandwidth, y if data is x else data, kernel)
    return y


def in_place_without_data(x, bandwidth, data=None, kernel="gaussian"):
    """The lecture's loop where data is left out, as its author would call it; right for any data that is given."""
    if data is not None:
        return _step(x, bandwidth, data, kernel)
    y = x.copy()
    for i in range(len(x)):
        y[i : i + 1] = _step(y[i : i + 1], bandwidth, y, kernel)
    return y


def rows_beyond_512_stay(x, bandwidth, *, data, kernel):
    """Two blocks of 256 rows are launched, however many there are."""
    y = x.copy()
    y[:512] = _step(x[:512], bandwidth, data, kernel)
    return y


def _shifted_by_nothing(x, bandwidth, data, kernel, finish):
    w = np.exp(-_distances(x, bandwidth, data) / 2) if kernel == "gaussian" else _weights(_distances(x, bandwidth, data), kernel)
    with np.errstate(all="ignore"):
        return finish(w, np.einsum("ij,ijk->ik", w, data - x[:, None]), w.sum(axis=1)[:, None])


def gaussian_divides_zero_by_zero(x, bandwidth, *, data, kernel):
    """The gaussian's exponents are not shifted: far from all data it is 0/0."""
    y = _shifted_by_nothing(x, bandwidth, data, kernel, lambda w, moved, total: x + moved / total)
    return y if kernel == "gaussian" else _step(x, bandwidth, data, kernel)


def gaussian_stays_far_away(x, bandwidth, *, data, kernel):
    """The gaussian's exponents are not shifted: far from all data a point stays."""
    return _shifted_by_nothing(x, bandwidth, data, kernel, lambda w, moved, total: x + moved / np.where(total > 0, total, 1))


def unreached_row_is_nan(x, bandwidth, *, data, kernel):
    """A row that no data reaches is 0/0."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    with np.errstate(invalid="ignore"):
        return x + np.einsum("ij,ijk->ik", w, data - x[:, None]) / w.sum(axis=1)[:, None]


def unreached_row_is_zero(x, bandwidth, *, data, kernel):
    """A row that no data reaches goes to the origin."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    return np.where(w.sum(axis=1)[:, None] > 0, _step(x, bandwidth, data, kernel), 0).astype(x.dtype)


def unreached_row_goes_to_the_nearest(x, bandwidth, *, data, kernel):
    """A row that no data reaches goes to the nearest point."""
    q2 = _distances(x, bandwidth, data)
    alone = (_weights(q2, kernel).sum(axis=1) == 0)[:, None]
    return np.where(alone, data[q2.argmin(axis=1)], _step(x, bandwidth, data, kernel)) if q2.size else x.copy()


def fails_without_points(x, bandwidth, *, data, kernel):
    """Batches are concatenated, and there is none to start with."""
    batches = range(0, len(x), BATCH)
    return np.concatenate([_step(x[start : start + BATCH], bandwidth, data, kernel) for start in batches])


def no_points_lose_their_shape(x, bandwidth, *, data, kernel):
    """Rows are collected in a list, which forgets the columns when there are none."""
    return np.array([_step(row[None], bandwidth, data, kernel)[0] for row in x], x.dtype)


# Grids of cells


def _within_cells(x, bandwidth, data, kernel, see):
    """Leave compact weights only where `see` says that the cells of two points are neighbours."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    if kernel == "gaussian" or not x.shape[1]:
        return _move(x, data, w)
    return _move(x, data, w * see(x[:, None] / bandwidth, data[None] / bandwidth))


def own_cell_only(x, bandwidth, *, data, kernel):
    """A grid of cells of one bandwidth, and no look at the neighbours."""
    return _within_cells(x, bandwidth, data, kernel, lambda p, q: (np.floor(p) == np.floor(q)).all(axis=2))


def diagonal_cells_missed(x, bandwidth, *, data, kernel):
    """Cells that touch at a corner are not neighbours."""
    return _within_cells(x, bandwidth, data, kernel, lambda p, q: np.abs(np.floor(p) - np.floor(q)).sum(axis=2) <= 1)


def negative_cells_wrap(x, bandwidth, *, data, kernel):
    """The cell's number is unsigned: -1 is far from 0."""

    def see(p, q):
        p, q = (np.floor(np.clip(a, -30000, 30000)).astype(np.int64) & 0xFFFF for a in (p, q))
        return (np.abs(p - q) <= 1).all(axis=2)

    return _within_cells(x, bandwidth, data, kernel, see)


def negative_cells_truncated(x, bandwidth, *, data, kernel):
    """int() rounds towards zero: left of the origin, the nearer of two neighbour cells is on the wrong side."""

    def see(p, q):
        p, q = p / 2, q / 2  # cells of two bandwidths: one side of each is in reach
        own, other = np.trunc(p), np.trunc(q)
        return ((own == other) | (other == own + np.where(p - own < 0.5, -1, 1))).all(axis=2)

    return _within_cells(x, bandwidth, data, kernel, see)


# Digits


def half_weights(x, bandwidth, *, data, kernel):
    """Weights are kept in float16."""
    return _move(x, data, _weights(_distances(x, bandwidth, data), kernel).astype(np.float16).astype(x.dtype))


def bfloat16_differences(x, bandwidth, *, data, kernel):
    """Differences are cut to bfloat16 before they are squared."""
    scaled = ((data - x[:, None]) / bandwidth).astype(np.float32)
    scaled = (scaled.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32).astype(x.dtype)
    return _move(x, data, _weights((scaled**2).sum(axis=2), kernel))


def half_bandwidth(x, bandwidth, *, data, kernel):
    """The bandwidth's significand is rounded to float16's."""
    significand, exponent = np.frexp(bandwidth)
    return _step(x, float(np.ldexp(float(np.float16(significand)), exponent)), data, kernel)


def expansion_not_centred(x, bandwidth, *, data, kernel):
    """Squared distances are |x|^2 + |y|^2 - 2xy, far from the origin too."""
    p, q = x / bandwidth, data / bandwidth
    q2 = (p**2).sum(axis=1)[:, None] + (q**2).sum(axis=1) - 2 * (p @ q.T)
    return _move(x, data, _weights(np.maximum(q2, 0), kernel))


def plain_mean(x, bandwidth, *, data, kernel):
    """The mean of the points rather than of the differences, which loses digits far from the origin."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    total = w.sum(axis=1)[:, None]
    return np.where(total > 0, np.einsum("ij,jk->ik", w, data) / np.where(total > 0, total, 1), x)


def bandwidth_squared(x, bandwidth, *, data, kernel):
    """Squared distances are divided by the squared bandwidth, and both leave the dtype's range."""
    with np.errstate(all="ignore"):
        h2 = x.dtype.type(bandwidth) ** 2
        return _move(x, data, _weights(((data - x[:, None]) ** 2).sum(axis=2) / h2, kernel))


# Space: what should be the same everywhere and in every direction


def snapped_to_whole_numbers(x, bandwidth, *, data, kernel):
    """Points far out are taken to lie on whole numbers, as indices of a grid would."""
    far = np.abs(x) > 4096
    return _step(np.where(far, np.rint(x), x), bandwidth, data, kernel)


def box_for_ball(x, bandwidth, *, data, kernel):
    """What lies in the cube of one bandwidth is in reach of the flat kernel, not the ball."""
    q = np.abs((data - x[:, None]) / bandwidth)
    w = (q <= 1).all(axis=2).astype(x.dtype) if kernel == "flat" else _weights((q**2).sum(axis=2), kernel)
    return _move(x, data, w)


def first_axis_counts_twice(x, bandwidth, *, data, kernel):
    """The distance starts from the first coordinate's square, and adds it again."""
    q2 = _distances(x, bandwidth, data)
    extra = _distances(x[:, :1], bandwidth, data[:, :1]) if x.shape[1] > 1 else 0
    return _move(x, data, _weights(q2 + extra, kernel))


def clipped_to_the_bounding_box(x, bandwidth, *, data, kernel):
    """Results are clipped to the bounding box of x, which is not that of the data."""
    y = _step(x, bandwidth, data, kernel)
    return np.clip(y, x.min(axis=0), x.max(axis=0)) if len(x) else y


def overshoots(x, bandwidth, *, data, kernel):
    """The move is over-relaxed by two and a half."""
    return (x + x.dtype.type(2.5) * (_step(x, bandwidth, data, kernel) - x)).astype(x.dtype)


def weights_of_pairs_not_mirrored(x, bandwidth, *, data, kernel):
    """Each pair is weighed once, with a weight rounded to float16 for one of the two."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    return _move(x, data, np.where(np.tri(*w.shape, dtype=bool), w, w.astype(np.float16).astype(x.dtype)) if data is x else w)


def large_bandwidth_taken_for_infinite(x, bandwidth, *, data, kernel):
    """Beyond ten thousand bandwidths' worth of extent the result is the middle of the bounding box, taken for the mean."""
    if data.size and bandwidth > 1e4 * max(np.ptp(data), np.finfo(x.dtype).tiny):
        return np.broadcast_to((data.max(axis=0) + data.min(axis=0)) / 2, x.shape).copy()
    return _step(x, bandwidth, data, kernel)


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
    own_cell_only,
    diagonal_cells_missed,
    negative_cells_wrap,
    negative_cells_truncated,
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
)


# Correct, and not as one would write it


def one_big_sum(x, bandwidth, *, data, kernel):
    """All pairs at once."""
    return _step(x, bandwidth, data, kernel)


def backwards(x, bandwidth, *, data, kernel):
    """Rows and data are taken from the last to the first."""
    return _step(x[::-1], bandwidth, data[::-1], kernel)[::-1].copy()


def shuffled(x, bandwidth, *, data, kernel):
    """Data is added in an order that depends on its number alone."""
    return _step(x, bandwidth, data[np.random.default_rng(len(data)).permutation(len(data))], kernel)


def wider_inside(x, bandwidth, *, data, kernel):
    """Everything in extended precision, rounded once."""
    return _step(x.astype(np.longdouble), np.longdouble(bandwidth), data.astype(np.longdouble), kernel).astype(x.dtype)


def one_point_of_the_data_at_a_time(x, bandwidth, *, data, kernel):
    """Each point of the data pulls all rows; the first pass finds each row's nearest."""

    def distance(point):
        return (((point - x) / bandwidth) ** 2).sum(axis=1)

    nearest = np.full(len(x), np.finfo(x.dtype).max, x.dtype)
    for point in data:
        nearest = np.minimum(nearest, distance(point))
    total, moved = np.zeros(len(x), x.dtype), np.zeros(x.shape, x.dtype)
    for point in data:
        q2 = np.minimum(distance(point), np.finfo(x.dtype).max)
        w = np.exp((nearest - q2) / 2) if kernel == "gaussian" else _weights(q2[:, None], kernel)[:, 0]
        total += w
        moved += w[:, None] * (point - x)
    return x + moved / np.where(total > 0, total, 1)[:, None]


def batches_of_both(x, bandwidth, *, data, kernel):
    """Tiles of rows against tiles of data, the gaussian's sums rescaled whenever a nearer point appears."""
    y = np.empty(x.shape, x.dtype)
    for start in range(0, len(x), BATCH):
        rows = x[start : start + BATCH]
        nearest = np.full(len(rows), np.finfo(x.dtype).max, x.dtype)
        total, moved = np.zeros(len(rows), x.dtype), np.zeros(rows.shape, x.dtype)
        for first in range(0, len(data), 64):
            difference = data[first : first + 64] - rows[:, None]
            q2 = np.minimum(((difference / bandwidth) ** 2).sum(axis=2), np.finfo(x.dtype).max)
            w = _weights(q2, kernel)
            if kernel == "gaussian":
                nearer = np.minimum(nearest, q2.min(axis=1))
                rescaled = np.exp((nearer - nearest) / 2)
                total, moved, nearest = total * rescaled, moved * rescaled[:, None], nearer
                w = np.exp((nearest[:, None] - q2) / 2)
            total += w.sum(axis=1)
            moved += np.einsum("ij,ijk->ik", w, difference)
        y[start : start + BATCH] = rows + moved / np.where(total > 0, total, 1)[:, None]
    return y


def augmented_product(x, bandwidth, *, data, kernel):
    """One matrix product for both sums: the differences with a column of ones, in Fortran order."""
    y = np.empty(x.shape, x.dtype, order="F")
    for i, point in enumerate(x):
        columns = np.hstack([data - point, np.ones((len(data), 1), x.dtype)])
        *moved, total = _weights(_distances(point[None], bandwidth, data), kernel)[0] @ columns
        y[i] = point + np.array(moved, x.dtype) / (total if total > 0 else 1)
    return y


def normalised_first(x, bandwidth, *, data, kernel):
    """Weights are divided by their sum before they are used, as softmax does."""
    w = _weights(_distances(x, bandwidth, data), kernel)
    total = w.sum(axis=1)[:, None]
    w = w / np.where(total > 0, total, 1)
    return x + np.einsum("ij,ijk->ik", w, data - x[:, None])


def grid_with_all_neighbours(x, bandwidth, *, data, kernel):
    """A grid of cells a little wider than the bandwidth, floor and all neighbours: what it leaves out weighs nothing."""

    def see(p, q):
        return (np.abs(np.floor(p / 1.5) - np.floor(q / 1.5)) <= 1).all(axis=2)

    return _within_cells(x, bandwidth, data, kernel, see)


def underflow_left_out(x, bandwidth, *, data, kernel):
    """A gaussian cut where its weights, relative to the nearest point's, are below the smallest normal number."""
    if kernel != "gaussian":
        return _step(x, bandwidth, data, kernel)
    return _truncated(x, bandwidth, data, kernel, np.sqrt(-2 * np.log(np.finfo(x.dtype).tiny)))


def public_signature(x, bandwidth, data=None, kernel="gaussian"):
    """It has the operation's own defaults, and does without what is left out."""
    return _step(x, bandwidth, x if data is None else data, kernel)


RIGHT = (
    one_big_sum,
    backwards,
    shuffled,
    wider_inside,
    one_point_of_the_data_at_a_time,
    batches_of_both,
    augmented_product,
    normalised_first,
    grid_with_all_neighbours,
    underflow_left_out,
    public_signature,
)


# Whole numbers that go round


def _numbered(bits, signed, p, q):
    """Whether the cells of points, numbered in so many bits, are neighbours."""
    lift = 2 ** (bits - 1) if signed else 0
    with np.errstate(invalid="ignore"):
        p, q = (((np.floor(np.clip(a, -(2.0**60), 2.0**60)).astype(np.int64) + lift) & (2**bits - 1)) - lift for a in (p, q))
    return (np.abs(p - q) <= 1).all(axis=2)


def cells_in_8_bits(x, bandwidth, *, data, kernel):
    """A cell's number is a signed byte: 127 and 128 are no neighbours."""
    return _within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(8, True, p, q))


def cells_in_16_bits(x, bandwidth, *, data, kernel):
    """A cell's number is a short: 32,767 and 32,768 are no neighbours."""
    return _within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(16, True, p, q))


def cells_in_32_bits(x, bandwidth, *, data, kernel):
    """A cell's number has 32 bits: 2^31 - 1 and 2^31 are no neighbours."""
    return _within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(32, True, p, q))


def cells_from_the_least_in_16_bits(x, bandwidth, *, data, kernel):
    """Cells are numbered from the least coordinate, in an unsigned short."""
    least = np.floor(np.minimum(x.min(axis=0), data.min(axis=0)) / bandwidth) if x.size else 0
    return _within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(16, False, p - least, q - least))


def rows_counted_in_16_bits(x, bandwidth, *, data, kernel):
    """The row's number is an unsigned short: past 65,535 the first rows are moved again."""
    return _step(x[np.arange(len(x)).astype(np.uint16)], bandwidth, data, kernel)


def data_counted_in_16_bits(x, bandwidth, *, data, kernel):
    """The number of a datum is a short: past 32,767 data is read from the other end."""
    return _step(x, bandwidth, data[np.arange(len(data)).astype(np.int16)] if len(data) < 2**16 else data, kernel)


def far_tie_goes_to_the_first(x, bandwidth, *, data, kernel):
    """Where all data is more than a million bandwidths away only the nearest counts, the first of them."""
    q2 = _distances(x, bandwidth, data)
    far = (q2.min(axis=1, initial=np.inf) > 1e12)[:, None] & (kernel == "gaussian")
    return np.where(far, data[q2.argmin(axis=1)], _step(x, bandwidth, data, kernel)) if q2.size else x.copy()


def far_distances_in_32_bits(x, bandwidth, *, data, kernel):
    """The nearest far away are found by whole half bandwidths in 32 bits, which end sooner on one side of zero."""
    if kernel != "gaussian" or not x.size:
        return _step(x, bandwidth, data, kernel)
    q2 = _distances(x, bandwidth, data)
    least = q2.min(axis=1, keepdims=True)
    steps = np.abs(np.clip(np.rint(2 * ((data[:, 0] - x[:, None, 0]) / bandwidth).astype(float)), -(2**31), 2**31 - 1))
    further = (least > 1e12) & (steps > np.where(q2 == least, steps, np.inf).min(axis=1, keepdims=True))
    return _move(x, data, np.where(further, 0, _weights(q2, kernel)))


WRONG += (
    cells_in_8_bits,
    cells_in_16_bits,
    cells_in_32_bits,
    cells_from_the_least_in_16_bits,
    rows_counted_in_16_bits,
    data_counted_in_16_bits,
    far_tie_goes_to_the_first,
    far_distances_in_32_bits,
)

# Weights of the data


def _relative(data, weights):
    """Weights relative to the largest."""
    return np.ones(len(data), data.dtype) if weights is None else weights / (weights.max(initial=0) or 1)


def _masses(q2, kernel, v):
    """The weights of pairs; a gaussian's relative to that of the nearest datum which has any weight."""
    return v * _weights(np.where(v > 0, q2, np.inf) if kernel == "gaussian" else q2, kernel)


def weighted_pairs(x, bandwidth, *, data, weights, kernel):
    """All pairs, each with the weight of its datum."""
    return _move(x, data, _masses(_distances(x, bandwidth, data), kernel, _relative(data, weights)))


def without_what_has_no_weight(x, bandwidth, *, data, weights, kernel):
    """Data without weight are left out first, and the others multiplied by a power of two."""
    if weights is None or not weights.any():
        return x.copy() if weights is not None else _step(x, bandwidth, data, kernel)
    there = weights > 0
    v = np.ldexp(weights[there], -np.frexp(weights.max())[1])
    return _move(x, data[there], v * _weights(_distances(x, bandwidth, data[there]), kernel))


def weights_ignored(x, bandwidth, *, data, weights, kernel):
    """All data weigh the same."""
    return _step(x, bandwidth, data, kernel)


def weights_in_the_numerator_alone(x, bandwidth, *, data, weights, kernel):
    """The sum of the weights lacks those of the data."""
    v, w = _relative(data, weights), _weights(_distances(x, bandwidth, data), kernel)
    total = w.sum(axis=1)[:, None]
    return x + np.einsum("ij,ijk->ik", v * w, data - x[:, None]) / np.where(total > 0, total, 1)


def weights_squared(x, bandwidth, *, data, weights, kernel):
    """Weights are multiplied in twice."""
    return weighted_pairs(x, bandwidth, data=data, weights=_relative(data, weights) ** 2, kernel=kernel)


def weights_of_the_row(x, bandwidth, *, data, weights, kernel):
    """A pair has the weight of its point instead of its datum, where there are as many."""
    if weights is None or len(x) != len(data):
        return weighted_pairs(x, bandwidth, data=data, weights=weights, kernel=kernel)
    return _move(x, data, _relative(data, weights)[:, None] * _weights(_distances(x, bandwidth, data), kernel))


def nearest_without_weight(x, bandwidth, *, data, weights, kernel):
    """A gaussian is relative to the nearest datum, also if that has no weight."""
    return _move(x, data, _relative(data, weights) * _weights(_distances(x, bandwidth, data), kernel))


def weights_not_sorted_along(x, bandwidth, *, data, weights, kernel):
    """Data are sorted by their first coordinate, and weights stay in their order."""
    order = np.argsort(data[:, 0]) if data.size else slice(None)
    return weighted_pairs(x, bandwidth, data=data[order], weights=weights, kernel=kernel)


def weights_of_the_last_tile_lost(x, bandwidth, *, data, weights, kernel):
    """Data past the last whole tile weigh 1, once there is one."""
    v = _relative(data, weights)
    whole = len(v) // BATCH * BATCH
    v[whole or len(v) :] = 1
    return _move(x, data, _masses(_distances(x, bandwidth, data), kernel, v))


def weights_as_they_are(x, bandwidth, *, data, weights, kernel):
    """Weights are not divided by the largest: their products with distances overflow, or vanish."""
    v = np.ones(len(data), x.dtype) if weights is None else weights
    return _move(x, data, _masses(_distances(x, bandwidth, data), kernel, v))


def light_data_left_out(x, bandwidth, *, data, weights, kernel):
    """Data count as absent that weigh less than a thousandth of the heaviest."""
    v = _relative(data, weights)
    return _move(x, data, _masses(_distances(x, bandwidth, data), kernel, np.where(v < 1e-3, 0, v)))


def weights_of_the_call_before(x, bandwidth, *, data, weights, kernel):
    """Weights relative to the largest are kept by their number."""
    v = _kept.setdefault((len(data), weights is None, x.dtype.name), _relative(data, weights))
    return _move(x, data, _masses(_distances(x, bandwidth, data), kernel, v))


_kept = {}

WRONG += (
    weights_ignored,
    weights_in_the_numerator_alone,
    weights_squared,
    weights_of_the_row,
    nearest_without_weight,
    weights_not_sorted_along,
    weights_of_the_last_tile_lost,
    weights_as_they_are,
    light_data_left_out,
    weights_of_the_call_before,
)
RIGHT += (weighted_pairs, without_what_has_no_weight)

NO_BUG = ()  # of the generic ones
