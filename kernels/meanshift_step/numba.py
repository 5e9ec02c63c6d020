"""meanshift_step compiled: one fused pass over the pairs in explicit vectors, no n x m matrix; each pair once where data is x.

Points lie coordinate by coordinate, scaled by the power of two that brings the bandwidth to between 1 and 2, so that squared
distances neither overflow nor vanish where they matter. A vector of data meets one point at a time, differences first. The
gaussian is 2^t, a polynomial for the fraction of t with its whole part added to the exponent, biased so that weights count
down to 2^-215 in float32; a row with none above that goes the careful way, weights relative to the nearest point's.

In the blurring step w_ij = w_ji, so a pair serves both its rows: blocks of rows meet themselves and the columns after them,
which gather in sums of their own for each of a fixed number of parts, so that the cores change no bits. With more coordinates
than fit the registers, the loops of `_tiles` run over differences instead.
"""

import functools
import math

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import (
    BYTES,
    add_pull,
    add_squares,
    add_totals,
    add_weighted,
    load_points,
    minus,
    origin,
    splat,
    splat_point,
    squared_length,
    store_points,
)
from kernels._compute.threads import share_out
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._compiled import CAREFUL, GAUSSIAN, WEIGHTS, all_careful, careful, constants
from kernels.meanshift_step._tiles import step, tiled
from registry import register

BLOCK, CHUNK = 128, 1024  # rows that meet a chunk of columns while it is in the first-level cache
PARTS = 16  # most parts of a blurring step
SHARE = 1_000_000  # pairs that are worth waking a thread
ROOM = 2**24  # bytes that the parts' coordinate sums may fill
SLAB = 2**16  # points that move at a time where each pair serves one row: so many sums are kept
WIDTHS = (1, 2, 3, 4, 6, 8)  # coordinates that a pass is compiled for; up to eight their sums fit the registers


def fused(weight):
    """Make the pass of a kernel: every `parts`th block of rows, to and fro, against the data."""

    @jit
    def pull(z, n, data, part, parts, height, mirrored, like, c, sums):
        zero, one = splat(z.dtype.type(0)), splat(z.dtype.type(1))
        for block in range(-(-n // height)):
            turn = block % (2 * parts)  # there and back, since in the blurring step the first blocks have the most to do
            if turn != part and turn != 2 * parts - 1 - part:
                continue
            start, stop = block * height, min(block * height + height, n)
            for both in range(1 + mirrored):
                first, last = (start if mirrored else 0), data.shape[1]
                after = min(start + height, last)
                if both:
                    first = after
                elif mirrored:
                    last = after
                for near in range(first, last, CHUNK):
                    far = min(near + CHUNK, last)
                    for i in range(start, stop, 2):
                        point, other = splat_point(z, like, i), splat_point(z, like, i + 1)
                        sum_here, sum_there = origin(z, (*like, 0)), origin(z, (*like, 0))
                        for j in range(near, far, BYTES // z.itemsize):
                            columns = load_points(data, like, j)
                            here, there = minus(columns, point), minus(columns, other)
                            w, v = weight(squared_length(here), one, c), weight(squared_length(there), one, c)
                            sum_here = add_weighted(sum_here, w, (*here, one))
                            sum_there = add_weighted(sum_there, v, (*there, one))
                            if both:
                                theirs = load_points(sums, (*like, 0), j)
                                theirs = add_weighted(theirs, zero - w, (*here, zero - one))
                                theirs = add_weighted(theirs, zero - v, (*there, zero - one))
                                store_points(sums, j, theirs)
                        add_totals(sums, i, sum_here)
                        add_totals(sums, i + 1, sum_there)

    return pull


PASSES = [fused(weight) for weight in WEIGHTS]
WIDE = tiled(add_squares, add_pull, 1)


@jit
def keeps_digits(points, unit, back):
    """Return whether scaling rounds nothing, and leaves room for differences."""
    most, exact = np.finfo(points.dtype).max / 32, True
    for point in points:
        for coordinate in point:
            scaled = coordinate * unit
            exact &= scaled * back == coordinate and abs(scaled) < most
    return exact


@jit
def lay_out(points, unit, z):
    for k in range(points.shape[1]):
        for i in range(len(points)):
            z[k, i] = points[i, k] * unit
        z[k, len(points) :] = np.finfo(points.dtype).max / 4


def laid_out(points, unit, width):
    """Return scaled points coordinate by coordinate, filled up with some far from all, and with coordinates of 0."""
    lanes = BYTES // points.itemsize
    z = np.zeros((width, -(-len(points) // lanes) * lanes), points.dtype)
    lay_out(points, unit, z)
    return z


@jit
def move(x, data, h, kernel, z, back, sums, least, y, start, stop):
    """Add up the parts and move the points; those whose weights nearly vanished go the careful way."""
    d, last = x.shape[1], sums.shape[1] - 1
    for i in range(start, stop):
        total = sums[0, last, i]
        for part in range(1, len(sums)):
            total += sums[part, last, i]
        if total < least:
            careful(x, data, h, kernel, i, x[i], y)
            continue
        for k in range(d):
            moved = sums[0, k, i]
            for part in range(1, len(sums)):
                moved += sums[part, k, i]
            y[i, k] = (z[k, i] + moved / total) * back if total > 0 else x[i, k]


@register("meanshift_step", "numba", requires=("numba",), layout="C", rank=50)
def meanshift_step(x, bandwidth, data, kernel):
    (n, d), m, real, kind = x.shape, len(data), x.dtype.type, KERNELS.index(kernel)
    y = np.empty(x.shape, x.dtype)
    if not y.size:
        return y
    mantissa, exponent = math.frexp(real(bandwidth))
    h, unit, back = real(bandwidth), real(math.ldexp(1, 1 - exponent)), real(math.ldexp(1, exponent - 1))
    c, least = constants(kind, 2 * mantissa, real), real(4 * m if kind == GAUSSIAN and data is not x else 0)
    if not all(keeps_digits(points, unit, back) for points in ((x,) if data is x else (x, data))):
        share_out(lambda start, stop: all_careful(x, data, h, kind, x, start, stop, y), n, 1 + CAREFUL // m)
        return y
    if d > WIDTHS[-1]:
        nowhere = np.zeros(d, x.dtype)
        return step(WIDE, x, h, data, kind, c, lambda points: points * unit, lambda z: 0, real(1), back, nowhere, least)
    parts = min(PARTS, -(-n // BLOCK) // 2 + 1, ROOM // y.nbytes)
    mirrored = data is x and parts > 0
    if not mirrored and n > SLAB:
        for start in range(0, n, SLAB):
            y[start : start + SLAB] = meanshift_step(x[start : start + SLAB], bandwidth, data, kernel)
        return y
    width = next(width for width in WIDTHS if width >= d)
    z = points = laid_out(x, unit, width)
    if data is not x:
        points = laid_out(data, unit, width)
    like = (0,) * width
    height = BLOCK if mirrored else min(BLOCK, 2 * -(-n // (2 * PARTS)))
    if not mirrored:
        parts = PARTS
    sums = np.zeros((parts if mirrored else 1, width + 1, z.shape[1]), x.dtype)

    def share(start, stop):
        for part in range(start, stop):
            PASSES[kind](z, n, points, part, parts, height, mirrored, like, c, sums[part if mirrored else 0])

    share_out(share, parts, parts * SHARE // (n * m))
    light = bool((sums[0, width, :n] < least).any())
    share_out(functools.partial(move, x, data, h, kind, z, back, sums, least, y), n, 1 + CAREFUL // m if light else n)
    return y
