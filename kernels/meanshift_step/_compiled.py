"""What the compiled steps share: the weights of a vector of pairs, and a scalar step that is right over a dtype's whole range."""

import math

import numpy as np
from numba import njit

from kernels._compute.jit import jit
from kernels._compute.simd import exp2_near_0, fma, root, splat, times_power_of_two, where_above
from kernels._compute.simd_points import load_points, splat_point
from kernels.meanshift_step import KERNELS

ROBUST_GRAIN = 10_000  # pairs of a robust step that are worth waking a thread
GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = range(len(KERNELS))


def constants(kernel, h, real, lifted=True):
    """Return the constants of a weight function for a bandwidth h from 1 to 2.

    With `lifted`, gaussian weights are multiplied by a power of two, so that fewer of them are subnormal.
    """
    if kernel != GAUSSIAN:
        return (real(1 / h if kernel == TRIANGULAR else 1 / (h * h) if kernel == EPANECHNIKOV else h * h), real(0), real(0))
    factor = math.log2(math.e) / (2 * h * h)
    bias, least, rounder = (90, -125, 1.5 * 2**23) if real is np.float32 else (700, -1021, 1.5 * 2**52)
    if not lifted:
        bias = 0
    return real(factor), real(rounder + bias), real((bias - least) / factor)


@njit
def gaussian(q2, c):
    """Return 2^(bias - c[0] q2).

    Adding 1.5 x 2^23 (float32) or 1.5 x 2^52 (float64) rounds a number to a whole one, which is then in its low bits.
    """
    scale, rounder = splat(-c[0]), splat(c[1])
    whole = fma(q2, scale, rounder)
    fraction = fma(q2, scale, rounder - whole)
    return where_above(splat(c[2]), q2, times_power_of_two(exp2_near_0(fraction), whole))


@njit
def weight(kernel, q2, one, c):
    """Return the weights of a vector of squared distances.

    The kernel is a number, so that one compiled function serves all kernels: the processor foresees where each such branch goes.
    """
    if kernel == GAUSSIAN:
        return gaussian(q2, c)
    if kernel == FLAT:
        return one - where_above(q2, splat(c[0]), one)
    w = fma(q2 if kernel == EPANECHNIKOV else root(q2), splat(-c[0]), one)
    return where_above(w, one - one, w)


@njit
def times_masses(w, masses, j):
    """Return a vector of weights times the masses of the data from j on, one for each lane; no masses stand for 1."""
    return w * load_points(masses, (0,), j)[0] if masses.size else w


@njit
def times_mass(w, masses, j):
    """Return a vector of weights times the mass of datum j."""
    return w * splat_point(masses, (0,), j)[0] if masses.size else w


def padded(v, multiple, dtype):
    """Return the masses of data as a row, with zeros past the last up to a multiple; an empty row for None."""
    masses = np.zeros((1, 0 if v is None else -(-len(v) // multiple) * multiple), dtype)
    if v is not None:
        masses[0, : len(v)] = v
    return masses


@jit(fastmath={"reassoc", "contract"})  # loops over coordinates become loops of vectors
def robust_step(x, data, masses, h, kernel, i, origin, y):
    """Move point i by the definition, over the dtype's whole range; a gaussian's weights are relative to the nearest datum's.

    Differences of the data from `origin` are averaged: it is the point itself, or the centre of the data.
    Shapes: x and y (n, d), data (m, d), masses (1, m or more), or (1, 0) where each is 1, origin (d).
    """
    d, m = x.shape[1], len(data)
    one, nearest = x.dtype.type(1), np.finfo(x.dtype).max
    squares = np.empty(m, x.dtype)
    for j in range(m):
        q2 = x.dtype.type(0)
        for k in range(d):
            q = (data[j, k] - x[i, k]) / h
            q2 += q * q
        squares[j] = min(q2, np.finfo(x.dtype).max)  # so that no infinity is subtracted from an infinity
        nearest = min(nearest, squares[j])
    y[i] = 0
    total = x.dtype.type(0)
    for j in range(m):
        q2 = squares[j]
        if kernel == GAUSSIAN:
            w = np.exp((nearest - q2) / x.dtype.type(2))
        elif kernel == TRIANGULAR:
            w = max(one - np.sqrt(q2), x.dtype.type(0))
        elif kernel == EPANECHNIKOV:
            w = max(one - q2, x.dtype.type(0))
        else:
            w = one if q2 <= one else x.dtype.type(0)
        if masses.size:
            w *= masses[0, j]
        if w > 0:
            total += w
            for k in range(d):
                y[i, k] += w * (data[j, k] - origin[k])
    for k in range(d):
        y[i, k] = origin[k] + y[i, k] / total if total > 0 else x[i, k]


@jit
def robust_steps(x, data, masses, h, kernel, origins, y, start, stop):
    """Move points start to stop, each by a robust step; `origins` has a row for each point, or one row for all."""
    for i in range(start, stop):
        robust_step(x, data, masses, h, kernel, i, origins[i % len(origins)], y)


@jit
def move(x, data, masses, h, kernel, z, back, sums, least, y, start, stop):
    """Add up the parts' sums and move the points. Where the weights of a point sum to less than `least`, take a robust step.

    Shapes: z (d, n or more), the points times a power of two, which `back` undoes; sums (parts, d + 1, n or more): weighted
    differences of such points, and last the weights.
    """
    d, last = x.shape[1], sums.shape[1] - 1
    for i in range(start, stop):
        total = sums[0, last, i]
        for part in range(1, len(sums)):
            total += sums[part, last, i]
        if total < least:
            robust_step(x, data, masses, h, kernel, i, x[i], y)
            continue
        for k in range(d):
            moved = sums[0, k, i]
            for part in range(1, len(sums)):
                moved += sums[part, k, i]
            y[i, k] = (z[k, i] + moved / total) * back if total > 0 else x[i, k]
