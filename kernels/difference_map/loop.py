"""difference_map by its definition: at each place a loop over samples and channels, then one over all places for the range."""

import numpy as np

from kernels.difference_map._share import share
from registry import register


def sums(a, b, factor):
    samples, channels, rows, columns = a.shape
    total = np.zeros((rows, columns), a.dtype)
    for i in range(rows):
        for j in range(columns):
            here, there = (each[:, :, i, j].tolist() for each in (a, b))  # Python's numbers: NumPy's take five times as long
            summed = 0.0
            for s in range(samples):
                for c in range(channels):
                    summed += abs(here[s][c] * factor - there[s][c] * factor)
            total[i, j] = summed
    return total


@register("difference_map", "loop", rank=10)
@np.errstate(all="ignore")
def difference_map(a, b):
    total = sums(a, b, 1)
    if np.isinf(total).any():
        total = sums(a, b, share(a))
    least = most = total.flat[0] if total.size else 0
    for each in total.flat:
        least, most = np.minimum(least, each), np.maximum(most, each)
    span = most - least
    for i in range(len(total)):
        for j in range(total.shape[1]):
            total[i, j] = (total[i, j] - least) / span if span != 0 else 0
    return total
