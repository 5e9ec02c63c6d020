"""Correct kernels of a step, and not as one would write it."""

import numpy as np
from wrong_kernels.of_meanshift_step.cells import within_cells
from wrong_kernels.of_meanshift_step.plain import BATCH, distances, step, truncated, weights_of


def one_big_sum(x, bandwidth, *, data, kernel):
    """All pairs at once."""
    return step(x, bandwidth, data, kernel)


def backwards(x, bandwidth, *, data, kernel):
    """Rows and data are taken from the last to the first."""
    return step(x[::-1], bandwidth, data[::-1], kernel)[::-1].copy()


def shuffled(x, bandwidth, *, data, kernel):
    """Data is added in an order that depends on its number alone."""
    return step(x, bandwidth, data[np.random.default_rng(len(data)).permutation(len(data))], kernel)


def wider_inside(x, bandwidth, *, data, kernel):
    """Everything in extended precision, rounded once."""
    return step(x.astype(np.longdouble), np.longdouble(bandwidth), data.astype(np.longdouble), kernel).astype(x.dtype)


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
        w = np.exp((nearest - q2) / 2) if kernel == "gaussian" else weights_of(q2[:, None], kernel)[:, 0]
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
            w = weights_of(q2, kernel)
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
        *moved, total = weights_of(distances(point[None], bandwidth, data), kernel)[0] @ columns
        y[i] = point + np.array(moved, x.dtype) / (total if total > 0 else 1)
    return y


def normalised_first(x, bandwidth, *, data, kernel):
    """Weights are divided by their sum before they are used, as softmax does."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    total = w.sum(axis=1)[:, None]
    w = w / np.where(total > 0, total, 1)
    return x + np.einsum("ij,ijk->ik", w, data - x[:, None])


def grid_with_all_neighbours(x, bandwidth, *, data, kernel):
    """A grid of cells a little wider than the bandwidth, floor and all neighbours: what it leaves out weighs nothing."""

    def see(p, q):
        return (np.abs(np.floor(p / 1.5) - np.floor(q / 1.5)) <= 1).all(axis=2)

    return within_cells(x, bandwidth, data, kernel, see)


def underflow_left_out(x, bandwidth, *, data, kernel):
    """A gaussian cut where its weights, relative to the nearest point's, are below the smallest normal number."""
    if kernel != "gaussian":
        return step(x, bandwidth, data, kernel)
    return truncated(x, bandwidth, data, kernel, np.sqrt(-2 * np.log(np.finfo(x.dtype).tiny)))


def public_signature(x, bandwidth, data=None, kernel="gaussian"):
    """It has the operation's own defaults, and does without what is left out."""
    return step(x, bandwidth, x if data is None else data, kernel)


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
