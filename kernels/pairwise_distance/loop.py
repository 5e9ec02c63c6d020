"""pairwise_distance by its definition: loops over the points and their coordinates, the lecture's starting point.

A euclidean distance is summed in units of the pair's largest difference, so that no square overflows or vanishes.
"""

import numpy as np

from registry import register


@register("pairwise_distance", "loop", rank=10)
@np.errstate(all="ignore")
def pairwise_distance(x, y, metric):
    distances = np.zeros((len(x), len(y)), x.dtype)
    for i in range(len(x)):
        for j in range(len(y)):
            largest = total = x.dtype.type(0)
            for k in range(x.shape[1]):
                largest = np.maximum(largest, abs(x[i, k] - y[j, k]))  # NaN if either is
            if metric == "chebyshev":
                distances[i, j] = largest
                continue
            unit = largest if metric == "euclidean" and 0 < largest < np.inf else x.dtype.type(1)
            for k in range(x.shape[1]):
                apart = abs(x[i, k] - y[j, k]) / unit
                total += apart if metric == "cityblock" else apart * apart
            distances[i, j] = unit * np.sqrt(total) if metric == "euclidean" else total
    return distances
