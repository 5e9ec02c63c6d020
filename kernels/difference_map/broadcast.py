"""difference_map on whole arrays: one for the differences, and sums of them over the first two axes."""

import numpy as np

from kernels.difference_map._share import share
from registry import register


@register("difference_map", "broadcast", rank=30)
@np.errstate(all="ignore")
def difference_map(a, b):
    total = np.abs(a - b).sum(axis=(0, 1))
    if np.isinf(total).any():
        total = np.abs(a * share(a) - b * share(a)).sum(axis=(0, 1))
    above = total - total.min(initial=np.inf)
    span = above.max(initial=0)
    return above / (span or 1)
