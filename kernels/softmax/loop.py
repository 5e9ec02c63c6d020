"""softmax by its definition: loops over the entries of a row, first for the largest, then for the sum, then for the quotients."""

import numpy as np

from registry import register


@register("softmax", "loop", rank=10)
@np.errstate(all="ignore")  # NumPy's scalars warn of -inf less -inf, and of what underflows
def softmax(x):
    y = np.empty(x.shape, x.dtype)
    largest = x.dtype.type(-np.inf)
    for entry in x:
        if entry > largest:
            largest = entry
    total = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = np.exp(x[i] - largest)
        total += y[i]
    for i in range(len(x)):
        y[i] /= total
    return y
