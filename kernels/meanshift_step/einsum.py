"""meanshift_step with both sums over pairs, squared distances and weighted differences, by Einstein summation."""

import numpy as np

from kernels.meanshift_step._weights import mean, of_pairs, relative
from registry import register


@register("meanshift_step", "einsum", options={"batch_size": 16}, rank=20)
@np.errstate(all="ignore")
def meanshift_step(x, bandwidth, data, weights, kernel, batch_size):
    y, v = np.empty(x.shape, x.dtype), relative(weights)
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        difference = data - batch[:, None]
        scaled = difference / bandwidth
        w = of_pairs(np.einsum("ijk,ijk->ij", scaled, scaled), kernel, v)
        y[start : start + batch_size] = batch + mean(np.einsum("ij,ijk->ik", w, difference), w.sum(axis=1))
    return y
