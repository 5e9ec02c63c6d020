"""matmul with only the innermost loop compiled: two Python loops around a dot product, as in the lecture."""

import numpy as np

from kernels._compute.jit import jit
from registry import register


@jit
def dot(u, v):
    total = u.dtype.type(0)
    for k in range(len(u)):
        total += u[k] * v[k]
    return total


@register("matmul", "numba_dot", requires=("numba",), layout="C", rank=20)
def matmul(a, b):
    columns = np.ascontiguousarray(b.T)
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            c[i, j] = dot(a[i], columns[j])
    return c
