"""The sums of `_partial` compiled: a vector of points at a time goes through all data, as in `_grid`.

A gaussian's weights are relative to distance 0 first. Where a point of the vector has no data near, they are computed again,
relative to its nearest datum; not for points which other parts of the data have already given weight relative to distance 0.
"""

import functools

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, splat
from kernels._compute.simd_points import store_points
from kernels._compute.threads import parallel_for
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._compiled import GAUSSIAN, padded
from kernels.meanshift_step._grid import (
    INVERSE_BANDWIDTH,
    LARGEST,
    MAX_UNROLLED,
    accumulate,
    least,
    squared_distance,
    weight_constants,
)

GRAIN = 1_000_000  # pairs that are worth waking a thread


@jit
def sum_pairs(sites, data_sites, masses, m, width, c, kernel, like, enough, moved, total, pivot, first, last):
    """Sum for vectors first to last of points. A point whose pivot is 0 on entry keeps it, the others get theirs.

    Shapes: sites (d, n + width); data_sites (d, m + width); masses (1, m), or (1, 0) where each is 1; moved (n, d); total and
    pivot (n,).
    """
    d, n, scale = len(sites), len(total), splat(c[INVERSE_BANDWIDTH])
    lows, highs = np.array([0]), np.array([m])
    sums, near = np.empty((d + 1, width), sites.dtype), np.zeros((1, width), sites.dtype)
    for begin in range(first * width, min(n, last * width), width):
        end = min(n, begin + width)
        accumulate(kernel, sites, begin, data_sites, masses, lows, highs, None, c, like, sums)
        light = False
        for i in range(begin, end):
            light |= kernel == GAUSSIAN and pivot[i] > 0 and not sums[d, i - begin] >= enough
        if light:
            nearest = splat(c[LARGEST])
            for j in range(m):
                nearest = least(squared_distance(sites, begin, data_sites, j, scale), nearest)
            store_points(near, 0, (nearest,))
            accumulate(GAUSSIAN, sites, begin, data_sites, masses, lows, highs, nearest, c, (), sums)
        for i in range(begin, end):
            pivot[i] = near[0, i - begin] if light else 0
            total[i] = sums[d, i - begin]
            for k in range(d):
                moved[i, k] = sums[k, i - begin]


def sums(x, data, bandwidth, kernel, v, pivot):
    """Return the sums for x over data of weights v, or None; `pivot` is what the sums before have, or None.

    Shapes: x (n, d), data (m, d), v (m,), pivot (n,).
    """
    (n, d), m, width = x.shape, len(data), BYTES // x.dtype.itemsize
    columns = [np.zeros((d, len(points) + width), x.dtype) for points in (x, data)]
    for sites, points in zip(columns, (x, data), strict=True):
        sites[:, : len(points)] = points.T
    moved, total = np.empty((n, d)), np.empty(n)
    pivot = np.full(n, np.inf) if pivot is None else pivot.copy()
    like = (0,) * d if d <= MAX_UNROLLED else ()
    fixed = (m, width, weight_constants(KERNELS.index(kernel), bandwidth, x.dtype.type), KERNELS.index(kernel), like)
    enough = np.finfo(x.dtype).eps / 2
    work = functools.partial(sum_pairs, *columns, padded(v, 1, x.dtype), *fixed, enough, moved, total, pivot)
    parallel_for(work, -(-n // width), 1 + GRAIN // (m * width))
    return moved, total, pivot
