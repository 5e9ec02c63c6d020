"""meanshift_step through two matrix products for each small tile of pairs, compiled: q^2 = |a|^2 + |b|^2 - 2 a.b, and the sum W Z.

As `expansion`, centred first; but the tile of pairs never leaves the first-level cache. A block of its products stays in registers
while the coordinates pass; one sweep turns it into weights; another block gathers the weighted sums while the data pass. With
sixteen coordinates or more the products are most of the work, and need one instruction where differences take two.
"""

import platform

import numpy as np
from numba import njit

from kernels._simd import BYTES, add_outer, fma, load_tile, origin, splat, store_tile, total_of, where_above
from kernels._threads import share_out
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._compiled import GAUSSIAN, WEIGHTS, all_careful, careful, constants
from registry import register

ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # with 32 registers, or 16
VECTORS = 3
TILE, WIDE, WIDTH = (0,) * (ROWS * VECTORS), (0,) * VECTORS, VECTORS * BYTES
PANELS = 8  # columns of a tile, in panels of so many vectors
ROOM = 2**23  # bytes of rows or data laid out at a time
SHARE = 1_000_000  # multiply-adds that are worth waking a thread


def multiplied(weight):
    """Make the pass of a kernel: some rows against some data."""

    @njit(cache=True, nogil=True)
    def pull(rows, norms, start, stop, panels, data, data_norms, d, block, few, c, sums, totals):
        lanes = BYTES // rows.itemsize
        width, zero, one, minus_two = VECTORS * lanes, rows.dtype.type(0), splat(rows.dtype.type(1)), splat(rows.dtype.type(-2))
        tile = np.empty((ROWS, PANELS * width), rows.dtype)
        for near in range(0, len(data), PANELS * width):
            count = min(PANELS * width, len(data) - near)
            for i in range(start * ROWS, stop * ROWS, ROWS):
                for j in range(0, count, width):
                    products = origin(rows, TILE)
                    panel = (near + j) // width * d
                    for k in range(d):
                        products = add_outer(products, rows, i, k, load_tile(panels, WIDE, WIDE, panel + k, 0))
                    store_tile(tile, WIDE, 0, j, products)
                for r in range(ROWS):
                    norm, total = splat(norms[i + r]), splat(zero)
                    for j in range(0, count, lanes):
                        q2 = load_tile(tile, (0,), (0,), r, j)[0]
                        q2 = fma(q2, minus_two, norm + load_tile(data_norms, (0,), (0,), 0, near + j)[0])
                        w = weight(where_above(q2, splat(zero), q2), one, c)
                        total = total + w
                        store_tile(tile, (0,), r, j, (w,))
                    totals[i + r] += total_of(total)
                for k in range(0, data.shape[1], len(few) * lanes):
                    moved = load_tile(sums, block, few, i, k)
                    for j in range(count):
                        moved = add_outer(moved, tile, 0, j, load_tile(data, few, few, near + j, k))
                    store_tile(sums, few, i, k, moved)

    return pull


PASSES = [multiplied(weight) for weight in WEIGHTS]


def laid_out(points, centre, bandwidth, multiple, width):
    """Return points centred, in bandwidths, with their squared lengths; filled up with zeros infinitely far."""
    z = np.zeros((-(-len(points) // multiple) * multiple, width), points.dtype)
    z[: len(points), : points.shape[1]] = (points - centre) / bandwidth
    norms = np.full(len(z), np.inf, points.dtype)
    norms[: len(points)] = np.einsum("ik,ik->i", z[: len(points)], z[: len(points)])
    return z, norms


@njit(cache=True, nogil=True)
def finish(x, data, h, kernel, top, sums, totals, centre, least, y):
    """Move the points; those whose weights nearly vanished go the careful way."""
    for i in range(top, min(top + len(sums), len(x))):
        total = totals[i - top]
        if total < least:
            careful(x, data, h, kernel, i, y)
            continue
        for k in range(x.shape[1]):
            y[i, k] = centre[k] + sums[i - top, k] / total * h if total > 0 else x[i, k]


@register("meanshift_step", "tiles", requires=("numba",), layout="C", precision="expansion", rank=45)
def meanshift_step(x, bandwidth, data, kernel):
    (n, d), m, real, kind = x.shape, len(data), x.dtype.type, KERNELS.index(kernel)
    y = np.empty(x.shape, x.dtype)
    if not y.size:
        return y
    h, lanes = real(bandwidth), BYTES // x.itemsize
    few = (0,) * (1 if d <= lanes else 2)
    width = -(-d // (len(few) * lanes)) * len(few) * lanes
    block, c = few * ROWS, constants(kind, 1.0, real)
    centre, room = data.mean(axis=0, dtype=x.dtype), max(PANELS * VECTORS * lanes, ROOM // (width * x.itemsize))
    farthest = max(float(np.abs(points - centre).max()) for points in ((x,) if data is x else (x, data)))
    if not farthest / h * d * m < np.finfo(x.dtype).max ** 0.25:  # weighted sums could overflow
        share_out(lambda start, stop: all_careful(x, data, h, kind, start, stop, y), n, 1 + SHARE // (100 * m))
        return y
    for top in range(0, n, room):
        chosen = x[top : top + room]
        rows, norms = laid_out(chosen, centre, h, ROWS, width)
        sums, totals = np.zeros_like(rows), np.zeros(len(rows), x.dtype)
        for left in range(0, m, room):
            near, near_norms = laid_out(data[left : left + room], centre, h, VECTORS * lanes, width)
            panels = np.ascontiguousarray(near.reshape(-1, VECTORS * lanes, width)[:, :, :d].transpose(0, 2, 1))
            panels = panels.reshape(-1, VECTORS * lanes)

            def share(start, stop):
                PASSES[kind](rows, norms, start, stop, panels, near, near_norms[None], d, block, few, c, sums, totals)

            share_out(share, len(rows) // ROWS, 1 + SHARE // (ROWS * len(near) * d))
        finish(x, data, h, kind, top, sums, totals, centre, real(4 * m if kind == GAUSSIAN else 0), y)
    return y
