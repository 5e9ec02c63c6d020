"""Mean-shift steps by small tiles of pairs, for points of many coordinates. `numba` and `tiles` share these loops.

A tile of points and data is processed in three parts. The first loops over the coordinates and keeps what it sums for each pair
in registers. The second turns these sums into weights; the tile is then in the first-level cache. The third loops over the
data and keeps the weighted sums of coordinates in registers. The sums are of differences of coordinates (`numba`) or of their
products (`tiles`). Where there are few points, threads share out the data, and each lays out a small block of its own at a time.

References
----------
Goto and van de Geijn 2008, Anatomy of high-performance matrix multiplication.
"""

import functools
import platform

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, fma, splat, total_of, where_above
from kernels._compute.simd_points import origin
from kernels._compute.simd_tiles import load_tile, store_tile
from kernels._compute.threads import parallel_for
from kernels.meanshift_step._compiled import ROBUST_GRAIN, padded, robust_step, times_masses, weight

TILE_ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # of 32 registers, or 16
TILE_VECTORS = 3
LIKE_TILE, LIKE_ROW = (0,) * (TILE_ROWS * TILE_VECTORS), (0,) * TILE_VECTORS  # tuples whose lengths tell the compiler the shapes
PANELS = 8  # panels of data, each as wide as a tile, that a row of tiles covers
MAX_BYTES = 2**20  # of points or data that are laid out at a time: of larger arrays, the system would clear new memory
GRAIN = 2_000_000  # coordinates of pairs that are worth waking a thread,
LAYING_OUT = 2**18  # and coordinates that are laid out
FEW_POINTS = 512  # points that take less time than what laying out all data writes and reads again
PRIVATE_BYTES = 2**18  # of the data that each thread then lays out for itself: they stay in the second-level cache
MAX_PARTS = 16  # of the data


@jit(fastmath={"reassoc", "contract"})
def lay_out(points, centre, scale, differences, rows, norms, panels, start, stop):
    """Lay out groups `start` to `stop`: (points - centre) / scale, their squared lengths, and each group by coordinates.

    Shapes: rows (n, d) or larger; norms (1, n) or larger, which is 0 where the pass takes `differences`; panels (groups d,
    points in a group), or without rows if nobody needs them.
    """
    d, group = points.shape[1], panels.shape[1]
    for g in range(start, stop):
        first, last = g * group, min((g + 1) * group, len(points))
        for i in range(first, last):
            norm = points.dtype.type(0)
            for k in range(d):
                z = (points[i, k] - centre[k]) / scale
                rows[i, k] = z
                norm += z * z
            norms[0, i] = 0 if differences else norm
        if len(panels):
            for k in range(d):
                for i in range(group):
                    panels[g * d + k, i] = rows[first + i, k]


def tiled(add_pairs, add_weighted, factor):
    """Return the compiled pass over pairs of points and data that are laid out, and one over parts of data that are not.

    The pass finds q^2 as `factor` times what `add_pairs` sums over the coordinates, plus the `norms` of the point and of the
    datum. `add_weighted` adds a datum, times its weights, to the sums of a tile of points.
    """

    @jit
    def accumulate(rows, norms, start, stop, panels, data, data_norms, masses, d, like_block, like_few, kernel, c, sums, totals):
        lanes = BYTES // rows.itemsize
        width, zero = TILE_VECTORS * lanes, splat(rows.dtype.type(0))
        one, times = splat(rows.dtype.type(1)), splat(rows.dtype.type(factor))
        tile = np.empty((TILE_ROWS, PANELS * width), rows.dtype)
        for near in range(0, len(data), PANELS * width):
            count = min(PANELS * width, len(data) - near)
            for i in range(start * TILE_ROWS, stop * TILE_ROWS, TILE_ROWS):
                for j in range(0, count, width):
                    pairs = origin(rows, LIKE_TILE)
                    panel = (near + j) // width * d
                    for k in range(d):
                        pairs = add_pairs(pairs, rows, i, k, load_tile(panels, LIKE_ROW, LIKE_ROW, panel + k, 0))
                    store_tile(tile, LIKE_ROW, 0, j, pairs)
                weighed = rows.dtype.type(0)
                for r in range(TILE_ROWS):
                    norm, total = splat(norms[0, i + r]), zero
                    for j in range(0, count, lanes):
                        constant = norm + load_tile(data_norms, (0,), (0,), 0, near + j)[0]
                        q2 = fma(load_tile(tile, (0,), (0,), r, j)[0], times, constant)
                        w = times_masses(weight(kernel, where_above(q2, zero, q2), one, c), masses, near + j)
                        total = total + w
                        store_tile(tile, (0,), r, j, (w,))
                    weighed += total_of(total)
                    totals[i + r] += total_of(total)
                if weighed == 0:  # a compact kernel reaches none of these data
                    continue
                for k in range(0, data.shape[1], len(like_few) * lanes):
                    moved = load_tile(sums, like_block, like_few, i, k)
                    for j in range(count):
                        datum = load_tile(data, like_few, like_few, near + j, k)
                        moved = add_weighted(moved, tile, j, datum, rows, i, k)
                    store_tile(sums, like_few, i, k, moved)

    @jit
    def accumulate_parts(
        rows, norms, data, masses, centre, scale, differences, block, like_block, like_few, kernel, c, sums, totals, start, stop
    ):
        """Pass all points over parts `start` to `stop` of the data, which are laid out here, block after block."""
        (m, d), (_, width), panel = data.shape, rows.shape, TILE_VECTORS * BYTES // rows.itemsize
        near, near_norms = np.zeros((block, width), rows.dtype), np.empty((1, block), rows.dtype)
        panels, near_masses = (
            np.empty((block // panel * d, panel), rows.dtype),
            np.zeros((1, min(block, masses.size)), rows.dtype),
        )
        for part in range(start, stop):
            last = m * (part + 1) // len(sums)
            for left in range(m * part // len(sums), last, block):
                others = data[left : min(left + block, last)]
                groups = -(-len(others) // panel)
                near_norms[0, len(others) :] = np.inf
                for j in range(masses.size and len(others)):
                    near_masses[0, j] = masses[0, left + j]
                lay_out(others, centre, scale, differences, near, near_norms, panels, 0, groups)
                known = (
                    near[: groups * panel],
                    near_norms,
                    near_masses,
                    d,
                    like_block,
                    like_few,
                    kernel,
                    c,
                    sums[part],
                    totals[part],
                )
                accumulate(rows, norms, 0, len(rows) // TILE_ROWS, panels, *known)

    return accumulate, accumulate_parts


@jit
def finish(x, data, masses, h, kernel, top, rows, sums, totals, differences, scale, centre, least, y, start, stop):
    """Move the points of x from `top` + start on. Where the weights of a point sum to less than `least`, take a robust step.

    `differences` is 1 where the sums are of differences from the point, and 0 where they are of the data themselves.
    """
    for i in range(top + start, top + stop):
        total = totals[i - top]
        if total < least:
            robust_step(x, data, masses, h, kernel, i, x[i] if differences else centre, y)
            continue
        for k in range(x.shape[1]):
            moved = (differences * rows[i - top, k] + sums[i - top, k] / total) * scale + centre[k] if total > 0 else x[i, k]
            y[i, k] = moved


def _accumulate(accumulate, rows, norms, others, start, stop):
    accumulate(rows, norms, start, stop, *others)


def step(passes, x, h, data, v, kernel, c, differences, scale, centre, least):
    """Move all points.

    Parameters
    ----------
    passes : callables
        What `tiled` returned.
    x, data : array, shapes (n, d) and (m, d)
    v : array, shape (m,), or None
        The data's weights.
    h, kernel, c
        The bandwidth, the kernel's number and the constants of its weight function.
    differences : number
        1 where the pass sums differences from the point, 0 where it sums the data.
    scale, centre : number, array
        The pass computes with (points - centre) / scale.
    least : number
        Points whose weights sum to less take a robust step.
    """
    (n, d), m, lanes, (accumulate, accumulate_parts) = x.shape, len(data), BYTES // x.itemsize, passes
    panel = TILE_VECTORS * lanes
    like_few = (0,) * (1 if d <= lanes or differences else 2)  # differences need the points' coordinates in registers too
    width = -(-d // (len(like_few) * lanes)) * len(like_few) * lanes
    most = panel * max(1, MAX_BYTES // (width * x.itemsize * panel))
    y = np.empty_like(x)

    def space(points, group, turned):  # which all blocks share: new memory would take longer than what is written to it
        groups = -(-min(len(points), most) // group)
        panels = np.empty((groups * d * turned, group), x.dtype)
        return np.zeros((groups * group, width), x.dtype), np.empty((1, groups * group), x.dtype), panels

    def laid_out(points, rows, norms, panels):
        group = panels.shape[1]
        groups = -(-len(points) // group)
        norms[0, len(points) :] = np.inf  # rows past the last point are infinitely far from all others
        work = functools.partial(lay_out, points, centre, scale, differences, rows, norms, panels)
        parallel_for(work, groups, 1 + LAYING_OUT // (group * d))
        return rows[: groups * group], norms, panels

    def end(rows, sums, totals, top):
        count = min(most, n - top)
        light = bool((totals[:count] < least).any())
        known = padded(v, 1, x.dtype), h, kernel, top, rows, sums, totals, differences, scale, centre, least
        work = functools.partial(finish, x, data, *known, y)
        parallel_for(work, count, 1 + ROBUST_GRAIN // m if light else count)

    own = space(x, TILE_ROWS, False)
    block = panel * max(1, PRIVATE_BYTES // (width * x.itemsize * panel))
    parts = min(MAX_PARTS, m // block)
    if n <= min(most, FEW_POINTS) and parts > 1:
        rows, norms, _ = laid_out(x, *own)
        sums, totals = np.zeros((parts, *rows.shape), x.dtype), np.zeros((parts, len(rows)), x.dtype)
        known = padded(v, 1, x.dtype), centre, scale, differences, block, like_few * TILE_ROWS, like_few, kernel, c, sums, totals
        parallel_for(functools.partial(accumulate_parts, rows, norms, data, *known), parts)
        end(rows, sums.sum(0), totals.sum(0), 0)
        return y
    theirs = space(data, panel, True)
    for top in range(0, n, most):
        rows, norms, _ = laid_out(x[top : top + most], *own)
        sums, totals = np.zeros_like(rows), np.zeros(len(rows), x.dtype)
        for left in range(0, m, most):
            near, near_norms, panels = laid_out(data[left : left + most], *theirs)
            masses = padded(None if v is None else v[left : left + most], panel, x.dtype)
            others = (panels, near, near_norms, masses, d, like_few * TILE_ROWS, like_few, kernel, c, sums, totals)
            work = functools.partial(_accumulate, accumulate, rows, norms, others)
            parallel_for(work, len(rows) // TILE_ROWS, 1 + GRAIN // (TILE_ROWS * len(near) * d))
        end(rows, sums, totals, top)
    return y
