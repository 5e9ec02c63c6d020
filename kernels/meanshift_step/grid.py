"""meanshift_step on a sorted grid: each point meets only the data within reach, so that a step costs n log n + pairs in reach.

Space is cut along one axis into columns and along up to two more into rows (in further dimensions a distance can only grow,
so a grid of the widest three loses nothing). Points are sorted by row, then column: the data within reach of a group of
neighbouring points are one contiguous run in each of a few rows, and as the groups go up, so do the ends of the runs.
No cell is stored, so empty ones cost nothing. A group is as many points as a vector has lanes.

The compact kernels reach one bandwidth. A gaussian is cut at c bandwidths, and each point proves its cut good enough: data
that were left out weigh at most exp(-c^2/2) each and lie c bandwidths off or count less, so that they move it by at most

    omitted exp(-c^2/2) (c h + |shift|) / (sum of kept weights)

where (r + |shift|) exp(-r^2/2) falls with r from 1 on. A point that cannot show this to be below m u h, u the unit roundoff,
is cut wider, and in the end meets all data.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload

from kernels._simd import add_scaled, at_most, exp2, fma, lanes, largest_like, load, load_point, maximum, minimum, splat, sqrt
from kernels._simd import squared_norm, store, store_point, towards, zeros_like
from kernels._threads import share_out
from kernels.meanshift_step import KERNELS
from registry import register

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT, DISTANT = range(len(KERNELS) + 1)
AXES = 3
FEW = 6  # dimensions whose sums stay in registers
ROWS, COLUMNS = 3, 16  # to the reach of a gaussian; a compact kernel has one row
CELLS = 2**20  # an axis longer than this is compressed, so that three axes make a key of 63 bits
MARGIN = 1 + 2.0**-10  # far above the rounding of a cell's number, 2^-53 of at most 2^40
WIDER = 1.5
SAMPLE = 64
SHARE = 64  # groups that are worth waking a thread


# Weights of squared distances. `top` is 1; for a gaussian the exponent of two that its weights are relative to.


@njit
def gaussian(q2, top):
    return exp2(top - q2)


@njit
def distant_gaussian(q2, top):
    return exp2(top - minimum(q2, largest_like(q2)))


@njit
def triangular(q2, top):
    return maximum(top - sqrt(q2), top - top)


@njit
def epanechnikov(q2, top):
    return maximum(top - q2, top - top)


@njit
def flat(q2, top):
    return at_most(q2, top)


WEIGHTS = (gaussian, triangular, epanechnikov, flat, distant_gaussian)


@njit
def squared_distance(sites, i, data_sites, j, unit):
    q2 = unit - unit
    for k in range(len(sites)):
        q = (splat(data_sites[k, j]) - load(sites, (k, i))) * unit
        q2 = fma(q, q, q2)
    return q2


def meet(kernel, sites, i, data_sites, lows, highs, unit, top, sums):
    """Weigh the data in some runs for a vector of points: sum w (data - point), a row for each coordinate, and below them w."""


@overload(meet, prefer_literal=True)
def _(kernel, sites, i, data_sites, lows, highs, unit, top, sums):
    weight = WEIGHTS[kernel.literal_value]

    def in_few_dimensions(kernel, sites, i, data_sites, lows, highs, unit, top, sums):
        here = load_point(sites, i)
        moved, total = zeros_like(here), unit - unit
        for o in range(len(lows)):
            for j in range(lows[o], highs[o]):
                step = towards(here, data_sites, j)
                w = weight(squared_norm(step, unit), top)
                total = total + w
                moved = add_scaled(moved, w, step)
        store_point(sums, moved)
        store(sums, (len(moved), 0), total)

    def in_any_dimensions(kernel, sites, i, data_sites, lows, highs, unit, top, sums):
        d, total = len(sites), unit - unit
        sums[:] = 0
        for o in range(len(lows)):
            for j in range(lows[o], highs[o]):
                w = weight(squared_distance(sites, i, data_sites, j, unit), top)
                total = total + w
                for k in range(d):
                    step = splat(data_sites[k, j]) - load(sites, (k, i))
                    store(sums, (k, 0), fma(w, step, load(sums, (k, 0))))
        store(sums, (d, 0), total)

    return in_few_dimensions if isinstance(sites, types.BaseTuple) else in_any_dimensions


@njit
def first_from(keys, key, j):
    """Return the first index from j on whose key is not below a key: by doubling steps, then halving ones."""
    m, step = len(keys), 1
    while j + step <= m and keys[j + step - 1] < key:
        j += step
        step *= 2
    while step:
        if j + step <= m and keys[j + step - 1] < key:
            j += step
        step //= 2
    return j


@njit(cache=True, nogil=True)
def sweep(
    first, last, groups, keys, sites, order, data_keys, data_sites, rows, reaches, columns, width, units, kernel, proof, y, totals
):
    """Step some groups of points. `totals` gets the sum of each point's weights, or -1 where a gaussian's cut is not proven."""
    d, m = len(sites), len(data_keys)
    unit, top = splat(units[0]), splat(units[1])
    cut, tail, h, u = proof
    lows = np.zeros(len(rows), np.int64)
    highs = np.zeros(len(rows), np.int64)
    sums = np.empty((d + 1, width), units.dtype)
    for g in range(first, last):
        begin, end = groups[g], groups[g + 1]
        row = keys[begin] // columns
        left, right = keys[begin] - row * columns, keys[end - 1] - row * columns
        kept = 0
        for o in range(len(rows)):
            base = (row + rows[o]) * columns
            lows[o] = first_from(data_keys, base + max(0, left - reaches[o]), lows[o])
            highs[o] = first_from(data_keys, base + min(columns - 1, right + reaches[o]) + 1, max(lows[o], highs[o]))
            kept += highs[o] - lows[o]
        if kernel == GAUSSIAN:
            meet(GAUSSIAN, sites, begin, data_sites, lows, highs, unit, top, sums)
        elif kernel == TRIANGULAR:
            meet(TRIANGULAR, sites, begin, data_sites, lows, highs, unit, top, sums)
        elif kernel == EPANECHNIKOV:
            meet(EPANECHNIKOV, sites, begin, data_sites, lows, highs, unit, top, sums)
        else:
            meet(FLAT, sites, begin, data_sites, lows, highs, unit, top, sums)
        for i in range(begin, end):
            total, farthest = sums[d, i - begin], 0.0
            for k in range(d):
                shift = sums[k, i - begin] / total if total > 0 else units.dtype.type(0)
                farthest = max(farthest, abs(shift))
                y[order[i], k] = sites[k][i] + shift
            proven = tail * (cut + farthest / h) <= u / 2 * total or (kept == m and total >= u)
            totals[i] = total if kernel != GAUSSIAN or proven else -1


@njit(cache=True, nogil=True)
def direct(first, last, sites, order, data_sites, m, width, units, y):
    """Step some vectors of points among all data: the gaussian of the contract, relative to the nearest."""
    unit = splat(units[0])
    d, n = len(sites), len(order)
    lows, highs = np.array([0]), np.array([m])
    sums = np.empty((d + 1, width), units.dtype)
    for begin in range(first * width, min(n, last * width), width):
        nearest = largest_like(unit)
        for j in range(m):
            nearest = minimum(squared_distance(sites, begin, data_sites, j, unit), nearest)
        meet(DISTANT, sites, begin, data_sites, lows, highs, unit, nearest, sums)
        for i in range(begin, min(n, begin + width)):
            for k in range(d):
                y[order[i], k] = sites[k, i] + sums[k, i - begin] / sums[d, i - begin]


@njit(cache=True, nogil=True)
def extent(points):
    """Return the least and the largest of each coordinate."""
    low = points[0].astype(np.float64)
    high = low.copy()
    for i in range(1, len(points)):
        for k in range(points.shape[1]):
            low[k] = min(low[k], points[i, k])
            high[k] = max(high[k], points[i, k])
    return low, high


@njit(cache=True, nogil=True)
def add_cells(points, k, edge, starts, cells, pad, stride, keys, start, stop):
    """Add each point's cell along one axis to its key."""
    for i in range(start, stop):
        value = np.float64(points[i, k])
        s = np.searchsorted(starts, value, side="right") - 1 if len(starts) > 1 else 0
        keys[i] += (cells[s] + int((value - starts[s]) / edge) + pad) * stride


@njit(cache=True, nogil=True)
def gather(points, order, sites, start, stop):
    for i in range(start, stop):
        for k in range(points.shape[1]):
            sites[k, i] = points[order[i], k]


@njit(cache=True, nogil=True)
def groups_of(keys, columns, width, longest):
    """Return where the groups begin: at most a vector of points, of one row and some columns."""
    count, begin, row_end = 0, 0, np.int64(0)
    starts = np.empty(len(keys) + 1, np.int64)
    for i in range(len(keys)):
        if i == 0 or i - begin == width or keys[i] >= row_end or keys[i] - keys[begin] > longest:
            starts[count] = begin = i
            row_end = (keys[i] // columns + 1) * columns
            count += 1
    starts[count] = len(keys)
    return starts[: count + 1].copy()


class Axis(NamedTuple):
    """An axis in cells; where no point lies for more than the reach, it is broken and numbered on without the gap."""

    index: int
    edge: float
    starts: Any
    cells: Any  # the number of the first cell from each start on
    count: int


def cut_axis(index, sets, low, high, edge, reach):
    if (high - low) / edge < CELLS:
        return Axis(index, edge, np.array([low]), np.array([0]), int((high - low) / edge) + 1)
    values = np.sort(np.concatenate([points[:, index] for points in sets]).astype(float))
    ends = np.flatnonzero(np.diff(values) > reach)
    starts, stops = values[np.append(0, ends + 1)], values[np.append(ends, -1)]
    counts = ((stops - starts) / edge).astype(np.int64) + math.ceil(reach / edge) + 2
    cells = np.cumsum(counts) - counts
    return Axis(index, edge, starts, cells, int(cells[-1] + counts[-1]))


class Sorted(NamedTuple):
    """Points in the order of their cells."""

    keys: Any
    order: Any
    sites: Any  # one row for each coordinate, and a vector's width of zeros past the end

    def take(self, positions, width):
        sites = np.zeros((len(self.sites), len(positions) + width), self.sites.dtype)
        sites[:, : len(positions)] = self.sites[:, positions]
        return Sorted(self.keys[positions], self.order[positions], sites)


class Grid:
    """How space is cut: the widest axis into columns, two more into rows, `fine` to a reach, which may be exceeded by `slack`."""

    def __init__(self, sets, reach, fine, slack):
        self.fine = fine
        low, high = (
            pick(ends, axis=0) for pick, ends in zip((np.min, np.max), zip(*map(extent, sets), strict=True), strict=True)
        )
        widest = np.argsort(low - high, kind="stable")[:AXES]
        edges = [reach / COLUMNS, *[reach / fine] * (len(widest) - 1)]
        axes = [cut_axis(k, sets, low[k], high[k], edge, slack * reach) for k, edge in zip(widest, edges, strict=True)]
        self.pad = math.ceil(slack * fine)
        self.columns = axes[0].count
        while self.columns * math.prod(axis.count + 2 * self.pad for axis in axes[1:]) >= 2**62:
            axes.pop()
        self.axes = axes
        counts = [axis.count + 2 * self.pad for axis in axes[1:]]
        self.strides = [math.prod(counts[:i]) for i in range(len(counts))]  # of the rows' numbers

    def sort(self, points, width):
        n, d = points.shape
        keys = np.zeros(n, np.int64)
        strides, pads = [1, *(self.columns * stride for stride in self.strides)], [0, *[self.pad] * len(self.strides)]
        for (k, edge, starts, cells, _), pad, stride in zip(self.axes, pads, strides, strict=True):
            share_out(
                lambda *share, along=(k, edge, starts, cells, pad, stride): add_cells(points, *along, keys, *share), n, 2**15
            )
        order = np.argsort(keys)
        sites = np.zeros((d, n + width), points.dtype)
        share_out(lambda *share: gather(points, order, sites, *share), n, 2**15)
        return Sorted(keys[order], order, sites)

    def within(self, reaches):
        """Return the rows within some reaches of a row, by the difference of their numbers, and how many columns are within there."""
        rows, columns = [], []
        most = math.ceil(reaches * self.fine)
        for steps in itertools.product(range(-most, most + 1), repeat=len(self.strides)):
            left = reaches**2 - sum((max(0, abs(step) - 1) / self.fine) ** 2 for step in steps)
            if left > 0:
                rows.append(sum(step * stride for step, stride in zip(steps, self.strides, strict=True)))
                columns.append(int(math.sqrt(left) * COLUMNS) + 1)
        return np.array(rows), np.array(columns)


def cut_for(total, u):
    """Return the cut, in bandwidths, that a gaussian proves where the kept weights sum to `total` and the shift is a bandwidth."""
    cut = 1.0
    while math.exp(-cut * cut / 2) * (cut + 1) > u / 2 * total:
        cut += 1 / 64
    return cut


@register("meanshift_step", "numba_grid", requires=("numba",), layout="C", precision="truncated", rank=45)
def meanshift_step(x, bandwidth, data, kernel):
    if not x.size:
        return x.copy()
    code, u, width = KERNELS.index(kernel), np.finfo(x.dtype).eps / 2, lanes(x.dtype)
    reach, fine, slack = (cut_for(1, u), ROWS, WIDER) if code == GAUSSIAN else (1.0, 1, 1.0)
    grid = Grid((x,) if data is x else (x, data), reach * bandwidth * MARGIN, fine, slack)
    points = grid.sort(x, width)
    others = points if data is x else grid.sort(data, width)
    y, totals = np.empty(x.shape, x.dtype), np.empty(len(x), x.dtype)
    scale, top = (math.sqrt(math.log2(math.e) / 2), 0.0) if code == GAUSSIAN else (1.0, 1.0)
    units = np.array([scale / bandwidth, top]).astype(x.dtype)

    def sweep_groups(points, groups, cut):
        rows, reaches = grid.within(cut / reach)
        proof = cut, math.exp(-cut * cut / 2), bandwidth, u
        sites, data_sites = points.sites, others.sites
        if x.shape[1] <= FEW:
            sites, data_sites = tuple(sites), tuple(data_sites)
        return lambda first, last: sweep(
            *(first, last, groups, points.keys, sites, points.order, others.keys, data_sites),
            *(rows, reaches, grid.columns, width, units, code, proof, y, totals),
        )

    groups = groups_of(points.keys, grid.columns, width, COLUMNS)
    cuts = [reach]
    if code == GAUSSIAN:
        cuts.append(WIDER * reach)
        if len(groups) > SAMPLE**2:  # where points weigh more than themselves alone, most can prove a closer cut
            sample = range(0, len(groups) - 1, len(groups) // SAMPLE)
            work = sweep_groups(points, groups, reach)
            for g in sample:
                work(g, g + 1)
            weights = np.concatenate([totals[groups[g] : groups[g + 1]] for g in sample])
            cuts.insert(0, cut_for(max(1, np.quantile(weights, 1 / SAMPLE)), u))
    for cut in cuts:
        share_out(sweep_groups(points, groups, cut), len(groups) - 1, SHARE)
        unproven = np.flatnonzero(totals[: len(points.order)] < 0)
        if not len(unproven):
            return y
        points = points.take(unproven, width)
        groups = groups_of(points.keys, grid.columns, width, COLUMNS)
    vectors = -(-len(points.order) // width)
    share_out(lambda a, b: direct(a, b, points.sites, points.order, others.sites, len(data), width, units, y), vectors)
    return y
