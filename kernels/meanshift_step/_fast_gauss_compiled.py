"""The loops of a fast Gauss transform, compiled: moments of cells, their translations, and what moves points (`_fast_gauss`)."""

import numpy as np

from kernels._compute.jit import jit
from kernels.meanshift_step._chebyshev import UNIT_ROUNDOFF

TILE = 64  # points that are expanded or evaluated together

compiled = jit(error_model="numpy", fastmath={"contract"})


@compiled
def number(points, axes, low, strides, scale, cutoff, keys, start, stop):
    """Put the key of each point's cell in keys, shape (n,): the sum over the axes of the cell's number times the stride.

    Cells are numbered from a cutoff below the lowest one.
    """
    for i in range(start, stop):
        keys[i] = 0
        for k in range(len(axes)):
            along = np.floor(np.float64(points[i, axes[k]]) * scale) - low[k]
            keys[i] += (np.int64(along) + cutoff) * strides[k]


@compiled
def chebyshev(points, axes, order, first, stop, scale, basis):
    """Fill T_a and T_a' of a tile's coordinates in their cells, by the recurrence T_a(t) = 2 t T_(a-1)(t) - T_(a-2)(t).

    Shape: basis (d, p, 2, TILE): values, and slopes. Entries past the last point repeat that one.
    """
    for k in range(points.shape[1]):
        t = basis[k]
        for i in range(TILE):
            z = points[order[min(first + i, stop - 1)], axes[k]] * scale
            t[0, 0, i], t[1, 0, i] = 1, 2 * (z - np.floor(z)) - 1
            t[0, 1, i], t[1, 1, i] = 0, 1
        for a in range(2, len(t)):
            for i in range(TILE):
                t[a, 0, i] = 2 * t[1, 0, i] * t[a - 1, 0, i] - t[a - 2, 0, i]
            for i in range(TILE):
                t[a, 1, i] = 2 * (t[a - 1, 0, i] + t[1, 0, i] * t[a - 1, 1, i]) - t[a - 2, 1, i]


@compiled
def add_product(a, b, out):
    """Add the matrix product a b to out: of b four rows at a time (past the end the last, times 0), for fewer passes over out."""
    last, pairs = len(b) - 1, len(out) // 2 * 2
    for k in range(0, len(b), 4):
        k1, k2, k3 = min(k + 1, last), min(k + 2, last), min(k + 3, last)
        f1, f2, f3 = np.float64(k1 > k), np.float64(k2 > k1), np.float64(k3 > k2)
        for i in range(0, pairs, 2):  # two rows of out share what is read of b
            a0, a1, a2, a3 = a[i, k], a[i, k1] * f1, a[i, k2] * f2, a[i, k3] * f3
            c0, c1, c2, c3 = a[i + 1, k], a[i + 1, k1] * f1, a[i + 1, k2] * f2, a[i + 1, k3] * f3
            for j in range(out.shape[1]):
                b0, b1, b2, b3 = b[k, j], b[k1, j], b[k2, j], b[k3, j]
                out[i, j] += a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3
                out[i + 1, j] += c0 * b0 + c1 * b1 + c2 * b2 + c3 * b3
        for i in range(pairs, len(out)):
            a0, a1, a2, a3 = a[i, k], a[i, k1] * f1, a[i, k2] * f2, a[i, k3] * f3
            for j in range(out.shape[1]):
                out[i, j] += a0 * b[k, j] + a1 * b[k1, j] + a2 * b[k2, j] + a3 * b[k3, j]


@compiled
def moments(data, v, axes, order, starts, ends, scale, out, start, stop):
    """Compute (2) for each cell whose first datum is from start to stop.

    Shapes: data (m, d), v (m,), or None for weights of 1, order (m,), starts and ends (cells,), of each cell in `order`; out
    (held, [p], [p], p): cell s has the place s modulo `held`, here and below, so an array need not hold all cells at a time.
    """
    d, p = data.shape[1], out.shape[-1]
    basis, tail = np.ones((3, p, 2, TILE)), np.empty((TILE, p if d > 2 else 1, p))
    head = basis[min(1, 3 - d), : p if d > 1 else 1, 0]
    for s in range(np.searchsorted(starts, start), np.searchsorted(starts, stop)):
        values = out[s % len(out)]
        values[:] = 0
        for first in range(starts[s], ends[s], TILE):
            size = min(TILE, ends[s] - first)
            chebyshev(data, axes, order, first, first + size, scale, basis[3 - d :])
            for i in range(size):
                mass = 1.0 if v is None else np.float64(v[order[first + i]])
                for b in range(tail.shape[1]):
                    for c in range(p):
                        tail[i, b, c] = mass * basis[1, b, 0, i] * basis[2, c, 0, i]
            add_product(head, tail[:size].reshape(size, tail[0].size), values.reshape(len(head), tail[0].size))


@compiled
def translate(sources, near, matrices, out, start, stop):
    """Apply (3) along the first dimension of the coefficients, and make it the last; d such sweeps restore the order.

    Shapes: sources (held of cells before, p^d), near (cells after, 2 cutoff + 1), which of these, or -1; matrices
    (2 cutoff + 1, p, p); out (held of cells after, p^d).
    """
    p = matrices.shape[1]
    total = np.empty((p, out[0].size // p))
    for t in range(start, stop):
        total[:] = 0
        for j in range(len(matrices)):
            if near[t, j] >= 0:
                add_product(matrices[j], sources[near[t, j] % len(sources)].reshape(total.shape), total)
        after = out[t % len(out)].reshape(total.T.shape)
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
def move(x, row, axes, field, i, bounds, y):
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
        y[row, axes[k]] = x[row, axes[k]] + field[d - k, i] / value * (2 / ratio * bandwidth)
    return True


@compiled
def move_all(x, axes, order, starts, ends, coefficients, scale, bounds, y, moved, start, stop):
    """Evaluate (4) for a tile of points of one cell at a time, and move them.

    Shapes: x and y (n, d), order and moved (n,), starts and ends (cells,), of each cell in `order`,
    coefficients (held, [p], [p], p).
    """
    heads, middles, p = coefficients.shape[1:]
    basis = np.zeros((3, p, 2, TILE))
    basis[:, 0, 0] = 1
    last = basis[2].reshape(p, 2 * TILE)
    lines, planes, field = np.empty((middles, 2, TILE)), np.empty((heads, 3, TILE)), np.empty((4, TILE))
    for s in range(np.searchsorted(ends, start, side="right"), np.searchsorted(starts, stop)):
        until = min(ends[s], stop)
        for first in range(max(starts[s], start), until, TILE):
            end = min(first + TILE, until)
            chebyshev(x, axes, order, first, end, scale, basis[3 - x.shape[1] :])
            for a in range(heads):
                lines[:] = 0
                add_product(coefficients[s % len(coefficients), a], last, lines.reshape(middles, 2 * TILE))
                combine(lines, basis[1], planes[a])
            combine(planes, basis[0], field)
            for i in range(first, end):
                moved[order[i]] = move(x, order[i], axes, field, i - first, bounds, y)
