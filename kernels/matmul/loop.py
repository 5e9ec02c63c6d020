"""matmul by its definition: three loops over numbers, the lecture's starting point."""

import numpy as np

from registry import register


@register("matmul", "loop", dtypes=("bool", "numeric", "object"), rank=0)
@np.errstate(all="ignore")  # NumPy's integer scalars warn when they wrap; its arrays do not
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return c
