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
float64, so that rounding is far below float32's. float64 points are not taken: the rounding of the moments alone, times
the gaussian's decay, would be beyond what a few data far off may be wrong by.
"""

import functools
import math

import numpy as np
from numba import njit

from kernels._threads import share_out
from registry import register

UNIT = 2.0**-24
BUNDLE = 4096  # the most points of a cell that are summed in one go
TILE = 32  # points that are evaluated together
PAIR = 50  # multiply-adds of an expansion that take as long as one pair summed directly
CRAMER = 1.0864350  # |H_n(t)| exp(-t^2/2) < CRAMER 2^(n/2) sqrt(n!) (Abramowitz and Stegun, 22.14.17)


def errors(ratio, d, p, reach):
    """Bound what one datum's weight can be wrong by in G, and in G's derivative along a cell's coordinate in [-1, 1].

    On a pair of cells of edge `ratio` h the factor exp(-(s - t)^2 / 2 h^2) of one dimension has the Chebyshev coefficients
    |a_mn| <= c_m c_n (ratio/8)^(m+n) max|derivative m+n| / (m! n!), with c_0 = 1 and else 2 (Trefethen, Approximation
    Theory and Approximation Practice, chapter 7); with Cramer's bound, c_m c_n K (ratio/4)^(m+n) sqrt((m+n)!) / (m! n!).
    Interpolation errs by twice the coefficients it lacks (there, chapter 4), in the derivative by m^2 as much.
    """
    value = slope = 0.0
    for m in range(p + 40):
        for n in range(0 if m >= p else p, p + 40):
            size = (m + n) * math.log(ratio / 4) + math.lgamma(m + n + 1) / 2 - math.lgamma(m + 1) - math.lgamma(n + 1)
            term = 2 * CRAMER * (1 + (m > 0)) * (1 + (n > 0)) * math.exp(size)
            value += term
            slope += m * m * term
    far = reach * ratio  # the least distance of what is left out, in bandwidths
    value = max(value, math.exp(-far * far / 2))
    slope = max(slope, ratio / 2 * far * math.exp(-far * far / 2))
    steepest = ratio / 2 * math.exp(-0.5)
    growth = (1 + value) ** (d - 1)
    return d * value * growth, (slope + (d - 1) * (steepest + slope) * value) * growth


@functools.lru_cache(maxsize=16)
def expansion(ratio, d):
    """Return the fewest terms and the shortest reach that move no point by more than half a unit roundoff for each datum.

    That is where the weights sum to 1, as they do where a point is among the data. With them come the tables that turn
    moments into coefficients for each offset of two cells, and the two errors.
    """
    p = reach = 1
    while errors(ratio, d, 40, reach)[1] > ratio / 2 * UNIT / 8:
        reach += 1
    while errors(ratio, d, p, reach)[1] > ratio / 2 * UNIT / 4:
        p += 1
    angles = np.pi * (np.arange(p) + 0.5) / p
    nodes = np.cos(angles)
    transform = np.cos(np.arange(p)[:, None] * angles) * np.where(np.arange(p) > 0, 2, 1)[:, None] / p
    offsets = np.arange(-reach, reach + 1)[:, None, None] + (nodes - nodes[:, None]) / 2
    tables = np.einsum("ai,kij,bj->kab", transform, np.exp(-((ratio * offsets) ** 2) / 2), transform)
    return p, reach, tables, *errors(ratio, d, p, reach)


@njit(cache=True, nogil=True)
def extent(points, scale, low, high):
    """Widen the range of layers of cells in each dimension; return whether all points are finite."""
    finite = True
    for i in range(len(points)):
        for k in range(points.shape[1]):
            layer = np.floor(points[i, k] * scale)
            finite &= abs(layer) < np.inf
            low[k], high[k] = min(low[k], layer), max(high[k], layer)
    return finite


@njit(cache=True, nogil=True)
def encode(points, scale, low, strides, keys, start, stop):
    for i in range(start, stop):
        key = 0
        for k in range(points.shape[1]):
            key += np.int64(np.floor(points[i, k] * scale) - low[k]) * strides[k]
        keys[i] = key


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def take(points, keys, order, sorted_points, sorted_keys, start, stop):
    for i in range(start, stop):
        sorted_keys[i] = keys[order[i]]
        for k in range(points.shape[1]):
            sorted_points[i, k] = points[order[i], k]


@njit(cache=True, nogil=True)
def bundle(points, keys, scale, most):
    """Cut sorted points into runs within a cell, at most `most` long; return their starts, and the boxes they fill, in edges."""
    n, d = points.shape
    count = first = 0
    for i in range(n):
        if i == 0 or keys[i] != keys[i - 1] or i - first == most:
            first, count = i, count + 1
    starts = np.full(count + 1, n)
    boxes = np.empty((count, 2, d))
    count = 0
    for i in range(n):
        if i == 0 or keys[i] != keys[i - 1] or i - starts[count - 1] == most:
            starts[count] = i
            boxes[count, 0], boxes[count, 1] = np.inf, -np.inf
            count += 1
        for k in range(d):
            z, box = points[i, k] * scale, boxes[count - 1]
            box[0, k], box[1, k] = min(box[0, k], z), max(box[1, k], z)
    return starts, boxes


@njit(cache=True, nogil=True)
def lower_bound(keys, key):
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def rows_in_reach(key, keys, strides, reach, rows):
    """Find the runs of bundles along dimension 0 within reach of a cell; return how many there are."""
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


@njit(cache=True, nogil=True)
def survey(keys, counts, data_keys, data_starts, strides, reach, reached, found, start, stop):
    """For each cell of targets, count the data within reach and the rows that hold them."""
    rows = np.empty(((2 * reach + 1) ** 2, 3), np.int64)
    for t in range(start, stop):
        found[t] = rows_in_reach(keys[t], data_keys, strides, reach, rows)
        reached[t] = 0
        for r in range(found[t]):
            reached[t] += data_starts[rows[r, 2]] - data_starts[rows[r, 1]]


@njit(cache=True, nogil=True)
def list_rows(keys, data_keys, strides, reach, firsts, centres, needed):
    """List the rows within reach of each cell of targets, and mark the data that they hold."""
    rows = np.empty(((2 * reach + 1) ** 2, 3), np.int64)
    for t in range(len(keys)):
        for r in range(rows_in_reach(keys[t], data_keys, strides, reach, rows)):
            centres[firsts[t] + r] = rows[r, 0]
            needed[rows[r, 1] : rows[r, 2]] = True


@njit(cache=True, nogil=True)
def chebyshev(x, values):
    values[0] = 1
    if len(values) > 1:
        values[1] = x
    for a in range(2, len(values)):
        values[a] = 2 * x * values[a - 1] - values[a - 2]


@njit(cache=True, nogil=True)
def moments(points, starts, chosen, scale, p, out, start, stop):
    """Sum the products of Chebyshev polynomials over the data of each bundle, four at a time: rank-4 updates of head x tail."""
    d = points.shape[1]
    head, tail = np.ones((4, p if d > 1 else 1)), np.ones((4, p ** max(1, d - 1)))
    last = np.empty((2, p))
    for s in range(start, stop):
        first, end = starts[chosen[s]], starts[chosen[s] + 1]
        total = out[s].reshape(head.shape[1], tail.shape[1])
        total[:] = 0
        for i in range(first, end, 4):
            for q in range(4):
                if i + q >= end:
                    head[q] = 0
                    continue
                for k in range(max(0, d - 2), d):
                    z = points[i + q, k] * scale
                    chebyshev(2 * (z - np.floor(z)) - 1, last[k - max(0, d - 2)])
                if d == 1:
                    head[q] = 1
                    tail[q] = last[0]
                elif d == 2:
                    head[q], tail[q] = last[0], last[1]
                else:
                    z = points[i + q, 0] * scale
                    chebyshev(2 * (z - np.floor(z)) - 1, head[q])
                    for b in range(p):
                        for c in range(p):
                            tail[q, b * p + c] = last[0, b] * last[1, c]
            for a in range(head.shape[1]):
                h0, h1, h2, h3 = head[0, a], head[1, a], head[2, a], head[3, a]
                row = total[a]
                for j in range(tail.shape[1]):
                    row[j] += h0 * tail[0, j] + h1 * tail[1, j] + (h2 * tail[2, j] + h3 * tail[3, j])


@njit(cache=True, nogil=True)
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
                        row[j] += t0 * s0[j] + t1 * s1[j] + (t2 * s2[j] + t3 * s3[j])
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


@njit(cache=True, nogil=True)
def move(x, value, slope, count, bandwidth, ratio, error, steeper, y):
    """Take one point's step if its certificate allows, and say whether it does.

    What G may be off by, m times `error`, and its slope, m times `steeper`, leave the quotient off by at most
    (m steeper + |slope / G| m error) / (G - m error). That may be m u / 2, the other half being left to rounding.
    """
    steepest = 0.0
    for k in range(len(x)):
        steepest = max(steepest, abs(slope[k]) / value)
    if not 2 / ratio * (steeper + steepest * error) <= UNIT / 2 * (value - count * error):
        return False
    for k in range(len(x)):
        y[k] = x[k] + slope[k] / value * (2 / ratio * bandwidth)
    return True


@njit(cache=True, nogil=True)
def evaluate(points, starts, chosen, cells, coefficients, order, scale, p, certificate, y, kept, start, stop):
    """Read G and its slopes off the polynomial of each cell, for a tile of points at a time."""
    d = points.shape[1]
    extents = (p if d > 2 else 1, p if d > 1 else 1, p)
    basis, slopes = np.zeros((3, p, TILE)), np.zeros((3, p, TILE))
    basis[:, 0] = 1
    field, inner = np.empty((4, TILE)), np.empty((5, TILE))
    for s in range(start, stop):
        f = coefficients[cells[s]].reshape(extents)
        for first in range(starts[chosen[s]], starts[chosen[s] + 1], TILE):
            size = min(TILE, starts[chosen[s] + 1] - first)
            for k in range(d):
                values, rates = basis[k + 3 - d], slopes[k + 3 - d]
                for i in range(TILE):
                    z = points[first + min(i, size - 1), k] * scale
                    values[1, i] = 2 * (z - np.floor(z)) - 1
                    rates[1, i] = 1
                for a in range(2, p):
                    for i in range(TILE):
                        values[a, i] = 2 * values[1, i] * values[a - 1, i] - values[a - 2, i]
                        rates[a, i] = 2 * (values[a - 1, i] + values[1, i] * rates[a - 1, i]) - rates[a - 2, i]
            field[:] = 0
            for a in range(extents[0]):
                inner[:3] = 0
                for b in range(extents[1]):
                    inner[3:] = 0
                    g, rate = inner[3], inner[4]
                    c = 0
                    while c + 4 <= p:
                        f0, f1, f2, f3 = f[a, b, c], f[a, b, c + 1], f[a, b, c + 2], f[a, b, c + 3]
                        v, w = basis[2, c : c + 4], slopes[2, c : c + 4]
                        for i in range(TILE):
                            g[i] += f0 * v[0, i] + f1 * v[1, i] + (f2 * v[2, i] + f3 * v[3, i])
                            rate[i] += f0 * w[0, i] + f1 * w[1, i] + (f2 * w[2, i] + f3 * w[3, i])
                        c += 4
                    while c < p:
                        for i in range(TILE):
                            g[i] += f[a, b, c] * basis[2, c, i]
                            rate[i] += f[a, b, c] * slopes[2, c, i]
                        c += 1
                    for i in range(TILE):
                        inner[0, i] += g[i] * basis[1, b, i]
                        inner[1, i] += g[i] * slopes[1, b, i]
                        inner[2, i] += rate[i] * basis[1, b, i]
                for i in range(TILE):
                    field[0, i] += inner[0, i] * basis[0, a, i]
                    field[1, i] += inner[0, i] * slopes[0, a, i]
                    field[2, i] += inner[1, i] * basis[0, a, i]
                    field[3, i] += inner[2, i] * basis[0, a, i]
            for i in range(size):
                row = order[first + i]
                kept[row] = move(points[first + i], field[0, i], field[4 - d :, i], *certificate, y[row])


@njit(cache=True, nogil=True)
def sum_pairs(
    points, starts, keys, chosen, data, data_starts, data_keys, strides, order, scale, reach, certificate, y, kept, start, stop
):
    """Sum over the data within reach of each point's cell, pair by pair."""
    d, ratio = points.shape[1], certificate[2]
    rows = np.empty(((2 * reach + 1) ** 2, 3), np.int64)
    slope, step = np.empty(d), np.empty(d)
    for s in range(start, stop):
        count = rows_in_reach(keys[chosen[s]], data_keys, strides, reach, rows)
        for i in range(starts[chosen[s]], starts[chosen[s] + 1]):
            value = 0.0
            slope[:] = 0
            for r in range(count):
                for j in range(data_starts[rows[r, 1]], data_starts[rows[r, 2]]):
                    q2 = 0.0
                    for k in range(d):
                        step[k] = ratio * (data[j, k] * scale - points[i, k] * scale)
                        q2 += step[k] * step[k]
                    w = math.exp(-q2 / 2)
                    value += w
                    for k in range(d):
                        slope[k] += w * step[k]
            for k in range(d):
                slope[k] *= ratio / 2  # as along a cell's coordinate
            kept[order[i]] = move(points[i], value, slope, *certificate, y[order[i]])


@njit(cache=True, nogil=True)
def go_to_nearest(x, chosen, data, starts, boxes, scale, ratio, y, start, stop):
    """Sum relative to the weight of the nearest datum, as softmax does, over the boxes that can hold a normal weight."""
    d = x.shape[1]
    shift = np.empty(d)
    cut = 2 * 126 * math.log(2.0) / ratio**2  # float32's normal numbers end at 2^-126
    lower = np.empty(len(boxes))
    for s in range(start, stop):
        i = chosen[s]
        upper = np.inf
        for b in range(len(boxes)):
            nearest = farthest = 0.0
            for k in range(d):
                below, above = boxes[b, 0, k] - x[i, k] * scale, boxes[b, 1, k] - x[i, k] * scale
                nearest += max(below, -above, 0.0) ** 2
                farthest += max(-below, above) ** 2
            lower[b] = nearest
            upper = min(upper, farthest)
        least = np.inf
        for b in range(len(boxes)):
            if lower[b] * (1 - 2.0**-40) <= upper:
                for j in range(starts[b], starts[b + 1]):
                    r2 = 0.0
                    for k in range(d):
                        r2 += (data[j, k] * scale - x[i, k] * scale) ** 2
                    least = min(least, r2)
        total = 0.0
        shift[:] = 0
        for b in range(len(boxes)):
            if lower[b] * (1 - 2.0**-40) <= least + cut:
                for j in range(starts[b], starts[b + 1]):
                    r2 = 0.0
                    for k in range(d):
                        r2 += (data[j, k] * scale - x[i, k] * scale) ** 2
                    w = math.exp((least - r2) * (ratio * ratio / 2))
                    total += w
                    for k in range(d):
                        shift[k] += w * (np.float64(data[j, k]) - x[i, k])
        for k in range(d):
            y[i, k] = x[i, k] + shift[k] / total


class Sorted:
    """Points in the order of their cells, as runs of one cell each."""

    def __init__(self, points, keys, room, scale, most):
        n = len(points)
        if keys is None:
            self.order, keys = np.arange(n), np.zeros(n, np.int64)
        elif room <= 4 * n + 2**16:
            self.order = counting_sort(keys, room)
        else:
            self.order = np.argsort(keys, kind="stable")
        self.points, sorted_keys = np.empty_like(points), np.empty(n, np.int64)
        share_out(lambda *share: take(points, keys, self.order, self.points, sorted_keys, *share), n, 2**16)
        self.starts, self.boxes = bundle(self.points, sorted_keys, scale, most)
        self.keys = sorted_keys[self.starts[:-1]]


def layers(x, data, scale, reach):
    """Number the cells of all points: return a function from points to keys, the extent of each dimension, and the strides.

    A key counts dimension 0 in ones. No cell has a neighbour within reach over the edge of the range. Where the range is too
    wide for integers, gaps beyond reach are narrowed; where that fails too, or a point is not finite, there are no keys.
    """
    d = x.shape[1]
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    finite = extent(x, scale, low, high) and (data is x or extent(data, scale, low, high))
    if not finite:
        return None
    spans = [int(s) for s in high - low + 1 + 2 * reach]
    if math.prod(spans) < 2**62:
        strides = strides_of(spans, 0)

        def keys_of(points):
            keys = np.empty(len(points), np.int64)
            share_out(lambda *share: encode(points, scale, low - reach, strides, keys, *share), len(points), 2**16)
            return keys

        return keys_of, spans, strides
    kinds, numbers, spans = [], [], []
    for k in range(d):
        distinct = np.unique(np.floor(np.concatenate([x[:, k], data[:, k]]).astype(float) * scale))
        steps = np.minimum(np.diff(distinct, prepend=distinct[0]), reach + 1)
        kinds.append(distinct)
        numbers.append(np.cumsum(steps).astype(np.int64) + reach)
        spans.append(int(numbers[k][-1]) + 1 + reach)
    if math.prod(spans) >= 2**62:
        return None
    strides = strides_of(spans, 0)

    def keys_of(points):
        at = np.floor(points.astype(float) * scale)
        return sum(numbers[k][np.searchsorted(kinds[k], at[:, k])] * strides[k] for k in range(d))

    return keys_of, spans, strides


def strides_of(spans, last):
    """Strides of a key in which dimension `last` counts in ones, and the one after it counts the most."""
    d, stride = len(spans), 1
    strides = np.empty(d, np.int64)
    for k in range(last, last - d, -1):
        strides[k] = stride
        stride *= spans[k]
    return strides


def recode(keys, spans, old, new):
    """Change the keys of one dimension's sweep into those of another's."""
    return sum(keys // old[k] % spans[k] * new[k] for k in range(len(spans)))


def fields(data, targets, chosen, found, spans, strides, reach, tables, scale):
    """Return the coefficients of G in the cells chosen, in which `found` rows of data are within reach."""
    d, p = len(spans), tables.shape[1]
    all_strides = [strides_of(spans, k) for k in range(d)]
    keys = targets.keys[chosen]
    firsts = np.concatenate([[0], np.cumsum(found[chosen])])
    centres, needed = np.empty(firsts[-1], np.int64), np.zeros(len(data.keys), bool)
    list_rows(keys, data.keys, strides, reach, firsts, centres, needed)
    # After k sweeps a cell has the targets' coordinates in the first k dimensions, and the data's in the others.
    stages = [centres]
    if d == 3:
        each = np.repeat(keys, found[chosen])
        stages.append(centres + (each // strides[1] % spans[1] - centres // strides[1] % spans[1]) * strides[1])
    stages = [np.unique(recode(stage, spans, strides, all_strides[k + 1])) for k, stage in enumerate(stages[: d - 1])]
    source_keys = data.keys[needed]
    bundles = np.flatnonzero(needed)
    sources = np.empty((len(bundles), p**d))
    share_out(lambda *share: moments(data.points, data.starts, bundles, scale, p, sources, *share), len(bundles))
    ends, cells = np.unique(keys, return_inverse=True)
    for k, stage in enumerate([*stages, recode(ends, spans, strides, all_strides[0])]):
        here = recode(stage, spans, all_strides[(k + 1) % d], all_strides[k])
        out = np.empty((len(here), p**d))
        share_out(functools.partial(sweep, source_keys, sources, here, tables, out), len(here))
        source_keys, sources = stage, out
    return sources, cells


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
    y = x.copy()
    if not n or not d:
        return y
    scale = 2.0 ** (1 - math.frexp(bandwidth)[1])  # one over a cell's edge
    ratio = 1 / scale / bandwidth
    p, reach, tables, error, steeper = expansion(ratio, d)
    numbering = layers(x, data, scale, reach)
    if numbering is None:
        sources = Sorted(data, None, 0, scale, BUNDLE)
        left = np.arange(n)
    else:
        keys_of, spans, strides = numbering
        sources = Sorted(data, keys_of(data), math.prod(spans), scale, BUNDLE)
        targets = sources if data is x else Sorted(x, keys_of(x), math.prod(spans), scale, BUNDLE)
        counts = np.diff(targets.starts)
        reached, found = np.empty(len(counts), np.int64), np.empty(len(counts), np.int64)
        share_out(
            lambda *share: survey(targets.keys, counts, sources.keys, sources.starts, strides, reach, reached, found, *share),
            len(counts),
            64,
        )
        kept = np.zeros(n, np.bool_)
        certificate = (len(data), bandwidth, ratio, error, steeper)
        crowded = counts * reached * PAIR > (d * (2 * reach + 1) * p ** (d + 1))
        chosen = np.flatnonzero(crowded)
        if len(chosen):
            f, cells = fields(sources, targets, chosen, found, spans, strides, reach, tables, scale)
            share_out(
                lambda *share: evaluate(
                    targets.points, targets.starts, chosen, cells, f, targets.order, scale, p, certificate, y, kept, *share
                ),
                len(chosen),
            )
        others = np.flatnonzero(~crowded & (found > 0))
        share_out(
            lambda *share: sum_pairs(
                targets.points,
                targets.starts,
                targets.keys,
                others,
                sources.points,
                sources.starts,
                sources.keys,
                strides,
                targets.order,
                scale,
                reach,
                certificate,
                y,
                kept,
                *share,
            ),
            len(others),
            16,
        )
        left = np.flatnonzero(~kept)
    share_out(
        lambda *share: go_to_nearest(x, left, sources.points, sources.starts, sources.boxes, scale, ratio, y, *share),
        len(left),
        16,
    )
    return y
