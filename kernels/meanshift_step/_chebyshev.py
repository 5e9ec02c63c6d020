"""A gaussian between two cells as Chebyshev polynomials: how many terms it takes, what they leave out, and the matrices for them.

Cells have the edge `ratio` h, for the bandwidth h, and a cell's coordinates run from -1 to 1. In one dimension, and for cells
that are an offset of o edges apart, the gaussian of a target t in one cell and a source s in the other is

    exp(-((ratio (o + (s - t) / 2))^2) / 2) = sum_ab K_ab T_a(t) T_b(s)                                                     (1)

References
----------
Trefethen 2013, Approximation theory and approximation practice. Abramowitz and Stegun 1964, Handbook of mathematical functions.
Fong and Darve 2009, The black-box fast multipole method, use such an interpolation for any kernel.
"""

import functools
import math

import numpy as np

UNIT_ROUNDOFF = 2.0**-24  # of float32
CRAMER = 1.0864350  # K in |H_k(z)| exp(-z^2/2) < K 2^(k/2) sqrt(k!) (Abramowitz and Stegun, 22.14.17)
MAX_TERMS = 64  # coefficients beyond these are below 1e-80
EDGES = (0, 1, 2)  # of cells that are tried: such powers of two times the largest one up to h
MAX_COEFFICIENTS, COEFFICIENTS_PER_POINT = 2**22, 64  # that a sweep may make: some for each call, and more for each of x and data
LOG_FACTORIAL = np.array([math.lgamma(k + 1) for k in range(2 * MAX_TERMS)])


def coefficients_bound(ratio):
    """Bound the coefficients |K_ab| of (1) for any offset, shape (MAX_TERMS, MAX_TERMS).

    |K_ab| <= c_a c_b (ratio / (4 sqrt 2))^(a+b) max|f^(a+b)| / (a! b!), where c_0 = 1 and else c_a = 2, for the derivatives
    f^(k) of f(z) = exp(-z^2) by z = (s - t) / (sqrt 2 h): the coefficients are integrals of derivatives (Trefethen, chapter 7).
    Cramer's inequality gives max|f^(k)| <= K 2^(k/2) sqrt(k!).
    """
    a, b = np.arange(MAX_TERMS)[:, None], np.arange(MAX_TERMS)
    size = (a + b) * math.log(ratio / 4) + LOG_FACTORIAL[a + b] / 2 - LOG_FACTORIAL[a] - LOG_FACTORIAL[b]
    return CRAMER * np.exp(size) * np.where(a > 0, 2, 1) * np.where(b > 0, 2, 1)


def errors(ratio, d, p, cutoff):
    """Bound the errors of one datum's gaussian in d dimensions, and of its derivative by a target's coordinate in its cell.

    Interpolation in p Chebyshev points errs by at most twice the coefficients that it lacks (Trefethen, chapter 4), and its
    derivative by m^2 times as much for the term of degree m, since |T_m'| <= m^2. Data beyond the cutoff, which is a whole
    number of cells, are left out.
    """
    lacks = 2 * coefficients_bound(ratio)
    lacks[:p, :p] = 0
    value, slope = lacks.sum(), (np.arange(MAX_TERMS)[:, None] ** 2 * lacks).sum()
    far = cutoff * ratio  # the least distance of what is left out, in bandwidths
    value = max(value, math.exp(-far * far / 2))
    slope = max(slope, ratio / 2 * far * math.exp(-far * far / 2))
    steepest = ratio / 2 * math.exp(-0.5)
    growth = (1 + value) ** (d - 1)
    return d * value * growth, (slope + (d - 1) * (steepest + slope) * value) * growth


def translations(ratio, p, cutoff):
    """Return the matrices K of (1) for the offsets from -cutoff to cutoff, shape (2 cutoff + 1, p, p)."""
    angles = np.pi * (np.arange(p) + 0.5) / p
    nodes = np.cos(angles)
    transform = np.cos(np.arange(p)[:, None] * angles) * np.where(np.arange(p) > 0, 2, 1)[:, None] / p
    offsets = np.arange(-cutoff, cutoff + 1)[:, None, None] + (nodes - nodes[:, None]) / 2
    return np.einsum("ai,kij,bj->kab", transform, np.exp(-((ratio * offsets) ** 2) / 2), transform)


@functools.lru_cache(maxsize=16)
def expansion(ratio, d, fraction=1.0):
    """Return the fewest terms p and the shortest cutoff in cells that move no point by more than a fraction of h u / 2 per datum.

    That holds where the weights sum to 1 or more, as they do for a point that is one of the data. The matrices K and both
    bounds of `errors` are returned with them.
    """
    p = cutoff = 1
    while errors(ratio, d, MAX_TERMS, cutoff)[1] > ratio / 2 * fraction * UNIT_ROUNDOFF / 8:
        cutoff += 1
    while errors(ratio, d, p, cutoff)[1] > ratio / 2 * fraction * UNIT_ROUNDOFF / 4:
        p += 1
    return p, cutoff, translations(ratio, p, cutoff), *errors(ratio, d, p, cutoff)
