"""meanshift_step, a batch of points at a time, by broadcasting them against all the data."""

import numpy as np

from kernels.meanshift_step._weights import mean, of_pairs, relative
from registry import register


@register("meanshift_step", "broadcast", options={"batch_size": 16}, rank=10)
@np.errstate(all="ignore")
def meanshift_step(x, bandwidth, data, weights, kernel, batch_size):
    y, v = np.empty(x.shape, x.dtype), relative(weights)
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        difference = data - batch[:, None]
        w = of_pairs(((difference / bandwidth) ** 2).sum(axis=2), kernel, v)
        y[start : start + batch_size] = batch + mean((w[..., None] * difference).sum(axis=1), w.sum(axis=1))
    return y
