"""meanshift_step compiled, through two matrix products for each tile of pairs: q^2 = |a|^2 + |b|^2 - 2 a.b, and the sum W Z.

As in `expansion`, the data are centred first. Here a tile of pairs stays in the first-level cache. With sixteen coordinates or
more most of the time goes into the products. A product of coordinates takes one instruction, where a squared difference takes
two.
"""

import functools

import numpy as np

from kernels._compute.simd_tiles import add_outer, add_product
from kernels._compute.threads import parallel_for
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._compiled import GAUSSIAN, ROBUST_GRAIN, constants, padded, robust_steps
from kernels.meanshift_step._tiles import step, tiled
from kernels.meanshift_step._weights import with_weight
from registry import register

PASS = tiled(add_outer, add_product, -2)


@register("meanshift_step", "tiles", requires=("numba",), layout="C", precision="expansion", rank=45)
def meanshift_step(x, bandwidth, data, kernel, weights=None):
    data, v = with_weight(data, weights)
    (n, d), m, real, kind = x.shape, len(data), x.dtype.type, KERNELS.index(kernel)
    if not (x.size and m):
        return x.copy()
    mean = data.mean(axis=0, dtype=float) if v is None else np.average(data, axis=0, weights=v.astype(float))
    h, centre = real(bandwidth), mean.astype(x.dtype)
    with np.errstate(over="ignore"):
        edges = [edge for points in (x, data) for edge in (points.min(axis=0), points.max(axis=0))]
        farthest = np.abs(edges - centre).max() / h
    if not float(farthest) * d * m < np.finfo(x.dtype).max ** 0.25:  # squares of the coordinates might overflow
        y = np.empty(x.shape, x.dtype)
        parallel_for(
            functools.partial(robust_steps, x, data, padded(v, 1, x.dtype), h, kind, centre[None], y), n, 1 + ROBUST_GRAIN // m
        )
        return y
    least = real(4 * m if kind == GAUSSIAN else 0)
    return step(PASS, x, h, data, v, kind, constants(kind, 1.0, real), real(0), h, centre, least)
