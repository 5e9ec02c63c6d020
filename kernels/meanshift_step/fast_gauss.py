"""meanshift_step of a gaussian, linear in n at any density: a fast Gauss transform with Chebyshev expansions.

A gaussian's shift is the gradient of the logarithm of G(x) = sum_j exp(-|x_j - x|^2 / 2 h^2): the weights' derivatives
are the weighted differences. So one smooth field is wanted, with its gradient, at every point (Greengard and Strain 1991,
The fast Gauss transform):

1. Points are sorted into cells whose edge is a power of two, the largest up to h, so that coordinates within a cell are
   exact wherever it lies. Only occupied cells exist.
2. Each cell's data become its Chebyshev moments, p in each dimension.
3. Moments become the coefficients of G in each cell of targets, from all cells within reach. A gaussian is a product over
   the dimensions, so this takes one sweep along each: p^(d+1) operations for a cell and its neighbour, not p^2d.
4. Each point reads G and its gradient off the polynomial of its cell.

Interpolating between Chebyshev points needs fewer terms than the Hermite and Taylor series of the paper, by 2^p in the
error: p = 11 serves where those take 15. Cells where pairs are cheaper than step 3 are summed directly. Everything is
float64, so that rounding is far below float32's. float64 points are not taken: their moments' rounding, up to thousands of
units for each datum, would fail the certificate wherever the weights sum to less than thousands.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kernels._threads import share_out
from registry import register

UNIT = 2.0**-24
RUN = 4096  # the most points of a cell that are summed in one go
TILE = 64  # points that are evaluated together
PAIR = 50  # multiply-adds of an expansion that take as long as one pair summed here
PAIR_TIME, TERM_TIME, SET_UP_TIME = 0.25, 0.3, 2e6  # nanoseconds of a pair in the fastest kernel, of a term here, of a call here
CRAMER = 1.0864350  # K in |H_k(z)| exp(-z^2/2) < K 2^(k/2) sqrt(k!) (Abramowitz and Stegun, 22.14.17)
TERMS = 64  # coefficients beyond these are below 1e-80
LOG_FACTORIAL = np.array([math.lgamma(k + 1) for k in range(2 * TERMS)])


def coefficients_bound(ratio):
    """Bound the Chebyshev coefficients of exp(-(s - t)^2 / 2 h^2) where s and t run through cells of edge `ratio` h.

    |a_mn| <= c_m c_n (ratio / (4 sqrt 2))^(m+n) max|f^(m+n)| / (m! n!), c_0 = 1, else 2, for derivatives f^(k) of exp(-z^2) by
    z = (s - t) / (sqrt 2 h): the coefficients are integrals of derivatives (Trefethen, Approximation Theory and Approximation
    Practice, chapter 7). Cramer's inequality gives max|f^(k)| <= K 2^(k/2) sqrt(k!).
    """
    m, n = np.arange(TERMS)[:, None], np.arange(TERMS)
    size = (m + n) * math.log(ratio / 4) + LOG_FACTORIAL[m + n] / 2 - LOG_FACTORIAL[m] - LOG_FACTORIAL[n]
    return CRAMER * np.exp(size) * np.where(m > 0, 2, 1) * np.where(n > 0, 2, 1)


def errors(ratio, d, p, reach):
    """Bound what one datum's weight can be wrong by in G, and in G's derivative along a cell's coordinate in [-1, 1].

    Interpolation in p Chebyshev points errs by at most twice the coefficients it lacks (Trefethen, chapter 4), and its
    derivative by m^2 as much, since |T_m'| <= m^2. What is beyond reach is left out whole.
    """
    lacks = 2 * coefficients_bound(ratio)
    lacks[:p, :p] = 0
    value, slope = lacks.sum(), (np.arange(TERMS)[:, None] ** 2 * lacks).sum()
    far = reach * ratio  # its least distance, in bandwidths
    value = max(value, math.exp(-far * far / 2))
    slope = max(slope, ratio / 2 * far * math.exp(-far * far / 2))
    steepest = ratio / 2 * math.exp(-0.5)
    growth = (1 + value) ** (d - 1)
    return d * value * growth, (slope + (d - 1) * (steepest + slope) * value) * growth


compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


class Runs(NamedTuple):
    """Points in the order of their cells, cut into runs of one cell each, with the box that each run fills, in edges."""

    points: Any
    keys: Any
    starts: Any
    boxes: Any


def tables(ratio, p, reach):
    """Return, for each offset of two cells, the matrix that turns Chebyshev moments into Chebyshev coefficients."""
    angles = np.pi * (np.arange(p) + 0.5) / p
    nodes = np.cos(angles)
    transform = np.cos(np.arange(p)[:, None] * angles) * np.where(np.arange(p) > 0, 2, 1)[:, None] / p
    offsets = np.arange(-reach, reach + 1)[:, None, None] + (nodes - nodes[:, None]) / 2
    return np.einsum("ai,kij,bj->kab", transform, np.exp(-((ratio * offsets) ** 2) / 2), transform)


@functools.lru_cache(maxsize=16)
def expansion(ratio, d):
    """Return the fewest terms and the shortest reach that move no point by more than half a unit roundoff for each datum.

    That is where the weights sum to 1, as they do where a point is among the data. With them come the tables and errors.
    """
    p = reach = 1
    while errors(ratio, d, TERMS, reach)[1] > ratio / 2 * UNIT / 8:
        reach += 1
    while errors(ratio, d, p, reach)[1] > ratio / 2 * UNIT / 4:
        p += 1
    return p, reach, tables(ratio, p, reach), *errors(ratio, d, p, reach)


@compiled
def extent(points, scale, low, high):
    """Widen the range of layers of cells in each dimension; return whether all points are finite."""
    finite = True
    for i in range(len(points)):
        for k in range(points.shape[1]):
            layer = np.floor(points[i, k] * scale)
            finite &= abs(layer) < np.inf
            low[k], high[k] = min(low[k], layer), max(high[k], layer)
    return finite


@compiled
def encode(points, scale, low, strides, keys, start, stop):
    for i in range(start, stop):
        key = 0
        for k in range(points.shape[1]):
            key += np.int64(np.floor(points[i, k] * scale) - low[k]) * strides[k]
        keys[i] = key


@compiled
def counting_sort(keys, room):
    starts = np.zeros(room + 1, np.int64)
    for key in keys:
        starts[key + 1] += 1
    for key in range(room):
        starts[key + 1] += starts[key]
    order = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        order[starts[keys[i]]] = i
        starts[keys[i]] += 1
    return order


@compiled
def permute(points, order, backwards, out, start, stop):
    for i in range(start, stop):
        source, target = (i, order[i]) if backwards else (order[i], i)
        for k in range(points.shape[1]):
            out[target, k] = points[source, k]


@compiled
def bounding_boxes(points, starts, scale, boxes, start, stop):
    for s in range(start, stop):
        boxes[s, 0], boxes[s, 1] = np.inf, -np.inf
        for i in range(starts[s], starts[s + 1]):
            for k in range(points.shape[1]):
                z = points[i, k] * scale
                boxes[s, 0, k], boxes[s, 1, k] = min(boxes[s, 0, k], z), max(boxes[s, 1, k], z)


def sort(points, keys, room, scale):
    """Sort points by key, in linear time where the range of keys allows; return their runs, and the order."""
    n = len(points)
    order = counting_sort(keys, room) if room <= 4 * n + 2**16 else np.argsort(keys, kind="stable")
    ordered, keys = np.empty_like(points), keys[order]
    share_out(functools.partial(permute, points, order, False, ordered), n, 2**16)
    new = np.flatnonzero(np.diff(keys, prepend=-1))
    lengths = np.diff(new, append=n)
    starts = np.repeat(new, -(-lengths // RUN))  # a long run is cut into pieces
    starts += RUN * (np.arange(len(starts)) - np.searchsorted(starts, starts))
    boxes = np.empty((len(starts), 2, points.shape[1]))
    runs = Runs(ordered, keys[starts], np.append(starts, n), boxes)
    share_out(functools.partial(bounding_boxes, ordered, runs.starts, scale, boxes), len(starts), 64)
    return runs, order


def strides_of(spans, ones):
    """Return the strides of a key in which dimension `ones` counts in ones, and the one after it the most."""
    strides, stride = np.empty(len(spans), np.int64), 1
    for k in range(ones, ones - len(spans), -1):
        strides[k], stride = stride, stride * spans[k]
    return strides


def number_cells(x, data, scale, reach):
    """Return keys for the cells of x and of data, and how many layers each dimension has; None if integers do not suffice.

    A key counts dimension 0 in ones. No cell is within reach of the range's edge, so that no neighbour is beyond it. Where
    the range is too wide, gaps beyond reach are narrowed.
    """
    d = x.shape[1]
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    if not (extent(x, scale, low, high) and (data is x or extent(data, scale, low, high))):
        return None
    sets = [x] if data is x else [x, data]
    spans = [int(s) + 1 + 2 * reach for s in high - low]
    if math.prod(spans) < 2**62:
        keys = [np.empty(len(points), np.int64) for points in sets]
        for points, out in zip(sets, keys, strict=True):
            share_out(functools.partial(encode, points, scale, low - reach, strides_of(spans, 0), out), len(points), 2**16)
    else:
        columns = []
        for k in range(d):
            layers, found = np.unique(np.floor(np.concatenate(sets)[:, k].astype(float) * scale), return_inverse=True)
            numbers = reach + np.cumsum(np.minimum(np.diff(layers, prepend=layers[0]), reach + 1)).astype(np.int64)
            columns.append(numbers[found])
            spans[k] = int(numbers[-1]) + 1 + reach
        if math.prod(spans) >= 2**62:
            return None
        keys = np.split(sum(c * s for c, s in zip(columns, strides_of(spans, 0), strict=True)), [len(x)])
    return keys[0], keys[0] if data is x else keys[1], spans


@compiled
def lower_bound(keys, key):
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def rows_in_reach(key, keys, strides, reach, rows):
    """Find the rows of runs along dimension 0 within reach of a cell: where each crosses it, its first run and its end."""
    d, count = len(strides), 0
    for b in range(-reach if d > 1 else 0, reach + 1 if d > 1 else 1):
        for c in range(-reach if d > 2 else 0, reach + 1 if d > 2 else 1):
            centre = key + (b * strides[1] if d > 1 else 0) + (c * strides[2] if d > 2 else 0)
            first = last = lower_bound(keys, centre - reach)
            while last < len(keys) and keys[last] <= centre + reach:
                last += 1
            if last > first:
                rows[count] = centre, first, last
                count += 1
    return count


@compiled
def survey(targets, data, strides, reach, reached, found, start, stop):
    """For each run of targets, count the data within reach and the rows that hold them."""
    rows = np.empty(((2 * reach + 1) ** 2, 3), np.int64)
    for t in range(start, stop):
        found[t] = rows_in_reach(targets.keys[t], data.keys, strides, reach, rows)
        reached[t] = 0
        for r in range(found[t]):
            reached[t] += data.starts[rows[r, 2]] - data.starts[rows[r, 1]]


@compiled
def list_rows(keys, data_keys, strides, reach, ends, centres, needed):
    """List where the rows within reach cross each of these cells, and mark the runs that they hold."""
    rows = np.empty(((2 * reach + 1) ** 2, 3), np.int64)
    for t in range(len(keys)):
        count = rows_in_reach(keys[t], data_keys, strides, reach, rows)
        for r in range(count):
            centres[ends[t] - count + r] = rows[r, 0]
            needed[rows[r, 1] : rows[r, 2]] = True


@compiled
def chebyshev(points, first, stop, k, scale, values):
    """Fill T_a of a tile's coordinates in their cells, a row for each a; past the end the last point stands in."""
    for i in range(TILE):
        z = points[min(first + i, stop - 1), k] * scale
        values[0, i] = 1
        values[1, i] = 2 * (z - np.floor(z)) - 1
    for a in range(2, len(values)):
        before, now, x, after = values[a - 2], values[a - 1], values[1], values[a]
        for i in range(TILE):
            after[i] = 2 * x[i] * now[i] - before[i]


@compiled
def derivatives(values, rates):
    """Fill T_a' = 2 T_{a-1} + 2 x T_{a-1}' - T_{a-2}'."""
    rates[0], rates[1] = 0, 1
    for a in range(2, len(values)):
        before, now, x, v, after = rates[a - 2], rates[a - 1], values[1], values[a - 1], rates[a]
        for i in range(TILE):
            after[i] = 2 * (v[i] + x[i] * now[i]) - before[i]


@compiled
def moments(data, chosen, scale, p, out, start, stop):
    """Sum the products of Chebyshev polynomials over the data of each run, four at a time: rank-4 updates of head x tail."""
    d = data.points.shape[1]
    head, tail = np.ones((p if d > 1 else 1, TILE)), np.empty((TILE, p ** max(1, d - 1)))
    basis = np.empty((2, p, TILE))
    for s in range(start, stop):
        total = out[s].reshape(len(head), tail.shape[1])
        total[:] = 0
        end = data.starts[chosen[s] + 1]
        for first in range(data.starts[chosen[s]], end, TILE):
            size = min(TILE, end - first)
            if d > 1:
                chebyshev(data.points, first, end, 0, scale, head)
            chebyshev(data.points, first, end, d - 1, scale, basis[0])
            if d > 2:
                chebyshev(data.points, first, end, 1, scale, basis[1])
            for i in range(TILE):
                if i >= size:
                    tail[i] = 0
                elif d < 3:
                    for b in range(p):
                        tail[i, b] = basis[0, b, i]
                else:
                    for b in range(p):
                        for c in range(p):
                            tail[i, b * p + c] = basis[1, b, i] * basis[0, c, i]
            for a in range(len(head)):
                row = total[a]
                for i in range(0, size, 4):
                    h0, h1, h2, h3 = head[a, i], head[a, i + 1], head[a, i + 2], head[a, i + 3]
                    t0, t1, t2, t3 = tail[i], tail[i + 1], tail[i + 2], tail[i + 3]
                    for j in range(len(row)):
                        row[j] += h0 * t0[j] + h1 * t1[j] + h2 * t2[j] + h3 * t3[j]


@compiled
def sweep(source_keys, sources, keys, tables, out, start, stop):
    """Translate along the dimension that the keys count in ones and the coefficients have first; leave it last."""
    reach, p = len(tables) // 2, tables.shape[1]
    rest = sources.shape[1] // p
    total = np.empty((p, rest))
    for t in range(start, stop):
        total[:] = 0
        s = lower_bound(source_keys, keys[t] - reach)
        while s < len(source_keys) and source_keys[s] <= keys[t] + reach:
            table, source = tables[source_keys[s] - keys[t] + reach], sources[s].reshape(p, rest)
            for a in range(p):
                row = total[a]
                c = 0
                while c + 4 <= p:
                    t0, t1, t2, t3 = table[a, c], table[a, c + 1], table[a, c + 2], table[a, c + 3]
                    s0, s1, s2, s3 = source[c], source[c + 1], source[c + 2], source[c + 3]
                    for j in range(rest):
                        row[j] += t0 * s0[j] + t1 * s1[j] + t2 * s2[j] + t3 * s3[j]
                    c += 4
                while c < p:
                    t0, s0 = table[a, c], source[c]
                    for j in range(rest):
                        row[j] += t0 * s0[j]
                    c += 1
            s += 1
        rotated = out[t].reshape(rest, p)
        for a in range(p):
            for j in range(rest):
                rotated[j, a] = total[a, j]


@compiled
def move(points, at, field, i, certificate, moved):
    """Take one point's step if its certificate allows, and say whether it does.

    What G may be off by, m times `error`, and its slope, m times `steeper`, leave the quotient off by at most
    (m steeper + |slope / G| m error) / (G - m error). That may be m u / 2, the other half being left to rounding.
    Arrays come whole, since a view of one is a counted reference, and counting takes longer than the step.
    """
    count, bandwidth, ratio, error, steeper = certificate
    d, value, steepest = points.shape[1], field[0, i], 0.0
    for k in range(d):
        steepest = max(steepest, abs(field[4 - d + k, i]) / value)
    if not 2 / ratio * (steeper + steepest * error) <= UNIT / 2 * (value - count * error):
        return False
    for k in range(d):
        moved[at, k] = points[at, k] + field[4 - d + k, i] / value * (2 / ratio * bandwidth)
    return True


@compiled
def contract(f, start, p, basis, rows, out):
    """Sum f_c basis_c over a tile, four terms at a time; f and the basis come whole, since views would be counted references."""
    for i in range(TILE):
        out[i] = 0
    c = 0
    while c + 4 <= p:
        f0, f1, f2, f3 = f[start + c], f[start + c + 1], f[start + c + 2], f[start + c + 3]
        r = rows + c
        for i in range(TILE):
            out[i] += f0 * basis[r, i] + f1 * basis[r + 1, i] + f2 * basis[r + 2, i] + f3 * basis[r + 3, i]
        c += 4
    while c < p:
        f0, r = f[start + c], rows + c
        for i in range(TILE):
            out[i] += f0 * basis[r, i]
        c += 1


@compiled
def add_product(a, basis, row, out, to):
    for i in range(TILE):
        out[to, i] += a[i] * basis[row, i]


@compiled
def evaluate(targets, chosen, cells, coefficients, scale, p, certificate, moved, kept, start, stop):
    """Read G and its slopes off the polynomial of each cell, for a tile of points at a time."""
    d = targets.points.shape[1]
    extents = (p if d > 2 else 1, p if d > 1 else 1)
    basis, slopes = np.ones((3 * p, TILE)), np.zeros((3 * p, TILE))
    field, line, rate = np.empty((4, TILE)), np.empty(TILE), np.empty(TILE)
    plane, f = np.empty((3, TILE)), np.empty(p**d)
    for s in range(start, stop):
        f[:] = coefficients[cells[s]]
        end = targets.starts[chosen[s] + 1]
        for first in range(targets.starts[chosen[s]], end, TILE):
            for k in range(d):
                at = (3 - d + k) * p
                chebyshev(targets.points, first, end, k, scale, basis[at : at + p])
                derivatives(basis[at : at + p], slopes[at : at + p])
            field[:] = 0
            for a in range(extents[0]):
                plane[:] = 0
                for b in range(extents[1]):
                    at = (a * extents[1] + b) * p
                    contract(f, at, p, basis, 2 * p, line)
                    contract(f, at, p, slopes, 2 * p, rate)
                    add_product(line, basis, p + b, plane, 0)
                    add_product(line, slopes, p + b, plane, 1)
                    add_product(rate, basis, p + b, plane, 2)
                add_product(plane[0], basis, a, field, 0)
                add_product(plane[0], slopes, a, field, 1)
                add_product(plane[1], basis, a, field, 2)
                add_product(plane[2], basis, a, field, 3)
            for i in range(min(TILE, end - first)):
                kept[first + i] = move(targets.points, first + i, field, i, certificate, moved)


@compiled
def sum_pairs(targets, chosen, data, strides, reach, scale, certificate, moved, kept, start, stop):
    """Sum over the data within reach of each point's cell, pair by pair."""
    points, d, ratio = targets.points, targets.points.shape[1], certificate[2]
    rows = np.empty(((2 * reach + 1) ** 2, 3), np.int64)
    field, step = np.empty((4, 1)), np.empty(d)
    for s in range(start, stop):
        count = rows_in_reach(targets.keys[chosen[s]], data.keys, strides, reach, rows)
        for i in range(targets.starts[chosen[s]], targets.starts[chosen[s] + 1]):
            field[:] = 0
            for r in range(count):
                for j in range(data.starts[rows[r, 1]], data.starts[rows[r, 2]]):
                    q2 = 0.0
                    for k in range(d):
                        step[k] = ratio * (data.points[j, k] * scale - points[i, k] * scale)
                        q2 += step[k] * step[k]
                    w = math.exp(-q2 / 2)
                    field[0, 0] += w
                    for k in range(d):
                        field[4 - d + k, 0] += w * step[k] * ratio / 2  # as along a cell's coordinate
            kept[i] = move(points, i, field, 0, certificate, moved)


@compiled
def go_to_nearest(x, chosen, data, scale, ratio, y, start, stop):
    """Sum relative to the weight of the nearest datum, as softmax does, over the boxes that may hold a normal weight."""
    d, boxes = x.shape[1], data.boxes
    cut = 2 * 126 * math.log(2.0) / ratio**2  # float32's normal numbers end at 2^-126
    lower, shift = np.empty(len(boxes)), np.empty(d)
    for s in range(start, stop):
        i, least = chosen[s], np.inf
        for b in range(len(boxes)):
            nearest = farthest = 0.0
            for k in range(d):
                below, above = boxes[b, 0, k] - x[i, k] * scale, boxes[b, 1, k] - x[i, k] * scale
                nearest += max(below, -above, 0.0) ** 2
                farthest += max(-below, above) ** 2
            lower[b] = nearest * (1 - 2.0**-40)  # as far as rounding may have raised it
            least = min(least, farthest)
        for b in range(len(boxes)):
            if lower[b] <= least:
                for j in range(data.starts[b], data.starts[b + 1]):
                    least = min(least, squared_distance(x, i, data.points, j, scale))
        total = 0.0
        shift[:] = 0
        for b in range(len(boxes)):
            if lower[b] <= least + cut:
                for j in range(data.starts[b], data.starts[b + 1]):
                    w = math.exp((least - squared_distance(x, i, data.points, j, scale)) * (ratio * ratio / 2))
                    total += w
                    for k in range(d):
                        shift[k] += w * (np.float64(data.points[j, k]) - x[i, k])
        for k in range(d):
            y[i, k] = x[i, k] + shift[k] / total


@compiled
def squared_distance(x, i, data, j, scale):
    r2 = 0.0
    for k in range(x.shape[1]):
        r2 += (data[j, k] * scale - x[i, k] * scale) ** 2
    return r2


def fields(targets, chosen, found, data, spans, reach, tables, scale):
    """Return the coefficients of G in the cells of the runs chosen, and which cell is each run's."""
    d, p = len(spans), tables.shape[1]
    strides = [strides_of(spans, k % d) for k in range(d + 1)]

    def recode(keys, old, new):
        return sum(keys // old[k] % spans[k] * new[k] for k in range(d))

    cells, first, which = np.unique(targets.keys[chosen], return_index=True, return_inverse=True)
    rows = found[chosen][first]
    centres, needed = np.empty(rows.sum(), np.int64), np.zeros(len(data.keys), bool)
    list_rows(cells, data.keys, strides[0], reach, np.cumsum(rows), centres, needed)
    # After k sweeps a cell has the targets' coordinates in the first k dimensions, and the data's in the others.
    stages = [centres] if d > 1 else []
    if d > 2:
        step = strides[0][1]
        stages.append(centres + (np.repeat(cells, rows) // step % spans[1] - centres // step % spans[1]) * step)
    stages = [np.unique(recode(stage, strides[0], strides[k + 1])) for k, stage in enumerate(stages)]
    runs = np.flatnonzero(needed)
    keys, values = data.keys[runs], np.empty((len(runs), p**d))
    share_out(functools.partial(moments, data, runs, scale, p, values), len(runs))
    for k, stage in enumerate([*stages, cells]):
        out = np.empty((len(stage), p**d))
        share_out(functools.partial(sweep, keys, values, recode(stage, strides[k + 1], strides[k]), tables, out), len(stage))
        keys, values = stage, out
    return values, which


def unsuited(x, bandwidth, data, kernel):
    """Say why summing pairs is likely to take less time for this call, or None. Looks at a sample of the points.

    Nanoseconds of one core are those of an AMD EPYC at 2.5 GHz; only their ratios matter.
    """
    (n, d), m = x.shape, len(data)
    if n * m * PAIR_TIME < SET_UP_TIME:
        return f"{n} x {m} pairs take less time than its set-up"
    scale = 2.0 ** (1 - math.frexp(bandwidth)[1])
    p, reach, *_ = expansion(1 / scale / bandwidth, d)
    near, some = x[:: -(-n // 128)].astype(float) * scale, data[:: -(-m // 1024)].astype(float) * scale
    apart = sum((near[:, None, k] - some[:, k]) ** 2 for k in range(d))
    pairs = 1 + m * (apart <= reach**2).mean()
    _, counts = np.unique(np.floor(some), axis=0, return_counts=True)
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    cells = min(m, len(counts) + once * (once - 1) / (2 * (twice + 1)))  # Chao 1984, estimating the number of classes
    expanded = n * (60 + p**d * TERM_TIME) + cells * d * reach * p ** (d + 1) * TERM_TIME
    if n * pairs * PAIR_TIME < expanded:
        return f"cells a bandwidth wide hold too few of the data (about {m / cells:.3g}): pairs within reach take less time"
    return None


@register(
    "meanshift_step",
    "fast_gauss",
    requires=("numba",),
    dtypes=("float32",),
    precision="truncated",
    layout="C",
    rank=58,
    limits={"kernel": ("gaussian",), "dimensions": 3},
)
def meanshift_step(x, bandwidth, data, kernel):
    n, d = x.shape
    if not x.size:
        return x.copy()
    scale = 2.0 ** (1 - math.frexp(bandwidth)[1])  # one over a cell's edge
    ratio = 1 / scale / bandwidth
    p, reach, tables, error, steeper = expansion(ratio, d)
    numbered = number_cells(x, data, scale, reach)
    y = np.empty_like(x)
    if numbered is None:
        sources, _ = sort(data, np.zeros(len(data), np.int64), 1, scale)
        left = np.arange(n)
    else:
        x_keys, data_keys, spans = numbered
        strides = strides_of(spans, 0)
        sources, order = sort(data, data_keys, math.prod(spans), scale)
        targets, order = (sources, order) if data is x else sort(x, x_keys, math.prod(spans), scale)
        extent = len(targets.keys)
        reached, found = np.empty(extent, np.int64), np.empty(extent, np.int64)
        share_out(functools.partial(survey, targets, sources, strides, reach, reached, found), extent, 64)
        moved, kept = np.empty_like(x), np.zeros(n, np.bool_)
        certificate = (len(data), bandwidth, ratio, error, steeper)
        crowded = np.diff(targets.starts) * reached * PAIR > d * (2 * reach + 1) * p ** (d + 1)
        chosen, others = np.flatnonzero(crowded), np.flatnonzero(~crowded)
        if len(chosen):
            values, cells = fields(targets, chosen, found, sources, spans, reach, tables, scale)
            reading = functools.partial(evaluate, targets, chosen, cells, values, scale, p, certificate, moved, kept)
            share_out(reading, len(chosen))
        summing = functools.partial(sum_pairs, targets, others, sources, strides, reach, scale, certificate, moved, kept)
        share_out(summing, len(others), 16)
        share_out(functools.partial(permute, moved, order, True, y), n, 2**16)
        left = order[~kept]
    share_out(functools.partial(go_to_nearest, x, left, sources, scale, ratio, y), len(left), 16)
    return y
