"""meanshift_step on a sorted grid: a point meets only the data within reach, so that a step costs n log n + the pairs in reach.

Space is cut along one axis into columns and along up to two more into rows (in further dimensions a distance can only grow,
so a grid of the widest three loses nothing). Points are sorted by row, then column: the data within reach of a group of
neighbouring points are one contiguous run in each of a few rows, and as the groups go up, so do the ends of the runs.
No cell is stored, so empty ones cost nothing. A group is as many points as a vector has lanes.

The compact kernels reach one bandwidth. A gaussian is cut at c bandwidths, and each point proves its cut good enough: data
that were left out weigh at most exp(-c^2/2) each and lie c bandwidths off or count less, so that they move it by at most

    omitted exp(-c^2/2) (c h + |shift|) / (sum of kept weights)

where (r + |shift|) exp(-r^2/2) falls with r from 1 on. A point that cannot show this to be below m u h / 2, u the unit
roundoff, is cut wider, and in the end meets all data.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from kernels._compute.jit import jit
from kernels._compute.simd import (
    BYTES,
    add_weighted,
    fma,
    load_points,
    minus,
    origin,
    splat,
    splat_point,
    squared_length,
    store_points,
    where_above,
)
from kernels._compute.threads import share_out
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._compiled import EPANECHNIKOV, FLAT, GAUSSIAN, TRIANGULAR, WEIGHTS, constants, gaussian
from registry import register

DISTANT = len(KERNELS)
UNIT, LARGEST = 3, 4  # after the constants of the weights: what scales a difference, and the largest number
AXES = 3
FEW = 6  # dimensions whose sums stay in registers
ROWS, COLUMNS = 3, 16  # to the reach of a gaussian; a compact kernel has one row
WIDER = 1.5  # the second cut of a gaussian: it serves all that have data within the first
CELLS = 2**20  # an axis longer than this is compressed, so that three axes make a key of 63 bits
MARGIN = 1 + 2.0**-10  # far above the rounding of a cell's number, 2^-53 of at most 2^40
SAMPLE = 64
SHARE = 64  # groups that are worth waking a thread
FEW_PAIRS = 2**20  # about what brute force meets in the time that the grid takes whatever there is to meet


@njit
def least(a, finite):
    return where_above(finite, a, a) + (finite - where_above(finite, a, finite))


@njit
def distant_gaussian(q2, nearest, c):
    """The gaussian relative to the nearest of the data, however far that is."""
    return gaussian(least(q2, splat(c[LARGEST])) - nearest, nearest, c)


@njit
def squared_distance(sites, i, data_sites, j, unit):
    q2 = unit - unit
    for k in range(len(sites)):
        q = (splat(data_sites[k, j]) - load_points(sites, (0,), i + k * sites.shape[1])[0]) * unit
        q2 = fma(q, q, q2)
    return q2


def meet(kernel, sites, i, data_sites, lows, highs, one, c, like, sums):
    """Weigh the data in some runs for a vector of points: sum w (data - point), a row for each coordinate, and below them w."""


@overload(meet, prefer_literal=True)
def _(kernel, sites, i, data_sites, lows, highs, one, c, like, sums):
    weight = (*WEIGHTS, distant_gaussian)[kernel.literal_value]

    def in_few_dimensions(kernel, sites, i, data_sites, lows, highs, one, c, like, sums):
        here, nowhere, unit, total = load_points(sites, like, i), origin(sites, like), splat(c[UNIT]), one - one
        moved = nowhere
        for o in range(len(lows)):
            for j in range(lows[o], highs[o]):
                step = minus(splat_point(data_sites, like, j), here)
                # Scaled before they are squared, so that no square leaves the range of the dtype.
                w = weight(squared_length(add_weighted(nowhere, unit, step)), one, c)
                total = total + w
                moved = add_weighted(moved, w, step)
        store_points(sums, 0, moved)
        store_points(sums, len(like) * sums.shape[1], (total,))

    def in_any_dimensions(kernel, sites, i, data_sites, lows, highs, one, c, like, sums):
        d, unit, total = len(sites), splat(c[UNIT]), one - one
        sums[:] = 0
        for o in range(len(lows)):
            for j in range(lows[o], highs[o]):
                w = weight(squared_distance(sites, i, data_sites, j, unit), one, c)
                total = total + w
                for k in range(d):
                    step = splat(data_sites[k, j]) - load_points(sites, (0,), i + k * sites.shape[1])[0]
                    moved = load_points(sums, (0,), k * sums.shape[1])[0]
                    store_points(sums, k * sums.shape[1], (fma(w, step, moved),))
        store_points(sums, d * sums.shape[1], (total,))

    return in_few_dimensions if len(like) else in_any_dimensions


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


@jit
def sweep(first, last, groups, points, data, rows, reaches, columns, width, c, kernel, proof, like, y, totals):
    """Step some groups of points. `totals` gets the sum of each point's weights, or -1 where a gaussian's cut is not proven."""
    keys, order, sites = points
    data_keys, _, data_sites = data
    d, m, one = len(sites), len(data_keys), splat(sites.dtype.type(1))
    cut, tail, h, u = proof
    lows = np.zeros(len(rows), np.int64)
    highs = np.zeros(len(rows), np.int64)
    sums = np.empty((d + 1, width), sites.dtype)
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
            meet(GAUSSIAN, sites, begin, data_sites, lows, highs, one, c, like, sums)
        elif kernel == TRIANGULAR:
            meet(TRIANGULAR, sites, begin, data_sites, lows, highs, one, c, like, sums)
        elif kernel == EPANECHNIKOV:
            meet(EPANECHNIKOV, sites, begin, data_sites, lows, highs, one, c, like, sums)
        else:
            meet(FLAT, sites, begin, data_sites, lows, highs, one, c, like, sums)
        for i in range(begin, end):
            total, farthest = sums[d, i - begin], 0.0
            for k in range(d):
                shift = sums[k, i - begin] / total if total > 0 else sites.dtype.type(0)
                farthest = max(farthest, abs(shift))
                y[order[i], k] = sites[k, i] + shift
            proven = tail * (cut + farthest / h) <= u / 2 * total or (kept == m and total >= u)
            totals[i] = total if kernel != GAUSSIAN or proven else -1


@jit
def direct(first, last, points, data, width, c, y):
    """Step some vectors of points among all data: the gaussian of the contract, relative to the nearest."""
    _, order, sites = points
    data_keys, _, data_sites = data
    d, n, m, unit = len(sites), len(order), len(data_keys), splat(c[UNIT])
    lows, highs = np.array([0]), np.array([m])
    sums = np.empty((d + 1, width), sites.dtype)
    for begin in range(first * width, min(n, last * width), width):
        nearest = splat(c[LARGEST])
        for j in range(m):
            nearest = least(squared_distance(sites, begin, data_sites, j, unit), nearest)
        meet(DISTANT, sites, begin, data_sites, lows, highs, nearest, c, (), sums)
        for i in range(begin, min(n, begin + width)):
            for k in range(d):
                y[order[i], k] = sites[k, i] + sums[k, i - begin] / sums[d, i - begin]


@jit
def extent(points):
    """Return the least and the largest of each coordinate."""
    low = points[0].astype(np.float64)
    high = low.copy()
    for i in range(1, len(points)):
        for k in range(points.shape[1]):
            low[k] = min(low[k], points[i, k])
            high[k] = max(high[k], points[i, k])
    return low, high


@jit
def add_cells(points, k, edge, starts, cells, pad, stride, keys, start, stop):
    """Add each point's cell along one axis to its key."""
    for i in range(start, stop):
        value = np.float64(points[i, k])
        s = np.searchsorted(starts, value, side="right") - 1 if len(starts) > 1 else 0
        keys[i] += (cells[s] + int((value - starts[s]) / edge) + pad) * stride


@jit
def gather(points, order, sites, start, stop):
    for i in range(start, stop):
        for k in range(points.shape[1]):
            sites[k, i] = points[order[i], k]


@jit
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

    dimension: int
    edge: float
    starts: Any
    cells: Any  # the number of the first cell from each start on
    end: int  # the number past the last cell


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
    sites: Any  # a row for each coordinate, and a vector's width of zeros past the end


def part(points, positions, width):
    sites = np.zeros((len(points.sites), len(positions) + width), points.sites.dtype)
    sites[:, : len(positions)] = points.sites[:, positions]
    return Sorted(points.keys[positions], points.order[positions], sites)


class Grid:
    """How space is cut: the widest axis into columns, two more into rows, `fine` to a reach, which may be exceeded by `slack`."""

    @np.errstate(over="ignore", invalid="ignore")  # an extent past the largest number is as good as any that is compressed
    def __init__(self, sets, reach, fine, slack):
        ends = [extent(points) for points in sets]
        low, high = np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)
        widest = np.argsort(low - high, kind="stable")[:AXES]
        edges = [reach / COLUMNS, *[reach / fine] * (len(widest) - 1)]
        axes = [cut_axis(k, sets, low[k], high[k], edge, slack * reach) for k, edge in zip(widest, edges, strict=True)]
        self.fine, pad = fine, math.ceil(slack * fine)
        self.columns = axes[0].end
        while self.columns * math.prod(axis.end + 2 * pad for axis in axes[1:]) >= 2**62:
            axes.pop()
        counts = [axis.end + 2 * pad for axis in axes[1:]]  # so that no step out of one row's end leads into another
        self.strides = [math.prod(counts[:i]) for i in range(len(counts))]  # of the rows' numbers
        self.axes = list(zip(axes, [0] + [pad] * len(counts), [1, *(self.columns * s for s in self.strides)], strict=True))

    def sort(self, points, width):
        """Return points in the order of their cells."""
        n, d = points.shape
        keys = np.zeros(n, np.int64)
        for axis, *place in self.axes:
            along = (*axis[:-1], *place)
            share_out(lambda *share, along=along: add_cells(points, *along, keys, *share), n, 2**15)
        order = np.argsort(keys)
        sites = np.zeros((d, n + width), points.dtype)
        share_out(lambda *share: gather(points, order, sites, *share), n, 2**15)
        return Sorted(keys[order], order, sites)

    def within(self, reaches):
        """Return which rows are within some reaches of a row, as differences of their numbers, and how many columns of each."""
        rows, columns = [], []
        most = math.ceil(reaches * self.fine)
        for steps in itertools.product(range(-most, most + 1), repeat=len(self.strides)):
            left = reaches**2 - sum((max(0, abs(step) - 1) / self.fine) ** 2 for step in steps)
            if left > 0:
                rows.append(sum(step * stride for step, stride in zip(steps, self.strides, strict=True)))
                columns.append(int(math.sqrt(left) * COLUMNS) + 1)
        return np.array(rows), np.array(columns)


def cut_for(total, u):
    """Return the cut, in bandwidths, that a gaussian proves where it keeps weights of this sum and moves by a bandwidth."""
    cut = 1.0
    while math.exp(-cut * cut / 2) * (cut + 1) > u / 2 * total:
        cut += 1 / 64
    return cut


@register("meanshift_step", "numba_grid", requires=("numba",), layout="C", precision="truncated", rank=55)
def meanshift_step(x, bandwidth, data, kernel):
    if not x.size:
        return x.copy()
    code, u, width = KERNELS.index(kernel), np.finfo(x.dtype).eps / 2, BYTES // x.dtype.itemsize
    reach, fine, slack = (cut_for(1, u), ROWS, WIDER) if code == GAUSSIAN else (1.0, 1, 1.0)
    grid = Grid((x,) if data is x else (x, data), reach * bandwidth * MARGIN, fine, slack)
    points = grid.sort(x, width)
    others = points if data is x else grid.sort(data, width)
    y, totals = np.empty(x.shape, x.dtype), np.empty(len(x), x.dtype)
    real, like = x.dtype.type, (0,) * x.shape[1] if x.shape[1] <= FEW else ()
    c = (*constants(code, 1.0, real, lifted=False), real(1 / bandwidth), np.finfo(real).max)

    def sweeping(points, groups, cut):
        rows, reaches = grid.within(cut / reach)
        proof = cut, math.exp(-cut * cut / 2), bandwidth, u
        fixed = tuple(points), tuple(others), rows, reaches, grid.columns, width, c, code, proof, like, y, totals
        return lambda first, last: sweep(first, last, groups, *fixed)

    groups = groups_of(points.keys, grid.columns, width, COLUMNS)
    cuts = [reach]
    if code == GAUSSIAN:
        cuts.append(WIDER * reach)
        if len(groups) > SAMPLE**2:  # where points weigh more than themselves alone, most can prove a closer cut
            sample = range(0, len(groups) - 1, len(groups) // SAMPLE)
            work = sweeping(points, groups, reach)
            for g in sample:
                work(g, g + 1)
            weights = np.concatenate([totals[groups[g] : groups[g + 1]] for g in sample])
            cuts.insert(0, cut_for(max(1, np.quantile(weights, 1 / SAMPLE)), u))
    for cut in cuts:
        share_out(sweeping(points, groups, cut), len(groups) - 1, SHARE)
        unproven = np.flatnonzero(totals[: len(points.order)] < 0)
        if not len(unproven):
            return y
        points = part(points, unproven, width)
        groups = groups_of(points.keys, grid.columns, width, COLUMNS)
    vectors = -(-len(points.order) // width)
    share_out(lambda first, last: direct(first, last, tuple(points), tuple(others), width, c, y), vectors)
    return y


def unsuited(x, bandwidth, data, kernel):
    """Return why the grid cannot win for this call, in a line, or None: from a sample of the pairs, so that asking is cheap."""
    (n, d), m = x.shape, len(data)
    if n * m <= FEW_PAIRS or not d:
        return f"{n * m:,} pairs in {d} dimensions are too few to pay for sorting"
    reach = (cut_for(1, np.finfo(x.dtype).eps / 2) * (1 + 1 / ROWS) if kernel == "gaussian" else 2) * bandwidth
    some, others = x[:: -(-n // 32)], data[:: -(-m // 256)]
    widest = np.argsort(-np.ptp(others, axis=0), kind="stable")[:AXES]
    gaps = np.abs(some[:, None, widest].astype(float) - others[:, widest])
    share = (gaps <= reach).all(axis=-1).mean()
    if FEW_PAIRS + share * n * m * (2 if d <= FEW else 4) < n * m:  # a pair in the cells costs two of brute force, or four
        return None
    where = "" if d <= AXES else f" of the {AXES} of {d} dimensions that it sorts by"
    return f"a point meets about {share:.0%} of the data in the cells{where}: sorting saves too little"
