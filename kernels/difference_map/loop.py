"""difference_map by loops over samples and channels, each of which adds the differences of two planes."""

import numpy as np

from kernels.difference_map._share import share
from registry import register


def sums(a, b, factor):
    total = np.zeros(a.shape[2:], a.dtype)
    for s in range(a.shape[0]):
        for c in range(a.shape[1]):
            total += abs(a[s, c] * factor - b[s, c] * factor)
    return total


@register("difference_map", "loop", rank=10)
@np.errstate(all="ignore")
def difference_map(a, b):
    total = sums(a, b, 1)
    if np.isinf(total).any():
        total = sums(a, b, share(a))
    least, most = (total.min(), total.max()) if total.size else (0, 0)
    return (total - least) / (most - least or 1)
