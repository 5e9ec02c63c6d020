"""pairwise_distance by its definition: loops over the points and their coordinates, the lecture's starting point.

A euclidean distance is summed in units of the pair's largest difference, so that no square overflows or vanishes.
"""

import math

import numpy as np

from registry import register


def distance(p, q, metric):
    """Return the distance of two points, lists of numbers."""
    largest = total = 0.0
    for a, b in zip(p, q, strict=True):
        apart = abs(a - b)
        total += apart
        if apart > largest or math.isnan(apart):
            largest = apart
    if metric == "cityblock":
        return total
    if metric == "chebyshev":
        return largest
    unit = largest if metric == "euclidean" and 0 < largest < math.inf else 1.0
    total = 0.0
    for a, b in zip(p, q, strict=True):
        apart = (a - b) / unit
        total += apart * apart
    return unit * math.sqrt(total) if metric == "euclidean" else total


@register("pairwise_distance", "loop", rank=10)
@np.errstate(over="ignore")  # of a square that float32 does not hold
def pairwise_distance(x, y, metric):
    distances = np.zeros((len(x), len(y)), x.dtype)
    x, y = x.tolist(), y.tolist()
    for i in range(len(x)):
        for j in range(len(y)):
            distances[i, j] = distance(x[i], y[j], metric)
    return distances
