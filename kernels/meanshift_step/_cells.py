"""Cells of a sorted grid: points in the order of their cells, so that the points of any run of cells are contiguous.

The widest axis is divided into columns, and up to two more axes into rows. In further dimensions a distance can only grow, so
three axes suffice to find all points within a cutoff. A cell's key is its row's number times the number of columns, plus its
column's. No cell is stored, so empty ones cost nothing.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.threads import parallel_for
from kernels.meanshift_step._cutoff import AXES, COLUMNS_PER_CUTOFF

MAX_CELLS = 2**20  # of an axis; a longer one is compressed, so that three axes fit into a key of 63 bits
GRAIN = 2**15  # points that are worth waking a thread


class Axis(NamedTuple):
    """An axis in cells. It is compressed where it is too long: gaps without points, wider than the cutoff, get no cells."""

    dimension: int
    edge: float  # the length of a cell
    starts: Any  # the coordinate at which each piece between two gaps begins, shape (pieces,)
    cells: Any  # the number of the first cell of each piece, shape (pieces,)
    end: int  # the number past the last cell


class Sorted(NamedTuple):
    """Points in the order of their cells."""

    keys: Any  # shape (n,)
    order: Any  # the index of each point among the caller's, shape (n,)
    sites: Any  # the coordinates, shape (d, n + width): a row for each coordinate, and zeros past the end for one more vector


def select(points, positions, width):
    """Return some of the points, in the same order."""
    sites = np.zeros((len(points.sites), len(positions) + width), points.sites.dtype)
    sites[:, : len(positions)] = points.sites[:, positions]
    return Sorted(points.keys[positions], points.order[positions], sites)


class Grid:
    """How space is divided into cells.

    Parameters
    ----------
    sets : tuple of array, shapes (n, d)
        All points that will be sorted.
    cutoff : float
        In the points' unit of length.
    rows : int
        Rows for each cutoff.
    slack : float
        The largest multiple of the cutoff that `within` will be asked for.
    """

    @np.errstate(over="ignore", invalid="ignore")  # an infinite extent serves: it is compressed like any that is too long
    def __init__(self, sets, cutoff, rows, slack):
        ends = [extent(points) for points in sets]
        low, high = np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)
        widest = np.argsort(low - high, kind="stable")[:AXES]
        edges = [cutoff / COLUMNS_PER_CUTOFF, *[cutoff / rows] * (len(widest) - 1)]
        axes = [divided(k, sets, low[k], high[k], edge, slack * cutoff) for k, edge in zip(widest, edges, strict=True)]
        self.rows, pad = rows, math.ceil(slack * rows)
        self.columns = axes[0].end
        while self.columns * math.prod(axis.end + 2 * pad for axis in axes[1:]) >= 2**62:
            axes.pop()
        counts = [axis.end + 2 * pad for axis in axes[1:]]  # padded, so that no step past the end of one axis enters another
        self.strides = [math.prod(counts[:i]) for i in range(len(counts))]  # of the rows' numbers
        self.axes = list(zip(axes, [0] + [pad] * len(counts), [1, *(self.columns * s for s in self.strides)], strict=True))

    def sort(self, points, width):
        """Return points in the order of their cells."""
        n, d = points.shape
        keys = np.zeros(n, np.int64)
        for axis, *place in self.axes:
            along = (*axis[:-1], *place)
            parallel_for(lambda *chunk, along=along: add_cells(points, *along, keys, *chunk), n, GRAIN)
        order = np.argsort(keys)
        sites = np.zeros((d, n + width), points.dtype)
        parallel_for(lambda *chunk: gather(points, order, sites, *chunk), n, GRAIN)
        return Sorted(keys[order], order, sites)

    def within(self, stretch):
        """Return which rows are within some cutoffs of a row, as differences of their numbers, and how many columns of each."""
        rows, columns = [], []
        most = math.ceil(stretch * self.rows)
        for steps in itertools.product(range(-most, most + 1), repeat=len(self.strides)):
            left = stretch**2 - sum((max(0, abs(step) - 1) / self.rows) ** 2 for step in steps)
            if left > 0:
                rows.append(sum(step * stride for step, stride in zip(steps, self.strides, strict=True)))
                columns.append(int(math.sqrt(left) * COLUMNS_PER_CUTOFF) + 1)
        return np.array(rows), np.array(columns)


def divided(dimension, sets, low, high, edge, cutoff):
    """Return an axis in cells of length `edge`."""
    if (high - low) / edge < MAX_CELLS:
        return Axis(dimension, edge, np.array([low]), np.array([0]), int((high - low) / edge) + 1)
    values = np.sort(np.concatenate([points[:, dimension] for points in sets]).astype(float))
    ends = np.flatnonzero(np.diff(values) > cutoff)
    starts, stops = values[np.append(0, ends + 1)], values[np.append(ends, -1)]
    counts = ((stops - starts) / edge).astype(np.int64) + math.ceil(cutoff / edge) + 2
    cells = np.cumsum(counts) - counts
    return Axis(dimension, edge, starts, cells, int(cells[-1] + counts[-1]))


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
    """Add the number of each point's cell along one axis, times the axis's stride, to its key."""
    for i in range(start, stop):
        value = np.float64(points[i, k])
        s = np.searchsorted(starts, value, side="right") - 1 if len(starts) > 1 else 0
        keys[i] += (cells[s] + int((value - starts[s]) / edge) + pad) * stride


@jit
def gather(points, order, sites, start, stop):
    """Copy points, in an order, to a row for each coordinate."""
    for i in range(start, stop):
        for k in range(points.shape[1]):
            sites[k, i] = points[order[i], k]


@jit
def groups_of(keys, columns, width, longest):
    """Return where each group of sorted points begins, and the end: at most a vector of points, of one row and few columns."""
    count, begin, row_end = 0, 0, np.int64(0)
    starts = np.empty(len(keys) + 1, np.int64)
    for i in range(len(keys)):
        if i == 0 or i - begin == width or keys[i] >= row_end or keys[i] - keys[begin] > longest:
            starts[count] = begin = i
            row_end = (keys[i] // columns + 1) * columns
            count += 1
    starts[count] = len(keys)
    return starts[: count + 1].copy()
