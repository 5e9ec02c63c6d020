"""meanshift_step, one point at a time, as the lecture first writes it; but here every point reads the old points."""

import numpy as np

from kernels.meanshift_step._weights import mean, of_pairs, relative
from registry import register


@register("meanshift_step", "loop", rank=0)
@np.errstate(all="ignore")
def meanshift_step(x, bandwidth, data, weights, kernel):
    y, v = np.empty(x.shape, x.dtype), relative(weights)
    for i, point in enumerate(x):
        difference = data - point
        w = of_pairs(((difference / bandwidth) ** 2).sum(axis=1), kernel, v)
        y[i] = point + mean((w[:, None] * difference).sum(axis=0), w.sum())
    return y
