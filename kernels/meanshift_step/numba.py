"""meanshift_step compiled: one fused pass over the pairs in explicit vectors, no n x m matrix; each pair once where data is x.

Points lie coordinate by coordinate, scaled by the power of two that brings the bandwidth to between 1/2 and 1, so that squared
distances neither overflow nor vanish where they matter. A vector of data meets one point at a time, differences first. The
gaussian is 2^t, a polynomial for the fraction of t with its whole part added to the exponent, biased so that weights count
down to 2^-215 in float32; a row with none above that goes the careful way, weights relative to the nearest point's.

In the blurring step w_ij = w_ji, so a pair serves both its rows: blocks of rows meet themselves and the columns after them,
which gather in sums of their own for each of a fixed number of parts, so that the cores change no bits.
"""

import math

import numpy as np
from numba import njit

from kernels._simd import (
    BYTES,
    add_totals,
    add_weighted,
    exp2_near_0,
    fma,
    load_points,
    minus,
    origin,
    root,
    splat,
    splat_point,
    squared_length,
    store_points,
    times_power_of_two,
    where_above,
)
from kernels._threads import share_out
from kernels.meanshift_step import KERNELS
from registry import register

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = range(len(KERNELS))
BLOCK, CHUNK = 128, 1024  # rows that meet a chunk of columns while it is in the first-level cache
PARTS = 16  # most parts of a blurring step
SHARE = 1_000_000  # pairs that are worth waking a thread
ROOM = 2**24  # bytes that the sums of the parts may fill, in the output's size
FUSED = 8  # most coordinates whose sums fit the registers


@njit(inline="always")
def gaussian(q2, one, c):
    """2^(bias - c0 q2): adding 1.5 x 2^23 (float32) rounds to whole numbers, and leaves those in the low bits."""
    scale, rounder = splat(-c[0]), splat(c[1])
    whole = fma(q2, scale, rounder)
    fraction = fma(q2, scale, rounder - whole)
    return where_above(splat(c[2]), q2, times_power_of_two(exp2_near_0(fraction), whole))


@njit(inline="always")
def triangular(q2, one, c):
    w = fma(root(q2), splat(-c[0]), one)
    return where_above(w, one - one, w)


@njit(inline="always")
def epanechnikov(q2, one, c):
    w = fma(q2, splat(-c[0]), one)
    return where_above(w, one - one, w)


@njit(inline="always")
def flat(q2, one, c):
    return one - where_above(q2, splat(c[0]), one)


def fused(weight):
    """Make the two passes of a kernel: rows against data, and a part of the blurring step."""

    @njit(inline="always")
    def pull(z, start, stop, data, first, last, like, c, sums, columns):
        """Add to the sums of some rows what some columns of data do to them, and to those of the columns the reverse."""
        one = splat(c[3])
        for near in range(first, last, CHUNK):
            far = min(near + CHUNK, last)
            for i in range(start, stop):
                point = splat_point(z, like, i)
                mine = origin(z, like + (0,))
                for j in range(near, far, BYTES // z.itemsize):
                    difference = minus(load_points(data, like, j), point)
                    w = weight(squared_length(difference), one, c)
                    mine = add_weighted(mine, w, difference + (one,))
                    if columns is not None:
                        theirs = load_points(columns, like + (0,), j)
                        store_points(columns, j, add_weighted(theirs, one - one - w, difference + (one - one - one,)))
                add_totals(sums, i, mine)

    @njit(cache=True, nogil=True)
    def against(z, data, start, stop, like, c, sums):
        for block in range(start, stop, BLOCK):
            pull(z, block, min(block + BLOCK, stop), data, 0, data.shape[1], like, c, sums, None)

    @njit(cache=True, nogil=True)
    def among(z, n, part, parts, like, c, sums):
        sums[:] = 0
        for block in range((n + BLOCK - 1) // BLOCK):
            turn = block % (2 * parts)  # there and back, since the first blocks have the most columns after them
            if turn == part or turn == 2 * parts - 1 - part:
                start, stop = block * BLOCK, min((block + 1) * BLOCK, n)
                after = min((block + 1) * BLOCK, z.shape[1])
                pull(z, start, stop, z, start, after, like, c, sums, None)
                pull(z, start, stop, z, after, z.shape[1], like, c, sums, sums)

    return against, among


PASSES = [fused(weight) for weight in (gaussian, triangular, epanechnikov, flat)]


@njit(cache=True, nogil=True)
def scale(x, unit, back, z):
    """Lay scaled points out coordinate by coordinate, past the last one far from all; return whether nothing was rounded."""
    n, d = x.shape
    exact, most = True, np.finfo(x.dtype).max / 4
    for k in range(d):
        for i in range(n):
            z[k, i] = x[i, k] * unit
            exact &= z[k, i] * back == x[i, k] and abs(z[k, i]) < most / 8
        z[k, n:] = most
    return exact


@njit(cache=True, nogil=True)
def careful(x, data, h, kernel, i, y):
    """Move one point by the definition, whatever the range; a gaussian's weights are relative to the nearest point's."""
    (n, d), m = x.shape, len(data)
    one, largest = x.dtype.type(1), np.finfo(x.dtype).max
    nearest = largest
    y[i] = 0
    total = x.dtype.type(0)
    for again in range(2):
        for j in range(m):
            q2 = x.dtype.type(0)
            for k in range(d):
                q = (data[j, k] - x[i, k]) / h
                q2 += q * q
            q2 = min(q2, largest)  # so that the gaussian never subtracts infinities
            if not again:
                nearest = min(nearest, q2)
                continue
            if kernel == GAUSSIAN:
                w = np.exp((nearest - q2) / x.dtype.type(2))
            elif kernel == TRIANGULAR:
                w = max(one - np.sqrt(q2), x.dtype.type(0))
            elif kernel == EPANECHNIKOV:
                w = max(one - q2, x.dtype.type(0))
            else:
                w = one if q2 <= one else x.dtype.type(0)
            total += w
            for k in range(d):
                y[i, k] += w * (data[j, k] - x[i, k])
    for k in range(d):
        y[i, k] = x[i, k] + y[i, k] / total if total > 0 else x[i, k]


@njit(cache=True, nogil=True)
def move(x, data, h, kernel, z, back, sums, least, y):
    """Add up the parts and move the points; those whose weights nearly vanished go the careful way."""
    n, d = x.shape
    for i in range(n):
        total = sums[0, d, i]
        for part in range(1, len(sums)):
            total += sums[part, d, i]
        if total < least:
            careful(x, data, h, kernel, i, y)
            continue
        for k in range(d):
            moved = sums[0, k, i]
            for part in range(1, len(sums)):
                moved += sums[part, k, i]
            y[i, k] = (z[k, i] + moved / total) * back if total > 0 else x[i, k]


@njit(cache=True, nogil=True)
def all_careful(x, data, h, kernel, start, stop, y):
    for i in range(start, stop):
        careful(x, data, h, kernel, i, y)


def constants(kernel, h, real):
    """Return what a weight function needs of a bandwidth from 1 to 2, and 1."""
    if kernel != GAUSSIAN:
        return (real(1 / h if kernel == TRIANGULAR else 1 / (h * h) if kernel == EPANECHNIKOV else h * h), real(0), real(0), real(1))
    factor = math.log2(math.e) / (2 * h * h)
    bias, least, rounder = (90, -125, 1.5 * 2**23) if real is np.float32 else (900, -1021, 1.5 * 2**52)
    return real(factor), real(rounder + bias), real((bias - least) / factor), real(1)


@register("meanshift_step", "numba", requires=("numba",), layout="C", rank=50)
def meanshift_step(x, bandwidth, data, kernel):
    (n, d), m, real, kind = x.shape, len(data), x.dtype.type, KERNELS.index(kernel)
    y = np.empty(x.shape, x.dtype)
    h, exponent = math.frexp(real(bandwidth))
    unit, back = real(math.ldexp(1, 1 - exponent)), real(math.ldexp(1, exponent - 1))
    lanes = BYTES // x.itemsize
    z = points = np.empty((d, -(-n // lanes) * lanes), x.dtype)
    exact = 0 < d <= FUSED and scale(x, unit, back, z)
    if exact and data is not x:
        points = np.empty((d, -(-m // lanes) * lanes), x.dtype)
        exact = scale(data, unit, back, points)
    if not exact:
        least = 1 + SHARE // 100 // max(1, m)
        share_out(lambda start, stop: all_careful(x, data, real(bandwidth), kind, start, stop, y), n, least)
        return y
    against, among = PASSES[kind]
    c, like = constants(kind, 2 * h, real), (0,) * d
    blocks = -(-n // BLOCK)
    parts = min(PARTS, blocks // 2 + 1, ROOM // (y.nbytes + 1)) if data is x else 0
    sums = np.empty((max(1, parts), d + 1, z.shape[1]), x.dtype)

    def share(start, stop):
        for part in range(start, stop):
            among(z, n, part, parts, like, c, sums[part])

    if parts:
        share_out(share, parts, -(-parts * SHARE // (n * n)))
    else:
        sums[:] = 0
        share_out(lambda start, stop: against(z, points, start, stop, like, c, sums[0]), n, 1 + SHARE // m)
    move(x, data, real(bandwidth), kind, z, back, sums, real(4 * m if kernel == "gaussian" and data is not x else 0), y)
    return y
