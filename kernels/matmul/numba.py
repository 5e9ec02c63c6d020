"""matmul compiled: rows in parallel, each the sum over k of A_ik times row k of B, so the inner loop runs along memory."""

import numpy as np
from numba import njit, prange

from kernels._numba import one_at_a_time
from registry import register


@njit(parallel=True, cache=True, nogil=True)
def fill(a, b, c):
    for i in prange(a.shape[0]):
        for j in range(b.shape[1]):
            c[i, j] = 0
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


@register("matmul", "numba", requires=("numba",), layout="C", rank=40)
def matmul(a, b):
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    with one_at_a_time:
        fill(a, b, c)
    return c
