"""meanshift_step of a gaussian, linear in n at any density: a fast Gauss transform with Chebyshev expansions.

A gaussian's shift is the gradient of the logarithm of G(x) = sum_j exp(-|x_j - x|^2 / 2 h^2): the weights' derivatives
are the weighted differences. So one smooth field is wanted, with its gradient, at every point (Greengard and Strain 1991,
The fast Gauss transform):

1. Points are sorted into cells whose edge is a power of two, the largest up to h, so that coordinates within a cell are
   exact wherever it lies. Only occupied cells exist.
2. Each cell's data become its Chebyshev moments, p in each dimension.
3. Moments become the coefficients of G in each cell of targets, from all cells within reach. A gaussian is a product over
   the dimensions, so this takes one sweep along each: p^(d+1) operations for a cell and its neighbour, not p^2d.
4. Each point reads G and its gradient off the polynomial of its cell, and moves if that is good enough (`move`).

Interpolating between Chebyshev points needs fewer terms than the Hermite and Taylor series of the paper, by 2^p in the
error: p = 11 serves where those take 15. Other kernels take what this one cannot do well: points too far from all data for
G to be good enough, and calls with too many cells for their points. Where all points lie within one bandwidth the class
allows less, in proportion to their width, and more terms serve.

Everything is float64, so that rounding is far below float32's. float64 points are not taken: their moments' rounding, up to
thousands of units for each datum, would fail the certificate wherever the weights sum to less than thousands.
"""

import functools
import math

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.threads import share_out
from kernels.meanshift_step import grid
from kernels.meanshift_step import numba as brute_force
from registry import register

UNIT = 2.0**-24
TILE = 64  # points that are expanded or evaluated together
FLAT = 2.0**13  # widths of all points: a wider bandwidth leaves weights of 1 - 3 2^-27, so that it moves none by u widths more
ROOM, ROOM_EACH = 2**22, 64  # coefficients that there may be after a sweep: some anyway, and more for each of the points and data
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


def tables(ratio, p, reach):
    """Return, for each offset of two cells, the matrix that turns Chebyshev moments into Chebyshev coefficients."""
    angles = np.pi * (np.arange(p) + 0.5) / p
    nodes = np.cos(angles)
    transform = np.cos(np.arange(p)[:, None] * angles) * np.where(np.arange(p) > 0, 2, 1)[:, None] / p
    offsets = np.arange(-reach, reach + 1)[:, None, None] + (nodes - nodes[:, None]) / 2
    return np.einsum("ai,kij,bj->kab", transform, np.exp(-((ratio * offsets) ** 2) / 2), transform)


@functools.lru_cache(maxsize=16)
def expansion(ratio, d, share=1.0):
    """Return the fewest terms and the shortest reach that move no point by more than a share of h u / 2 for each datum.

    That is where the weights sum to 1, as they do where a point is among the data. With them come the tables and errors.
    """
    p = reach = 1
    while errors(ratio, d, TERMS, reach)[1] > ratio / 2 * share * UNIT / 8:
        reach += 1
    while errors(ratio, d, p, reach)[1] > ratio / 2 * share * UNIT / 4:
        p += 1
    return p, reach, tables(ratio, p, reach), *errors(ratio, d, p, reach)


compiled = jit(error_model="numpy", fastmath={"contract"})


@compiled
def chebyshev(points, order, first, stop, scale, basis):
    """Fill T_a and T_a' of a tile's coordinates in their cells; past the end the last point stands in."""
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
    """Add a b to out, four rows of b at a time (or some of them and the last, times 0), to pass over out a quarter as often."""
    for i in range(len(out)):
        for k in range(0, len(b), 4):
            k1, k2, k3 = min(k + 1, len(b) - 1), min(k + 2, len(b) - 1), min(k + 3, len(b) - 1)
            a0, a1, a2, a3 = a[i, k], a[i, k1] * (k1 > k), a[i, k2] * (k2 > k1), a[i, k3] * (k3 > k2)
            for j in range(out.shape[1]):
                out[i, j] += a0 * b[k, j] + a1 * b[k1, j] + a2 * b[k2, j] + a3 * b[k3, j]


@compiled
def moments(data, order, starts, scale, out, start, stop):
    """Sum the products of Chebyshev polynomials over the data of each cell that begins in a range of the data."""
    d, p = data.shape[1], out.shape[-1]
    basis, tail = np.ones((3, p, 2, TILE)), np.empty((TILE, p if d > 2 else 1, p))
    head = basis[min(1, 3 - d), : p if d > 1 else 1, 0]
    for s in range(np.searchsorted(starts, start), np.searchsorted(starts, stop)):
        out[s] = 0
        for first in range(starts[s], starts[s + 1], TILE):
            size = min(TILE, starts[s + 1] - first)
            chebyshev(data, order, first, first + size, scale, basis[3 - d :])
            for i in range(size):
                for b in range(tail.shape[1]):
                    for c in range(p):
                        tail[i, b, c] = basis[1, b, 0, i] * basis[2, c, 0, i]
            add_product(head, tail[:size].reshape(size, tail[0].size), out[s].reshape(len(head), tail[0].size))


@compiled
def sweep(sources, near, tables, out, start, stop):
    """Translate along the coefficients' first dimension, from the sources near each cell, and make it the last."""
    p = tables.shape[1]
    total = np.empty((p, out[0].size // p))
    for t in range(start, stop):
        total[:] = 0
        for j in range(len(tables)):
            if near[t, j] >= 0:
                add_product(tables[j], sources[near[t, j]].reshape(total.shape), total)
        out[t].reshape(total.T.shape)[:] = total.T


@compiled
def combine(terms, basis, out):
    """Sum each of the terms times a dimension's polynomials, and last the first of them times the slopes."""
    out[:], last = 0, terms.shape[1]
    for a in range(len(terms)):
        for c in range(last + 1):
            for i in range(TILE):
                out[c, i] += terms[a, c % last, i] * basis[a, c // last, i]


@compiled
def move(x, row, field, i, certificate, y):
    """Take one point's step if its certificate allows, and say whether it does.

    What G may be off by, m times `error`, and its slope, m times `steeper`, leave the quotient off by at most
    (m steeper + |slope / G| m error) / (G - m error). That may be half of what the class allows, m u times the bandwidth
    or the points' width, whichever is less; the other half is left to rounding.
    """
    count, bandwidth, share, ratio, error, steeper = certificate
    d, value, steepest = x.shape[1], field[0, i], 0.0
    for k in range(d):
        steepest = max(steepest, abs(field[d - k, i]) / value)
    if not 2 / ratio * (steeper + steepest * error) <= share * UNIT / 2 * (value - count * error):
        return False
    for k in range(d):
        y[row, k] = x[row, k] + field[d - k, i] / value * (2 / ratio * bandwidth)
    return True


@compiled
def evaluate(x, order, starts, coefficients, scale, certificate, y, moved, start, stop):
    """Read G and its slopes off the polynomial of each cell, for a tile of points at a time."""
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
            moved[order[i]] = move(x, order[i], field, i - first, certificate, y)
        first = end
        s += first == starts[s + 1]


def sort(points, low, strides, scale, reach):
    """Return the cells that hold points, the points in their order, and where in it each cell starts."""
    keys = sum((np.floor(z * scale) - first + reach) * stride for z, first, stride in zip(points, low, strides, strict=True))
    order = np.argsort(keys)
    keys = keys[order].astype(np.int64)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts], order, np.append(starts, len(keys))


def neighbours(sources, targets, strides, reach):
    """Return for each sweep where among the cells before it are those near each cell after it, from one side to the other.

    After k sweeps a cell has the targets' coordinates in the first k dimensions, and the data's in the others.
    """

    def around(cells, stride):
        return cells[:, None] + np.arange(-reach, reach + 1) * stride

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


def transform(columns, low, high, data, scale, p, reach, tables):
    """Return the order of x by cells, where each cell starts, and the coefficients of G in each; None if they are too many."""
    d, low = len(low), np.floor(low * scale)
    spans = np.floor(high * scale) - low + (1 + 2 * reach)  # no cell is within reach of the edge: no neighbour is beyond it
    if not spans.prod() < 2.0**53:  # float64 counts no further
        return None
    strides = np.cumprod(np.append(1, spans[:-1])).astype(np.int64)
    in_order = [sort(points, low, strides, scale, reach) for points in columns]
    (targets, order, starts), (sources, *sorted_data) = in_order[0], in_order[-1]
    room = (ROOM + ROOM_EACH * (len(order) + len(data))) // p**d
    if max(len(targets), len(sources)) > room:
        return None
    sweeps = neighbours(sources, targets, strides, reach)
    if max(map(len, sweeps)) > room:
        return None
    shape = (p if d > 2 else 1, p if d > 1 else 1, p)
    values = np.empty((len(sources), *shape))
    share_out(functools.partial(moments, data, *sorted_data, scale, values), len(data), 1024)
    for near in sweeps:
        before, values = values, np.empty((len(near), *shape))
        share_out(functools.partial(sweep, before, near, tables, values), len(near))
    return order, starts, values


def step_by_pairs(x, bandwidth, data):
    """Move points by the kernel that takes less time for them, of two that are right for all."""
    step = brute_force.meanshift_step if grid.unsuited(x, bandwidth, data, "gaussian") else grid.meanshift_step
    return step(x, bandwidth, data, "gaussian")


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
@np.errstate(invalid="ignore")  # the width of points that are not finite
def meanshift_step(x, bandwidth, data, kernel):
    if not x.size:
        return x.copy()
    columns = [points.T.astype(float, order="C") for points in ((x,) if data is x else (x, data))]
    low, high = (end([end(points, axis=1) for points in columns], axis=0) for end in (np.min, np.max))
    width = (high - low).max()
    if not width:
        return x.copy()
    h = float(min(bandwidth, FLAT * width))
    share = min(1.0, 2.0 ** (math.frexp(width / h)[1] - 1))
    scale = 2.0 ** (1 - math.frexp(h)[1])  # one over a cell's edge
    ratio = 1 / scale / h
    *expanded, error, steeper = expansion(ratio, x.shape[1], share)
    transformed = transform(columns, low, high, data, scale, *expanded)
    if transformed is None:
        return step_by_pairs(x, bandwidth, data)
    y, moved = np.empty_like(x), np.empty(len(x), np.bool_)
    certificate = (len(data), h, share, ratio, error, steeper)
    share_out(functools.partial(evaluate, x, *transformed, scale, certificate, y, moved), len(x), 1024)
    left = np.flatnonzero(~moved)
    if len(left):
        y[left] = step_by_pairs(x[left], bandwidth, data)
    return y
