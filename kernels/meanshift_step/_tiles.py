"""Mean-shift steps by small tiles of pairs, for many coordinates: one block of pairs in registers while the coordinates pass.

A sweep turns what gathered there into weights, in first-level cache, and a second block of registers gathers the pulls while
the data pass. The same loops serve products of coordinates and differences; Goto and van de Geijn, Anatomy of high-performance
matrix multiplication, 2008, has the reasons.
"""

import functools
import platform

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, fma, load_tile, origin, splat, store_tile, total_of, where_above
from kernels._compute.threads import share_out
from kernels.meanshift_step._compiled import CAREFUL, WEIGHTS, careful

ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # with 32 registers, or 16
VECTORS = 3
TILE, WIDE = (0,) * (ROWS * VECTORS), (0,) * VECTORS
PANELS = 8  # columns of a tile, in panels of so many vectors
ROOM = 2**23  # bytes of rows or data laid out at a time
SHARE = 2_000_000  # coordinates of pairs that are worth waking a thread


def tiled(add_pairs, add_pull, factor):
    """Make the passes of all kernels, where q^2 is `factor` times what `add_pairs` gathers, plus the norms of the two points."""

    def made(weight):
        @jit
        def pull(rows, norms, start, stop, panels, data, data_norms, d, block, few, c, sums, totals):
            lanes = BYTES // rows.itemsize
            width, zero = VECTORS * lanes, splat(rows.dtype.type(0))
            one, times = splat(rows.dtype.type(1)), splat(rows.dtype.type(factor))
            tile = np.empty((ROWS, PANELS * width), rows.dtype)
            for near in range(0, len(data), PANELS * width):
                count = min(PANELS * width, len(data) - near)
                for i in range(start * ROWS, stop * ROWS, ROWS):
                    for j in range(0, count, width):
                        pairs = origin(rows, TILE)
                        panel = (near + j) // width * d
                        for k in range(d):
                            pairs = add_pairs(pairs, rows, i, k, load_tile(panels, WIDE, WIDE, panel + k, 0))
                        store_tile(tile, WIDE, 0, j, pairs)
                    for r in range(ROWS):
                        norm, total = splat(norms[0, i + r]), zero
                        for j in range(0, count, lanes):
                            constant = norm + load_tile(data_norms, (0,), (0,), 0, near + j)[0]
                            q2 = fma(load_tile(tile, (0,), (0,), r, j)[0], times, constant)
                            w = weight(where_above(q2, zero, q2), one, c)
                            total = total + w
                            store_tile(tile, (0,), r, j, (w,))
                        totals[i + r] += total_of(total)
                    for k in range(0, data.shape[1], len(few) * lanes):
                        moved = load_tile(sums, block, few, i, k)
                        for j in range(count):
                            moved = add_pull(moved, tile, j, load_tile(data, few, few, near + j, k), rows, i, k)
                        store_tile(sums, few, i, k, moved)

        return pull

    return [made(weight) for weight in WEIGHTS]


@jit
def finish(x, data, h, kernel, top, rows, sums, totals, own, unit, centre, least, y, start, stop):
    """Move the points; those whose weights nearly vanished go the careful way."""
    for i in range(top + start, top + stop):
        total = totals[i - top]
        if total < least:
            careful(x, data, h, kernel, i, x[i] if own else centre, y)
            continue
        for k in range(x.shape[1]):
            moved = (own * rows[i - top, k] + sums[i - top, k] / total) * unit + centre[k] if total > 0 else x[i, k]
            y[i, k] = moved


def _share(pull, rows, norms, place, start, stop):
    pull(rows, norms, start, stop, *place)


def step(passes, x, h, data, kernel, c, scaled, norm, own, unit, centre, least):
    """Move all points, where `scaled` brings points to the unit of the passes and `norm` gives what to add to their pairs."""
    (n, d), m, lanes = x.shape, len(data), BYTES // x.itemsize
    panel, few = VECTORS * lanes, (0,) * (1 if d <= lanes else 2)
    width = -(-d // (len(few) * lanes)) * len(few) * lanes
    room = panel * max(1, ROOM // (width * x.itemsize * panel))
    y = np.empty_like(x)

    def laid_out(points, multiple):
        z = np.zeros((-(-len(points) // multiple) * multiple, width), x.dtype)
        z[: len(points), :d] = scaled(points)
        norms = np.full((1, len(z)), np.inf, x.dtype)  # what fills up is infinitely far
        norms[0, : len(points)] = norm(z[: len(points)])
        return z, norms

    for top in range(0, n, room):
        rows, norms = laid_out(x[top : top + room], ROWS)
        sums, totals = np.zeros_like(rows), np.zeros(len(rows), x.dtype)
        for left in range(0, m, room):
            near, near_norms = laid_out(data[left : left + room], panel)
            panels = np.ascontiguousarray(near.reshape(-1, panel, width)[:, :, :d].transpose(0, 2, 1)).reshape(-1, panel)
            place = (panels, near, near_norms, d, few * ROWS, few, c, sums, totals)
            share = functools.partial(_share, passes[kernel], rows, norms, place)
            share_out(share, len(rows) // ROWS, 1 + SHARE // (ROWS * len(near) * d))
        count, light = min(room, n - top), bool((totals[: n - top] < least).any())
        end = functools.partial(finish, x, data, h, kernel, top, rows, sums, totals, own, unit, centre, least, y)
        share_out(end, count, 1 + CAREFUL // m if light else count)
    return y
