"""meanshift_step on a sorted grid: each point meets only the data within reach, so that a step costs n log n + pairs in reach.

Space is cut along one axis into columns and along up to two more into rows (in further dimensions a distance can only grow,
so a grid of the widest three loses nothing). Points are sorted by row, then column: the data within reach of a group of
neighbouring points are one contiguous run in each of a few rows, and as the groups go up, so do the ends of the runs.
No cell is stored, so empty ones cost nothing.

The compact kernels reach one bandwidth. A gaussian is cut at c bandwidths, and each point proves its cut good enough: data
that were left out weigh at most exp(-c^2/2) each and lie c bandwidths off or count less, so that they move it by at most

    omitted exp(-c^2/2) (c h + |shift|) / (sum of kept weights)

where (r + |shift|) exp(-r^2/2) falls with r from 1 on. A point that cannot show this to be below m u h meets all data.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from numba import njit

from kernels._threads import share_out
from kernels.meanshift_step import KERNELS
from registry import register

GAUSSIAN, TRIANGULAR, EPANECHNIKOV, FLAT = range(len(KERNELS))
AXES = 3
LANES = 16
FINE = 8  # columns to a reach
CELLS = 2**20  # an axis longer than this is compressed, so that three axes make a key of 63 bits
MARGIN = 1 + 2.0**-10  # far above the rounding of a cell's number, 2^-53 of at most 2^40


class Axis(NamedTuple):
    """An axis in cells: stretches of points with gaps wider than the reach between them are numbered without the gaps."""

    edge: float
    starts: np.ndarray
    first: np.ndarray  # the number of each stretch's first cell
    cells: int


def axis_in_cells(values, edge, reach):
    low, high = float(values.min()), float(values.max())
    if (high - low) / edge < CELLS:
        return Axis(edge, np.array([low]), np.array([0]), int((high - low) / edge) + 1)
    values = np.sort(values).astype(float)
    ends = np.flatnonzero(np.diff(values) > reach)
    starts = values[np.append(0, ends + 1)]
    lengths = ((values[np.append(ends, -1)] - starts) / edge).astype(np.int64) + 3 + math.ceil(reach / edge)
    first = np.cumsum(lengths) - lengths
    return Axis(edge, starts, first, int(first[-1] + lengths[-1]))


@njit(cache=True, nogil=True)
def cell_of(value, edge, starts, first):
    s = np.searchsorted(starts, value, side="right") - 1 if len(starts) > 1 else 0
    return first[s] + int((value - starts[s]) / edge)


@njit(cache=True, nogil=True)
def add_cells(points, k, edge, starts, first, pad, stride, keys):
    for i in range(len(points)):
        keys[i] += (cell_of(np.float64(points[i, k]), edge, starts, first) + pad) * stride


@njit(cache=True, nogil=True)
def group_starts(keys, columns):
    n, count = len(keys), 0
    starts = np.empty(n + 1, np.int64)
    begin = row_end = np.int64(0)
    for i in range(n):
        if i == 0 or keys[i] >= row_end or i - begin == LANES or keys[i] - keys[begin] > FINE:
            starts[count] = begin = i
            row_end = (keys[i] // columns + 1) * columns
            count += 1
    starts[count] = n
    return starts[: count + 1].copy()


@njit(cache=True, nogil=True)
def gather(points, order, sites, start, stop):
    for i in range(start, stop):
        for k in range(points.shape[1]):
            sites[k, i] = points[order[i], k]


@njit(cache=True, nogil=True)
def sweep(first, last, groups, keys, sites, data_keys, data_sites, rows, reaches, columns, s, kernel, cut, order, y, failed):
    d, m = data_sites.shape
    one, zero = s.dtype.type(1), s.dtype.type(0)
    h = one / s[0]
    lows = np.zeros(len(rows), np.int64)
    highs = np.zeros(len(rows), np.int64)
    moved = np.empty(d, s.dtype)
    unit = np.finfo(s.dtype).eps / 2
    for g in range(first, last):
        i0, i1 = groups[g], groups[g + 1]
        row = keys[i0] // columns
        left, right = keys[i0] - row * columns, keys[i1 - 1] - row * columns
        kept = 0
        for o in range(len(rows)):
            base = (row + rows[o]) * columns
            low, high = base + max(0, left - reaches[o]), base + min(columns - 1, right + reaches[o])
            if g == first:
                lows[o] = highs[o] = np.searchsorted(data_keys, low)
            j = lows[o]
            while j < m and data_keys[j] < low:
                j += 1
            lows[o] = j
            j = max(j, highs[o])
            while j < m and data_keys[j] <= high:
                j += 1
            highs[o] = j
            kept += j - lows[o]
        for i in range(i0, i1):
            total = zero
            moved[:] = 0
            for o in range(len(rows)):
                for j in range(lows[o], highs[o]):
                    q2 = zero
                    for k in range(d):
                        q = (data_sites[k, j] - sites[k, i]) * s[0]
                        q2 += q * q
                    if kernel == GAUSSIAN:
                        w = np.exp(-q2 / 2)
                    elif kernel == TRIANGULAR:
                        w = max(one - np.sqrt(q2), zero)
                    elif kernel == EPANECHNIKOV:
                        w = max(one - q2, zero)
                    else:
                        w = one if q2 <= one else zero
                    total += w
                    for k in range(d):
                        moved[k] += w * (data_sites[k, j] - sites[k, i])
            far = zero
            for k in range(d):
                shift = moved[k] / total if total > 0 else zero
                far = max(far, abs(shift))
                y[order[i], k] = sites[k, i] + shift
            if kernel == GAUSSIAN:
                certain = math.exp(-cut * cut / 2) * (cut + far / h) <= unit / 2 * total
                failed[order[i]] = not (certain or (kept == m and total >= unit))


@njit(cache=True, nogil=True)
def direct(x, which, data, h, y):
    (m, d), one = data.shape, x.dtype.type(1)
    largest = np.finfo(x.dtype).max
    moved = np.empty(d, x.dtype)
    for i in which:
        nearest = largest
        total = x.dtype.type(0)
        for sums in range(2):
            moved[:] = 0
            for j in range(m):
                q2 = x.dtype.type(0)
                for k in range(d):
                    q = (data[j, k] - x[i, k]) / h
                    q2 += q * q
                q2 = min(q2, largest)
                if not sums:
                    nearest = min(nearest, q2)
                else:
                    w = np.exp((nearest - q2) / (one + one))
                    total += w
                    for k in range(d):
                        moved[k] += w * (data[j, k] - x[i, k])
        for k in range(d):
            y[i, k] = x[i, k] + moved[k] / total


def gaussian_cut(unit):
    """Return the cut, in bandwidths, whose certificate holds for a point that weighs 1 itself and moves by one bandwidth."""
    cut = 1.0
    while math.exp(-cut * cut / 2) * (cut + 1) > unit / 2:
        cut += 1 / 64
    return cut


def sorted_by_cell(points, axes, widest, pads, strides):
    keys = np.zeros(len(points), np.int64)
    for k, axis, pad, stride in zip(widest, axes, pads, strides, strict=True):
        add_cells(points, k, axis.edge, axis.starts, axis.first, pad, stride, keys)
    order = np.argsort(keys)
    sites = np.empty(points.shape[::-1], points.dtype)
    share_out(lambda start, stop: gather(points, order, sites, start, stop), len(points), 2**15)
    return order, keys[order], sites


@register("meanshift_step", "numba_grid", requires=("numba",), layout="C", precision="truncated", rank=45)
def meanshift_step(x, bandwidth, data, kernel):
    if not x.size:
        return x.copy()
    n, d = x.shape
    y = np.empty(x.shape, x.dtype)
    code = KERNELS.index(kernel)
    cut, refine = (gaussian_cut(np.finfo(x.dtype).eps / 2), 3) if code == GAUSSIAN else (1.0, 1)
    reach = cut * bandwidth * MARGIN
    everything = x if data is x else np.concatenate([x, data])
    widest = np.argsort(-np.ptp(everything.astype(float), axis=0), kind="stable")[:AXES]
    edges = [reach / FINE] + [reach / refine] * (len(widest) - 1)
    axes = [axis_in_cells(everything[:, k], edge, reach) for k, edge in zip(widest, edges, strict=True)]
    columns = axes[0].cells
    while columns * math.prod(axis.cells + 2 * (refine + 1) for axis in axes[1:]) >= 2**62:
        axes, widest = axes[:-1], widest[:-1]
    pads, strides, size = [0], [1], columns
    for axis in axes[1:]:
        pads.append(refine + 1)
        strides.append(size)
        size *= axis.cells + 2 * (refine + 1)
    rows, reaches = [], []
    for steps in itertools.product(range(-refine - 1, refine + 2), repeat=len(axes) - 1):
        gap2 = sum((max(0, abs(step) - 1) / refine) ** 2 for step in steps)
        if gap2 < 1:
            rows.append(sum(step * stride // columns for step, stride in zip(steps, strides[1:], strict=True)))
            reaches.append(int(math.sqrt(1 - gap2) * FINE) + 1)
    order, keys, sites = sorted_by_cell(x, axes, widest, pads, strides)
    _, data_keys, data_sites = (order, keys, sites) if data is x else sorted_by_cell(data, axes, widest, pads, strides)
    groups = group_starts(keys, columns)
    failed = np.zeros(n, np.bool_)
    s = np.array([1 / bandwidth]).astype(x.dtype)
    rows, reaches = np.array(rows), np.array(reaches)

    def work(start, stop):
        sweep(start, stop, groups, keys, sites, data_keys, data_sites, rows, reaches, columns, s, code, cut, order, y, failed)

    share_out(work, len(groups) - 1, 64)
    which = np.flatnonzero(failed)
    if len(which):
        h = x.dtype.type(bandwidth)
        share_out(lambda start, stop: direct(x, which[start:stop], data, h, y), len(which))
    return y
