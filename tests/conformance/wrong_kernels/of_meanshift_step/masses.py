"""Kernels of a step whose data have weights, wrong and correct ones."""

import numpy as np
from wrong_kernels.of_meanshift_step.plain import BATCH, distances, move, step, weights_of


def _relative(data, weights):
    """Weights relative to the largest."""
    return np.ones(len(data), data.dtype) if weights is None else weights / (weights.max(initial=0) or 1)


def _masses(q2, kernel, v):
    """The weights of pairs; a gaussian's relative to that of the nearest datum which has any weight."""
    return v * weights_of(np.where(v > 0, q2, np.inf) if kernel == "gaussian" else q2, kernel)


def weighted_pairs(x, bandwidth, *, data, weights, kernel):
    """All pairs, each with the weight of its datum."""
    return move(x, data, _masses(distances(x, bandwidth, data), kernel, _relative(data, weights)))


def without_what_has_no_weight(x, bandwidth, *, data, weights, kernel):
    """Data without weight are left out first, and the others multiplied by a power of two."""
    if weights is None or not weights.any():
        return x.copy() if weights is not None else step(x, bandwidth, data, kernel)
    there = weights > 0
    v = np.ldexp(weights[there], -np.frexp(weights.max())[1])
    return move(x, data[there], v * weights_of(distances(x, bandwidth, data[there]), kernel))


def weights_ignored(x, bandwidth, *, data, weights, kernel):
    """All data weigh the same."""
    return step(x, bandwidth, data, kernel)


def weights_in_the_numerator_alone(x, bandwidth, *, data, weights, kernel):
    """The sum of the weights lacks those of the data."""
    v, w = _relative(data, weights), weights_of(distances(x, bandwidth, data), kernel)
    total = w.sum(axis=1)[:, None]
    return x + np.einsum("ij,ijk->ik", v * w, data - x[:, None]) / np.where(total > 0, total, 1)


def weights_squared(x, bandwidth, *, data, weights, kernel):
    """Weights are multiplied in twice."""
    return weighted_pairs(x, bandwidth, data=data, weights=_relative(data, weights) ** 2, kernel=kernel)


def weights_of_the_row(x, bandwidth, *, data, weights, kernel):
    """A pair has the weight of its point instead of its datum, where there are as many."""
    if weights is None or len(x) != len(data):
        return weighted_pairs(x, bandwidth, data=data, weights=weights, kernel=kernel)
    return move(x, data, _relative(data, weights)[:, None] * weights_of(distances(x, bandwidth, data), kernel))


def nearest_without_weight(x, bandwidth, *, data, weights, kernel):
    """A gaussian is relative to the nearest datum, also if that has no weight."""
    return move(x, data, _relative(data, weights) * weights_of(distances(x, bandwidth, data), kernel))


def weights_not_sorted_along(x, bandwidth, *, data, weights, kernel):
    """Data are sorted by their first coordinate, and weights stay in their order."""
    order = np.argsort(data[:, 0]) if data.size else slice(None)
    return weighted_pairs(x, bandwidth, data=data[order], weights=weights, kernel=kernel)


def weights_of_the_last_tile_lost(x, bandwidth, *, data, weights, kernel):
    """Data past the last whole tile weigh 1, once there is one."""
    v = _relative(data, weights)
    whole = len(v) // BATCH * BATCH
    v[whole or len(v) :] = 1
    return move(x, data, _masses(distances(x, bandwidth, data), kernel, v))


def weights_as_they_are(x, bandwidth, *, data, weights, kernel):
    """Weights are not divided by the largest: their products with distances overflow, or vanish."""
    v = np.ones(len(data), x.dtype) if weights is None else weights
    return move(x, data, _masses(distances(x, bandwidth, data), kernel, v))


def light_data_left_out(x, bandwidth, *, data, weights, kernel):
    """Data count as absent that weigh less than a thousandth of the heaviest."""
    v = _relative(data, weights)
    return move(x, data, _masses(distances(x, bandwidth, data), kernel, np.where(v < 1e-3, 0, v)))


def lighter_than_the_rounding_left_out(x, bandwidth, *, data, weights, kernel):
    """Data that weigh less than a unit roundoff of the heaviest are left out, though no other may be in reach."""
    v = _relative(data, weights)
    return weighted_pairs(x, bandwidth, data=data, weights=np.where(v < np.finfo(x.dtype).eps / 4, 0, v), kernel=kernel)


def weights_of_the_call_before(x, bandwidth, *, data, weights, kernel):
    """Weights relative to the largest are kept by their number."""
    v = _kept.setdefault((len(data), weights is None, x.dtype.name), _relative(data, weights))
    return move(x, data, _masses(distances(x, bandwidth, data), kernel, v))


_kept = {}

WRONG = (
    weights_ignored,
    weights_in_the_numerator_alone,
    weights_squared,
    weights_of_the_row,
    nearest_without_weight,
    weights_not_sorted_along,
    weights_of_the_last_tile_lost,
    weights_as_they_are,
    light_data_left_out,
    lighter_than_the_rounding_left_out,
    weights_of_the_call_before,
)
RIGHT = (weighted_pairs, without_what_has_no_weight)
