"""meanshift_step through matrix products: |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, and the weighted sum as W Z.

Far from the origin the expansion loses all digits, so the data are centred first. The loss that is left grows with the square of
the data's extent over the bandwidth; the class of error "expansion" allows for it.
"""

import numpy as np

from kernels.meanshift_step._weights import mean, of_pairs, relative
from registry import register


@register("meanshift_step", "expansion", options={"batch_size": 64}, precision="expansion", rank=30)
@np.errstate(all="ignore")
def meanshift_step(x, bandwidth, data, weights, kernel, batch_size):
    v = relative(weights)
    centre = mean(v @ data, v.sum()) if v is not None else data.mean(axis=0) if len(data) else 0
    z = (data - centre) / bandwidth
    z2 = (z**2).sum(axis=1)
    y = np.empty(x.shape, x.dtype)
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        b = (batch - centre) / bandwidth
        q2 = (b**2).sum(axis=1)[:, None] + z2 - 2 * (b @ z.T)
        w = of_pairs(np.maximum(q2, 0), kernel, v)
        total = w.sum(axis=1)
        moved = centre + mean(w @ z, total) * bandwidth
        y[start : start + batch_size] = np.where(total[:, None] == 0, batch, moved)
    return y
