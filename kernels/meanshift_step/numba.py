"""meanshift_step compiled: one fused pass over all pairs in vectors, without an n x m matrix; each pair once where data is x.

Points are stored coordinate by coordinate, and scaled by the power of two that brings the bandwidth to between 1 and 2. So no
squared distance that matters overflows or underflows. The pass takes one point and a vector of data at a time, or one datum and
a vector of points where there are at least as many of those, and subtracts before it squares. The gaussian is computed as 2^t: a
polynomial for the fraction of t, and its whole part added to the exponent. A power of two multiplies all weights, so that in
float32 weights down to 2^-215 count. A point whose weights are all below that takes a robust step, with weights relative to the
nearest datum's.

In the blurring step, where data is x, w_ij = w_ji: each pair is computed once and added to the sums of both its points. The
blocks of rows are divided into a fixed number of parts, and each part has sums of its own: so the number of cores changes no
bit of the result. Where data is not x, slabs of points are computed apart from each other; few points share out the data. Points
with more coordinates than registers can hold take the loops of `_tiles`, over differences. Few pairs take those of `_few`.
"""

import functools
import math

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, splat
from kernels._compute.simd_points import (
    add_totals,
    add_weighted,
    load_points,
    minus,
    origin,
    splat_point,
    squared_length,
    store_points,
)
from kernels._compute.simd_tiles import add_squares, add_weighted_differences
from kernels._compute.threads import parallel_for
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._compiled import (
    GAUSSIAN,
    ROBUST_GRAIN,
    constants,
    move,
    padded,
    robust_steps,
    times_mass,
    times_masses,
    weight,
)
from kernels.meanshift_step._costs import cost_of_pair, few
from kernels.meanshift_step._few import step as step_of_few
from kernels.meanshift_step._tiles import step, tiled
from kernels.meanshift_step._weights import with_weight
from registry import register

BLOCK_ROWS, BLOCK_COLUMNS = 128, 1024  # a block's points, and the data that stay in the first-level cache while these pass
MAX_PARTS = 16  # of a blurring step, and slabs that share out fewer points than `SLAB`
GRAIN = 40_000_000  # bytes of what pairs take that are worth waking a thread
MAX_BYTES = 2**24  # of the sums of all parts
FEW_POINTS, SHARED = 64, 100_000  # so few points share out the data, where these have so many coordinates,
BLOCK = 2**14  # of which each thread lays out so many at a time: they stay in the second-level cache
SLAB = 2**14  # points that move at a time where data is not x: they and their sums stay in the second-level cache
WIDTHS = (1, 2, 3, 4, 6, 8)  # numbers of coordinates that a pass is compiled for; the sums of up to eight fit into registers


@jit
def accumulate(z, n, data, masses, part, parts, mirrored, like, kernel, c, sums):
    """Pass one part of the blocks of rows over the data.

    Shapes: z (d, n) and data (d, m), both padded; masses (1, m), padded, or (1, 0) where each is 1; sums (d + 1, n), padded:
    weighted differences, and last the weights. With `mirrored`, data is z: a block of rows takes itself and the columns after
    it, and these columns' sums are updated as well.
    """
    zero, one = splat(z.dtype.type(0)), splat(z.dtype.type(1))
    for block in range(-(-n // BLOCK_ROWS)):
        # Parts take blocks in the order 0 1 2 2 1 0, since earlier blocks of a blurring step take more time.
        phase = block % (2 * parts)
        if phase != part and phase != 2 * parts - 1 - part:
            continue
        start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, n)
        for both in range(1 + mirrored):
            first, last = (start if mirrored else 0), data.shape[1]
            after = min(start + BLOCK_ROWS, last)
            if both:
                first = after
            elif mirrored:
                last = after
            for near in range(first, last, BLOCK_COLUMNS):
                far = min(near + BLOCK_COLUMNS, last)
                for i in range(start, stop, 2):
                    point, other = splat_point(z, like, i), splat_point(z, like, i + 1)
                    sum_here, sum_there = origin(z, (*like, 0)), origin(z, (*like, 0))
                    for j in range(near, far, BYTES // z.itemsize):
                        columns = load_points(data, like, j)
                        here, there = minus(columns, point), minus(columns, other)
                        w, v = weight(kernel, squared_length(here), one, c), weight(kernel, squared_length(there), one, c)
                        sum_here = add_weighted(sum_here, times_masses(w, masses, j), (*here, one))
                        sum_there = add_weighted(sum_there, times_masses(v, masses, j), (*there, one))
                        if both:
                            theirs = load_points(sums, (*like, 0), j)
                            theirs = add_weighted(theirs, zero - times_mass(w, masses, i), (*here, zero - one))
                            theirs = add_weighted(theirs, zero - times_mass(v, masses, i + 1), (*there, zero - one))
                            store_points(sums, j, theirs)
                    add_totals(sums, i, sum_here)
                    add_totals(sums, i + 1, sum_there)


@jit
def accumulate_across(z, data, m, masses, like, kernel, c, sums):
    """Pass over the data, one datum and a vector of points at a time.

    Shapes: z (d, n) and data (d, m), both padded; masses and sums as above.
    """
    one = splat(z.dtype.type(1))
    for near in range(0, m, BLOCK_COLUMNS):
        for i in range(0, z.shape[1], BYTES // z.itemsize):
            points = load_points(z, like, i)
            evens, odds = origin(z, (*like, 0)), origin(z, (*like, 0))
            for j in range(near, min(near + BLOCK_COLUMNS, m), 2):
                here, there = minus(splat_point(data, like, j), points), minus(splat_point(data, like, j + 1), points)
                w, v = weight(kernel, squared_length(here), one, c), weight(kernel, squared_length(there), one, c)
                evens = add_weighted(evens, times_mass(w, masses, j), (*here, one))
                odds = add_weighted(odds, times_mass(v, masses, j + 1), (*there, one))
            both = add_weighted(evens, one, odds)
            store_points(sums, i, add_weighted(load_points(sums, (*like, 0), i), one, both))


TILED_PASS = tiled(add_squares, add_weighted_differences, 1)


@jit
def scales_exactly(points, scale, back):
    """Return whether scaling rounds no coordinate, and no difference of scaled coordinates can overflow."""
    coordinates, most, exact = points.reshape(points.size), points.dtype.type(np.finfo(points.dtype).max / 32), True
    for i in range(len(coordinates)):  # without branches, so that it becomes a loop of vectors
        scaled = coordinates[i] * scale
        exact &= (scaled * back == coordinates[i]) & (abs(scaled) < most)
    return exact


@jit
def lay_out(points, scale, z):
    """Store scaled points coordinate by coordinate; columns past the last point become far from all points."""
    for k in range(points.shape[1]):
        for i in range(len(points)):
            z[k, i] = points[i, k] * scale
        z[k, len(points) :] = np.finfo(points.dtype).max / 4


def whole_vectors(count, itemsize):
    """Return the least number of entries that is no less than `count` and fills vectors."""
    lanes = BYTES // itemsize
    return -(-count // lanes) * lanes


def laid_out(points, scale, width):
    """Return scaled points of shape (width, n), n rounded up to whole vectors; coordinates past the last are 0."""
    z = np.zeros((width, whole_vectors(len(points), points.itemsize)), points.dtype)
    lay_out(points, scale, z)
    return z


@jit
def accumulate_parts(z, n, data, masses, scale, back, size, like, kernel, c, sums, exact, start, stop):
    """Pass over parts `start` to `stop` of the data, which are laid out here, block after block of `size`.

    Shapes: z (d, n), padded; data (m, d), masses (1, m or more), or (1, 0) where each is 1; sums (parts, d + 1, n), padded; exact
    (parts): whether scaling is exact for all data of a part.
    """
    others, near_masses = np.zeros((len(z), size), z.dtype), np.zeros((1, min(size, masses.size)), z.dtype)
    blocks = -(-len(data) // size)
    for part in range(start, stop):
        for block in range(blocks * part // len(sums), blocks * (part + 1) // len(sums)):
            points = data[block * size : (block + 1) * size]
            exact[part] &= scales_exactly(points, scale, back)
            lay_out(points, scale, others)
            for j in range(masses.size and len(points)):
                near_masses[0, j] = masses[0, block * size + j]
            accumulate(z, n, others, near_masses, 0, 1, False, like, kernel, c, sums[part])


@register("meanshift_step", "numba", requires=("numba",), layout="C", rank=50)
def meanshift_step(x, bandwidth, data, kernel, weights=None):
    data, v = with_weight(data, weights)
    (n, d), m, real, kind = x.shape, len(data), x.dtype.type, KERNELS.index(kernel)
    if not (x.size and m):
        return x.copy()
    h, masses = real(bandwidth), padded(v, BYTES // x.itemsize, x.dtype)
    if few(n, m, d):
        return step_of_few(x, h, data, masses, kind)
    y, (mantissa, exponent) = np.empty(x.shape, x.dtype), math.frexp(h)
    scale, back = real(math.ldexp(1, 1 - exponent)), real(math.ldexp(1, exponent - 1))
    c, light_alone = constants(kind, 2 * mantissa, real), data is not x or v is not None  # a point that does not weigh 1 itself
    least = real(4 * m if kind == GAUSSIAN and light_alone else 0)
    grains = int(n * m * cost_of_pair(d, {"kernel": kernel}) * x.itemsize // GRAIN)
    parts = min(MAX_PARTS, -(-n // BLOCK_ROWS) // 2 + 1, MAX_BYTES // y.nbytes) if data is x else 0
    apart = not parts and d <= WIDTHS[-1]  # slabs of points

    def exactly(points):
        return scales_exactly(points, scale, back)

    def robust(x, y):
        parallel_for(functools.partial(robust_steps, x, data, masses, h, kind, x, y), len(x), 1 + ROBUST_GRAIN // m)

    width = next((width for width in WIDTHS if width >= d), 0)
    like = (0,) * width

    def end(x, z, sums, y):
        light = (sums[0, width, : len(x)] < least).any()
        work = functools.partial(move, x, data, masses, h, kind, z, back, sums, least, y)
        parallel_for(work, len(x), 1 + ROBUST_GRAIN // m if light else len(x))

    if apart and n <= FEW_POINTS and m * width >= SHARED:
        blocks, z = m * width // BLOCK, laid_out(x, scale, width)
        exact, size = np.full(min(MAX_PARTS, blocks), exactly(x)), whole_vectors(-(-m // blocks), x.itemsize)
        sums = np.zeros((len(exact), width + 1, z.shape[1]), x.dtype)
        work = functools.partial(accumulate_parts, z, n, data, masses, scale, back, size, like, kind, c, sums, exact)
        parallel_for(work, len(exact))
        if exact.all():
            end(x, z, sums, y)
        else:
            robust(x, y)
        return y
    if not (exactly(data) and (data is x or apart or exactly(x))):
        robust(x, y)
        return y
    if d > WIDTHS[-1]:
        return step(TILED_PASS, x, h, data, v, kind, c, real(1), back, np.zeros(d, x.dtype), least)
    others = laid_out(data, scale, width)
    if not apart:
        sums = np.zeros((parts, width + 1, others.shape[1]), x.dtype)

        def blurred(start, stop):
            for part in range(start, stop):
                accumulate(others, n, others, masses, part, parts, True, like, kind, c, sums[part])

        parallel_for(blurred, parts, parts // max(1, grains))
        end(x, others, sums, y)
        return y
    pairs = -(-n // 2)  # of points, since a pass takes two at a time
    slabs = max(1, min(MAX_PARTS, grains, pairs // 2), -(-n // SLAB))

    def moved(start, stop):
        for slab in range(start, stop):
            own = slice(pairs * slab // slabs * 2, pairs * (slab + 1) // slabs * 2)
            if not exactly(x[own]):
                robust(x[own], y[own])
                continue
            z = laid_out(x[own], scale, width)
            sums = np.zeros((1, width + 1, z.shape[1]), x.dtype)
            if n < m:
                accumulate(z, len(x[own]), others, masses, 0, 1, False, like, kind, c, sums[0])
            else:
                accumulate_across(z, others, m, masses, like, kind, c, sums[0])
            end(x[own], z, sums, y[own])

    parallel_for(moved, slabs)
    return y
