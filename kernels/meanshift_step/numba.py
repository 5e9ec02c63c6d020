"""meanshift_step compiled: one fused pass over the data for each point, points in parallel, no n x m matrix.

A gaussian takes a first pass for the nearest point, whose weight the others are relative to.
"""

import numpy as np
from numba import njit, prange

from kernels._numba import one_at_a_time
from kernels.meanshift_step import KERNELS
from registry import register

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = range(len(KERNELS))


@njit(cache=True, nogil=True, inline="always")
def squared_distance(a, b, h):
    q2 = a.dtype.type(0)
    for k in range(len(a)):
        q = (b[k] - a[k]) / h
        q2 += q * q
    return min(q2, np.finfo(a.dtype).max)  # so that the gaussian never subtracts infinities


@njit(cache=True, nogil=True, inline="always")
def weight(q2, nearest, kernel):
    one = type(q2)(1)
    if kernel == GAUSSIAN:
        return np.exp((nearest - q2) / type(q2)(2))
    if kernel == TRIANGULAR:
        return max(one - np.sqrt(q2), type(q2)(0))
    if kernel == EPANECHNIKOV:
        return max(one - q2, type(q2)(0))
    return one if q2 <= one else type(q2)(0)


@njit(parallel=True, cache=True, nogil=True)
def step(x, data, h, kernel, y):
    (n, d), m = x.shape, len(data)
    for i in prange(n):
        nearest = np.finfo(x.dtype).max
        if kernel == GAUSSIAN:
            for j in range(m):
                nearest = min(nearest, squared_distance(x[i], data[j], h))
        total = x.dtype.type(0)
        moved = np.zeros(d, x.dtype)
        for j in range(m):
            w = weight(squared_distance(x[i], data[j], h), nearest, kernel)
            total += w
            for k in range(d):
                moved[k] += w * (data[j, k] - x[i, k])
        for k in range(d):
            y[i, k] = x[i, k] + moved[k] / total if total > 0 else x[i, k]


@register("meanshift_step", "numba", requires=("numba",), layout="C", rank=50)
def meanshift_step(x, bandwidth, data, kernel):
    y = np.empty(x.shape, x.dtype)
    with one_at_a_time:
        step(x, data, x.dtype.type(bandwidth), KERNELS.index(kernel), y)
    return y
