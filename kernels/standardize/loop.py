"""standardize by loops over numbers, column by column: the mean, the deviation, the quotient, of differences from the middle."""

import numpy as np

from registry import register


@register("standardize", "loop", rank=10)
@np.errstate(all="ignore")
def standardize(x):
    y = np.empty(x.shape, x.dtype)
    for j in range(x.shape[1]):
        y[:, j] = standardized(x[:, j])
    return y


def standardized(column):
    low, high = np.min(column, initial=np.inf), np.max(column, initial=-np.inf)
    if low == high:
        return [low - high for _ in column]  # zeros; of equal infinities NaN
    middle = low / 2 + high / 2
    apart = [number - middle for number in column]
    largest = max(high - middle, middle - low)
    apart = [number / largest for number in apart]  # so that no square leaves the range
    mean = sum(apart) / column.dtype.type(len(column) or 1)
    apart = [number - mean for number in apart]
    deviation = np.sqrt(sum(number**2 for number in apart) / column.dtype.type(len(column) or 1))
    return [number / deviation for number in apart]
