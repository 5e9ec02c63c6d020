"""meanshift_step through two matrix products for each tile of pairs, compiled: q^2 = |a|^2 + |b|^2 - 2 a.b, and the sum W Z.

As `expansion`, centred first; but the tile of pairs never leaves the first-level cache. With sixteen coordinates or more the
products are most of the work, and need one instruction where differences take two.
"""

import numpy as np

from kernels._compute.simd import add_outer, add_product
from kernels._compute.threads import share_out
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._compiled import CAREFUL, GAUSSIAN, all_careful, constants
from kernels.meanshift_step._tiles import step, tiled
from registry import register

PASSES = tiled(add_outer, add_product, -2)


@register("meanshift_step", "tiles", requires=("numba",), layout="C", precision="expansion", rank=45)
def meanshift_step(x, bandwidth, data, kernel):
    (n, d), m, real, kind = x.shape, len(data), x.dtype.type, KERNELS.index(kernel)
    if not x.size:
        return np.empty(x.shape, x.dtype)
    h, centre = real(bandwidth), data.mean(axis=0, dtype=float).astype(x.dtype)
    with np.errstate(over="ignore"):
        edges = [edge for points in (x, data) for edge in (points.min(axis=0), points.max(axis=0))]
        farthest = np.abs(edges - centre).max() / h
    if not float(farthest) * d * m < np.finfo(x.dtype).max ** 0.25:  # squares of the coordinates might overflow
        y = np.empty(x.shape, x.dtype)
        share_out(lambda start, stop: all_careful(x, data, h, kind, centre[None], start, stop, y), n, 1 + CAREFUL // m)
        return y
    return step(
        PASSES, x, h, data, kind, constants(kind, 1.0, real),
        lambda points: (points - centre) / h, lambda z: np.einsum("ik,ik->i", z, z),
        real(0), h, centre, real(4 * m if kind == GAUSSIAN else 0),
    )  # fmt: skip
