"""The stages of a fast Gauss transform: cells, moments, local expansions, and the points that these move.

With the density G(x) = sum_j exp(-|y_j - x|^2 / 2 h^2) of the data y_j, the step is

    x + h^2 grad G(x) / G(x)                                                                                               (1)

since the derivatives of the weights are the weighted differences. G and its gradient are computed by the steps of Greengard and
Strain's transform, where their delta is 2 h^2:

    1. Assign targets and sources to cells, and keep only cells that are not empty (`sort`). The edge of a cell is the largest
       power of two up to h: so coordinates within a cell are exact, wherever it lies.
    2. Expand the sources of each cell (`expand`): M_b = sum_j v_j T_b1(y_j1) ... T_bd(y_jd), where all b_k < p.              (2)
       Their expansion is a Hermite series.
    3. For each cell of targets, add up the expansions of the cells within the cutoff, as one local expansion
       L_a = sum_cells sum_b K_a1b1 ... K_adbd M_b (`translated`). K is (1) of `_chebyshev`.                                  (3)
       Their local expansion is a Taylor series. A gaussian is a product over the dimensions, so one sweep along each
       dimension suffices: it takes p^(d+1) operations for a cell and its neighbour, and not p^(2d).
    4. Evaluate G(x) = sum_a L_a T_a1(x_1) ... T_ad(x_d) and its gradient at each target (`moved`).                           (4)

Moments are sums over the data: those of parts of the data, added cell by cell, are the moments of the whole.

A point takes step (1) if the bounds of the expansions' errors allow it (`move`). Where all points lie within one bandwidth, the
class of error "truncated" allows less, in proportion to their width, and the expansions have more terms.

References
----------
Greengard and Strain 1991, The fast Gauss transform. Raykar 2006, The fast Gauss transform with all the proofs, sections 6.2 to
6.4 for steps 2 to 4.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.threads import parallel_for
from kernels.meanshift_step._chebyshev import UNIT_ROUNDOFF, expansion

TILE = 64  # points that are expanded or evaluated together
GRAIN = 1024  # points that are worth waking a thread
MAX_COEFFICIENTS, COEFFICIENTS_PER_POINT = 2**22, 64  # that a sweep may make: some for each call, and more for each of x and data
MAX_WIDTHS = (
    2.0**13
)  # of all points: for a wider bandwidth all weights are at least 1 - 3 2^-27, and no point moves u widths more


class Lattice(NamedTuple):
    """Cells of space, and the expansions in them: what all stages have in common."""

    low: Any  # the number of the lowest cell that holds a point, along each dimension, shape (d,)
    strides: Any  # of a cell's key, shape (d,)
    scale: float  # the reciprocal of a cell's edge
    p: int  # terms along each dimension
    cutoff: int  # in cells
    matrices: Any  # K of (3), shape (2 cutoff + 1, p, p)
    bounds: tuple[float, ...]  # what `move` takes

    @property
    def terms(self):
        """The shape of a cell's coefficients: three dimensions, of which those without points have an extent of 1."""
        d = len(self.low)
        return self.p if d > 2 else 1, self.p if d > 1 else 1, self.p


class Sorted(NamedTuple):
    """Points by their cells."""

    keys: Any  # of the cells that hold points, ascending, shape (cells,)
    order: Any  # the points' numbers, shape (n,)
    starts: Any  # where in the order each cell begins, and the end, shape (cells + 1,)


def lattice(low, high, bandwidth, mass):
    """Return the lattice of all points, targets and data, or None where it has too many cells for keys.

    Parameters
    ----------
    low, high : array of float64, shape (d,)
        The least and the largest coordinates, which are not the same in all dimensions.
    bandwidth : float
    mass : float
        The sum of the data's weights, relative to the largest.
    """
    width = (high - low).max()
    h = float(min(bandwidth, MAX_WIDTHS * width))
    fraction = min(1.0, 2.0 ** (math.frexp(width / h)[1] - 1))
    scale = 2.0 ** (1 - math.frexp(h)[1])
    ratio = 1 / scale / h
    p, cutoff, matrices, *errors = expansion(ratio, len(low), fraction)
    first = np.floor(low * scale)
    spans = np.floor(high * scale) - first + (1 + 2 * cutoff)  # the edge is beyond every cell's cutoff: all neighbours have keys
    if not spans.prod() < 2.0**53:  # beyond that float64 does not hold all whole numbers
        return None
    strides = np.cumprod(np.append(1, spans[:-1])).astype(np.int64)
    return Lattice(first, strides, scale, p, cutoff, matrices, (mass, h, fraction, ratio, *errors))


compiled = jit(error_model="numpy", fastmath={"contract"})


@compiled
def chebyshev(points, order, first, stop, scale, basis):
    """Fill T_a and T_a' of a tile's coordinates in their cells, by the recurrence T_a(t) = 2 t T_(a-1)(t) - T_(a-2)(t).

    Shape: basis (d, p, 2, TILE): values, and slopes. Entries past the last point repeat that one.
    """
    for k in range(points.shape[1]):
        t = basis[k]
        for i in range(TILE):
            z = points[order[min(first + i, stop - 1)], k] * scale
            t[0, 0, i], t[1, 0, i] = 1, 2 * (z - np.floor(z)) - 1
            t[0, 1, i], t[1, 1, i] = 0, 1
        for a in range(2, len(t)):
            for i in range(TILE):
                t[a, 0, i] = 2 * t[1, 0, i] * t[a - 1, 0, i] - t[a - 2, 0, i]
            for i in range(TILE):
                t[a, 1, i] = 2 * (t[a - 1, 0, i] + t[1, 0, i] * t[a - 1, 1, i]) - t[a - 2, 1, i]


@compiled
def add_product(a, b, out):
    """Add the matrix product a b to out: four rows of b at a time (past the end the last, times 0), for fewer passes over out."""
    for i in range(len(out)):
        for k in range(0, len(b), 4):
            k1, k2, k3 = min(k + 1, len(b) - 1), min(k + 2, len(b) - 1), min(k + 3, len(b) - 1)
            a0, a1, a2, a3 = a[i, k], a[i, k1] * (k1 > k), a[i, k2] * (k2 > k1), a[i, k3] * (k3 > k2)
            for j in range(out.shape[1]):
                out[i, j] += a0 * b[k, j] + a1 * b[k1, j] + a2 * b[k2, j] + a3 * b[k3, j]


@compiled
def moments(data, v, order, starts, scale, out, start, stop):
    """Compute (2) for each cell whose first datum is from start to stop.

    Shapes: data (m, d), v (m,), or None for weights of 1, order (m,), starts (cells + 1,), where in `order` each cell begins; out
    (cells, [p], [p], p).
    """
    d, p = data.shape[1], out.shape[-1]
    basis, tail = np.ones((3, p, 2, TILE)), np.empty((TILE, p if d > 2 else 1, p))
    head = basis[min(1, 3 - d), : p if d > 1 else 1, 0]
    for s in range(np.searchsorted(starts, start), np.searchsorted(starts, stop)):
        out[s] = 0
        for first in range(starts[s], starts[s + 1], TILE):
            size = min(TILE, starts[s + 1] - first)
            chebyshev(data, order, first, first + size, scale, basis[3 - d :])
            for i in range(size):
                mass = 1.0 if v is None else np.float64(v[order[first + i]])
                for b in range(tail.shape[1]):
                    for c in range(p):
                        tail[i, b, c] = mass * basis[1, b, 0, i] * basis[2, c, 0, i]
            add_product(head, tail[:size].reshape(size, tail[0].size), out[s].reshape(len(head), tail[0].size))


@compiled
def translate(sources, near, matrices, out, start, stop):
    """Apply (3) along the first dimension of the coefficients, and make it the last; d such sweeps restore the order.

    Shapes: sources (cells before, p^d), near (cells after, 2 cutoff + 1), which of these, or -1; matrices (2 cutoff + 1, p, p);
    out (cells after, p^d).
    """
    p = matrices.shape[1]
    total = np.empty((p, out[0].size // p))
    for t in range(start, stop):
        total[:] = 0
        for j in range(len(matrices)):
            if near[t, j] >= 0:
                add_product(matrices[j], sources[near[t, j]].reshape(total.shape), total)
        after = out[t].reshape(total.T.shape)
        for b in range(len(after)):
            for a in range(p):
                after[b, a] = total[a, b]


@compiled
def combine(terms, basis, out):
    """Evaluate (4) along one dimension: sum each of the terms times its polynomials, and the first term also times their slopes.

    Shapes: terms (p, c, TILE), basis (p, 2, TILE), out (c + 1, TILE).
    """
    out[:], last = 0, terms.shape[1]
    for a in range(len(terms)):
        for c in range(last + 1):
            for i in range(TILE):
                out[c, i] += terms[a, c % last, i] * basis[a, c // last, i]


@compiled
def move(x, row, field, i, bounds, y):
    """Move one point by (1) if the bounds of `errors` allow it, and return whether they do.

    G is off by at most m E, and its slope S by at most m D, for the bounds E and D of `errors` and data whose weights, relative
    to the largest, sum to m. So S / G is off by at most (m D + |S / G| m E) / (G - m E). That may be half of what the class
    "truncated" allows, which is m u times the bandwidth or the points' width, whichever is less. Rounding may take the other
    half.

    Shape: field (d + 1, TILE): G, and its slopes by the coordinates in the cell, the last coordinate's first.
    """
    mass, bandwidth, fraction, ratio, value_error, slope_error = bounds
    d, value, steepest = x.shape[1], field[0, i], 0.0
    for k in range(d):
        steepest = max(steepest, abs(field[d - k, i]) / value)
    if not 2 / ratio * (slope_error + steepest * value_error) <= fraction * UNIT_ROUNDOFF / 2 * (value - mass * value_error):
        return False
    for k in range(d):
        y[row, k] = x[row, k] + field[d - k, i] / value * (2 / ratio * bandwidth)
    return True


@compiled
def evaluate(x, order, starts, coefficients, scale, bounds, y, moved, start, stop):
    """Evaluate (4) for a tile of points of one cell at a time, and move them.

    Shapes: x and y (n, d), order and moved (n,), starts (cells + 1,), coefficients (cells, [p], [p], p).
    """
    heads, middles, p = coefficients.shape[1:]
    basis = np.zeros((3, p, 2, TILE))
    basis[:, 0, 0] = 1
    ends = basis[2].reshape(p, 2 * TILE)
    lines, planes, field = np.empty((middles, 2, TILE)), np.empty((heads, 3, TILE)), np.empty((4, TILE))
    s, first = np.searchsorted(starts, start, side="right") - 1, start
    while first < stop:
        end = min(first + TILE, starts[s + 1], stop)
        chebyshev(x, order, first, end, scale, basis[3 - x.shape[1] :])
        for a in range(heads):
            lines[:] = 0
            add_product(coefficients[s, a], ends, lines.reshape(middles, 2 * TILE))
            combine(lines, basis[1], planes[a])
        combine(planes, basis[0], field)
        for i in range(first, end):
            moved[order[i]] = move(x, order[i], field, i - first, bounds, y)
        first = end
        s += first == starts[s + 1]


def most_cells(count, cells):
    """Return how many cells are worth their coefficients, for so many targets and sources together."""
    return (MAX_COEFFICIENTS + COEFFICIENTS_PER_POINT * count) // cells.p ** len(cells.low)


def most_bytes(count, low, high, bandwidth, mass):
    """Return how many bytes all steps may take at a time, for so many targets and sources together; otherwise as `lattice`.

    A point has its coordinates twice, a key, an order and what sorts them. A translation has coefficients before and after it,
    and those that it adds.
    """
    cells = lattice(low, high, bandwidth, mass)
    if cells is None:
        return 0
    number = np.prod(np.floor(high * cells.scale) - cells.low + 1)
    return 8 * (count * (2 * len(low) + 6) + 3 * number * np.prod(cells.terms))


def sort(columns, cells):
    """Take step 1 for points of float64, shape (d, n)."""
    along = zip(columns, cells.low, cells.strides, strict=True)
    keys = sum((np.floor(z * cells.scale) - first + cells.cutoff) * stride for z, first, stride in along)
    order = np.argsort(keys)
    keys = keys[order].astype(np.int64)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return Sorted(keys[starts], order, np.append(starts, len(keys)))


def neighbours(sources, targets, strides, cutoff):
    """Return for each sweep, and each cell after it, which cells before it are within the cutoff, from one side to the other.

    After k sweeps, a cell has the coordinates of a cell of targets in the first k dimensions, and of a cell of sources in
    the others. An array of shape (cells after, 2 cutoff + 1) for each sweep, with -1 where no such cell exists.
    """

    def around(cells, stride):
        return cells[:, None] + np.arange(-cutoff, cutoff + 1) * stride

    wanted = [targets]
    for stride in strides[:0:-1]:
        wanted.append(np.unique(around(wanted[-1], stride)))
    near, before = [], sources
    for stride in strides:
        after = wanted.pop()
        if wanted:
            after = np.intersect1d(np.unique(around(before, stride)), after, assume_unique=True)
        cells = around(after, stride)
        ended = np.append(before, 2**62)
        at = np.searchsorted(ended, cells)
        near.append(np.where(ended[at] == cells, at, -1))
        before = after
    return near


def expand(data, v, by_cells, cells):
    """Take step 2: return the moments of each cell, shape (cells, [p], [p], p)."""
    values = np.empty((len(by_cells.keys), *cells.terms))
    parallel_for(functools.partial(moments, data, v, *by_cells[1:], cells.scale, values), len(data), GRAIN)
    return values


def translated(values, sweeps, cells):
    """Take step 3 from moments, by the sweeps of `neighbours`: return the local expansions of the cells of targets."""
    for near in sweeps:
        before, values = values, np.empty((len(near), *cells.terms))
        parallel_for(functools.partial(translate, before, near, cells.matrices, values), len(near))
    return values


def moved(x, by_cells, coefficients, cells):
    """Take step 4: return x moved by (1), and for which points that is proven. Others are undefined."""
    y, served = np.empty_like(x), np.empty(len(x), np.bool_)
    work = functools.partial(evaluate, x, *by_cells[1:], coefficients, cells.scale, cells.bounds, y, served)
    parallel_for(work, len(x), GRAIN)
    return y, served
