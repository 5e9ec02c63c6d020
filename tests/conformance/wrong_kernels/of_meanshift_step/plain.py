"""A step of all pairs, as the kernels beside it have it, wrong and correct ones."""

import numpy as np

BATCH = 16


def weights_of(q2, kernel):
    """The four weights of squared distances in bandwidths; a gaussian's relative to its row's largest."""
    if kernel == "gaussian":
        q2 = np.minimum(q2, np.finfo(q2.dtype).max)
        return np.exp((q2.min(axis=1, keepdims=True, initial=np.inf) - q2) / 2)
    if kernel == "triangular":
        return np.maximum(1 - np.sqrt(q2), 0)
    if kernel == "epanechnikov":
        return np.maximum(1 - q2, 0)
    return (q2 <= 1).astype(q2.dtype)


def distances(x, bandwidth, data):
    return (((data - x[:, None]) / bandwidth) ** 2).sum(axis=2)


def move(x, data, w):
    """Move each point by the weighted mean of the differences; one without any weight stays."""
    total = w.sum(axis=1)
    moved = np.stack([(w * (data[:, k] - x[:, k, None])).sum(axis=1) for k in range(x.shape[1])] or [total], axis=1)
    return x + moved[:, : x.shape[1]] / np.where(total > 0, total, 1)[:, None]


def step(x, bandwidth, data, kernel):
    y = np.empty(x.shape, x.dtype)
    rows = max(1, 2**16 // max(1, data.size))  # what stays in a processor's cache
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        y[start : start + rows] = move(part, data, weights_of(distances(part, bandwidth, data), kernel))
    return y


def truncated(x, bandwidth, data, kernel, reach):
    q2 = distances(x, bandwidth, data)
    w = weights_of(q2, kernel)
    return move(x, data, np.where(q2 - q2.min(axis=1, keepdims=True, initial=np.inf) > reach**2, 0, w))
