"""matmul with the innermost loop replaced: the elementwise product of a row and a column, and the sum of that product."""

import numpy as np

from registry import register


@register("matmul", "elementwise", rank=10)
@np.errstate(all="ignore")
def matmul(a, b):
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            c[i, j] = (a[i, :] * b[:, j]).sum()
    return c
