"""frobenius_norm by NumPy: all entries over the largest, squared, summed."""

import numpy as np

from registry import register


@register("frobenius_norm", "broadcast", rank=30)
@np.errstate(all="ignore")
def frobenius_norm(x):
    largest = np.abs(x).max(initial=0)
    if largest in (0, np.inf):
        return largest
    return largest * np.sqrt(((x / largest) ** 2).sum())
