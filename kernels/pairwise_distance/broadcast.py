"""pairwise_distance by broadcasting: the differences of a few points from all of y at once, summed along their last axis.

A euclidean distance is summed in units of the pair's largest difference, so that no square overflows or vanishes.
"""

import numpy as np

from registry import register


@register("pairwise_distance", "broadcast", options={"batch_size": 16}, rank=30)
@np.errstate(all="ignore")
def pairwise_distance(x, y, metric, batch_size):
    distances = np.zeros((len(x), len(y)), x.dtype)
    for start in range(0, len(x), batch_size):
        apart = np.abs(x[start : start + batch_size, None] - y)
        rows = distances[start : start + batch_size]
        if metric == "chebyshev":
            apart.max(axis=2, initial=0, out=rows)
        elif metric == "cityblock":
            apart.sum(axis=2, out=rows)
        elif metric == "sqeuclidean":
            (apart**2).sum(axis=2, out=rows)
        else:
            largest = apart.max(axis=2, initial=0)
            unit = np.where((largest > 0) & (largest < np.inf), largest, x.dtype.type(1))
            np.multiply(unit, np.sqrt(((apart / unit[:, :, None]) ** 2).sum(axis=2)), out=rows)
    return distances
