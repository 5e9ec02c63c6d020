"""The stages of a fast Gauss transform: cells, moments, local expansions, and the points that these move.

With the density G(x) = sum_j exp(-|y_j - x|^2 / 2 h^2) of the data y_j, the step is

    x + h^2 grad G(x) / G(x)                                                                                               (1)

since the derivatives of the weights are the weighted differences. G and its gradient are computed by the steps of Greengard and
Strain's transform, where their delta is 2 h^2:

    1. Assign targets and sources to cells, and keep only cells that are not empty (`sort`). The edge of a cell is a power of two:
       so coordinates within a cell are exact, wherever it lies. Large cells have few translations, small ones few terms: how many
       cells the data fill decides which take less (`best_lattice`).
    2. Expand the sources of each cell (`expand`): M_b = sum_j v_j T_b1(y_j1) ... T_bd(y_jd), where all b_k < p.              (2)
       Their expansion is a Hermite series.
    3. For each cell of targets, add up the expansions of the cells within the cutoff, as one local expansion
       L_a = sum_cells sum_b K_a1b1 ... K_adbd M_b (`translated`). K is (1) of `_chebyshev`.                                  (3)
       Their local expansion is a Taylor series. A gaussian is a product over the dimensions, so one sweep along each
       dimension suffices: it takes p^(d+1) operations for a cell and its neighbour, and not p^(2d).
    4. Evaluate G(x) = sum_a L_a T_a1(x_1) ... T_ad(x_d) and its gradient at each target (`moved`).                           (4)

Steps 2 to 4 go through the cells side by side (`transform`): what is held of coefficients reaches from one side of the cutoff to
the other, and not over all of space. Moments are sums over the data: those of parts of the data, added cell
by cell, are the moments of the whole.

A point takes step (1) if the bounds of the expansions' errors allow it (`move`). Where all points lie within one bandwidth, the
class of error "truncated" allows less, in proportion to their width, and the expansions have more terms.

References
----------
Greengard and Strain 1991, The fast Gauss transform. Raykar 2006, The fast Gauss transform with all the proofs, sections 6.2 to
6.4 for steps 2 to 4.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from kernels._compute.threads import CORES, parallel_for
from kernels.meanshift_step._chebyshev import COEFFICIENTS_PER_POINT, EDGES, MAX_COEFFICIENTS, expansion
from kernels.meanshift_step._fast_gauss_compiled import TILE, moments, move_all, number, translate

GRAIN = 1024  # points that are worth waking a thread
RUN = 2**16 * CORES  # coefficients of each stage that are computed before the next stage takes them: about a cache of each core
SAMPLE = 4096  # data whose cells are counted
MAX_WIDTHS = 2.0**13  # of all points: past it all weights are at least 1 - 3 2^-27, and no point moves u widths more


class Lattice(NamedTuple):
    """Cells of space, and the expansions in them: what all stages have in common."""

    axes: Any  # the points' dimensions in the order of the cells': their widest is the last, shape (d,)
    low: Any  # the number of the lowest cell that holds a point, along each of these, shape (d,)
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
    starts: Any  # where in the order each cell begins, shape (cells,)
    ends: Any  # and ends, shape (cells,)


def ends_of(sets):
    """Return the least and the largest coordinates in sets of points, as float64, shape (d,) each."""
    columns = [points.T for points in sets if len(points)]  # along which NumPy takes a fifth of the time
    return tuple(end([[end(z) for z in each] for each in columns], axis=0).astype(float) for end in (np.min, np.max))


def lattice(low, high, bandwidth, mass, edge=0):
    """Return the lattice of all points, targets and data, or None where it has too many cells for keys.

    Parameters
    ----------
    low, high : array of float64, shape (d,)
        The least and the largest coordinates, which are not the same in all dimensions.
    bandwidth : float
    mass : float
        The sum of the data's weights, relative to the largest.
    edge : int
        A cell's edge is 2^edge times the largest power of two up to the bandwidth.
    """
    width = (high - low).max()
    h = float(min(bandwidth, MAX_WIDTHS * width))
    fraction = min(1.0, 2.0 ** (math.frexp(width / h)[1] - 1))
    scale = 2.0 ** (1 - math.frexp(h)[1] - edge)
    ratio = 1 / scale / h
    p, cutoff, matrices, *errors = expansion(ratio, len(low), fraction)
    axes = np.argsort(high - low, kind="stable")
    first = np.floor(low * scale)[axes]
    # The edge is beyond every cell's cutoff: all neighbours have keys.
    spans = np.floor(high * scale)[axes] - first + (1 + 2 * cutoff)
    if not spans.prod() < 2.0**53:  # beyond that float64 does not hold all whole numbers
        return None
    strides = np.cumprod(np.append(1, spans[:-1])).astype(np.int64)
    return Lattice(axes, first, strides, scale, p, cutoff, matrices, (mass, h, fraction, ratio, *errors))


def sample(data, blocks=1):
    """Return some rows of data, in one of so many blocks, by which `best_lattice` counts cells."""
    return data[:: max(1, len(data) * blocks // SAMPLE)]


def best_lattice(low, high, bandwidth, mass, some, count):
    """Return the lattice whose stages take the least time, or None where each has too many cells for keys.

    Parameters
    ----------
    low, high, bandwidth, mass
        What `lattice` takes.
    some : array, shape (s, d)
        A sample of the data.
    count : int
        How many points and data there are.
    """
    tried = [lattice(low, high, bandwidth, mass, edge) for edge in EDGES]
    return min((cells for cells in tried if cells), key=lambda cells: operations(cells, some, count), default=None)


def operations(cells, some, count):
    """Count what all stages take, in multiply-adds of a translation, by the cells that some of the data fill.

    A cell's last tile is half empty, and the rows of a translation's matrices have an end each: what both cost is measured.
    """
    _, counts = np.unique(keys_of(some, cells), return_counts=True)
    once, twice = np.sum(counts == 1), np.sum(counts == 2)
    filled = min(count, len(counts) + once * (once - 1) / (2 * (twice + 1)))  # Chao 1984, the number of classes in a population
    d, p = len(cells.low), cells.p
    for_each = 2.5 * p**d + 20 * d * p
    return (count + TILE * filled) * for_each + filled * d * len(cells.matrices) * p**2 * (p ** (d - 1) + 20)


def most_cells(count, cells):
    """Return how many cells are worth their coefficients, for so many targets and sources together."""
    return (MAX_COEFFICIENTS + COEFFICIENTS_PER_POINT * count) // cells.p ** len(cells.low)


def coefficients_for_each(some, count, bandwidth):
    """Return how many coefficients there are for each of so many points in the box of some of them; infinite without lattice."""
    low, high = ends_of((some,))
    cells = best_lattice(low, high, bandwidth, float(count), some, count) if (high - low).max() else None
    return np.inf if cells is None else spans_of(low, high, cells).prod() * np.prod(cells.terms) / count


def spans_of(low, high, cells):
    """Return how many cells a box has along each axis of the lattice, shape (d,)."""
    return (np.floor(high * cells.scale) - np.floor(low * cells.scale) + 1)[cells.axes]


def most_bytes(count, low, high, cells):
    """Return how many bytes all steps may take at a time, for so many targets and sources together in a box, shape (d,) each.

    A point has a key, an order and what sorts them. Each stage has the coefficients of a run of cells, and of those within the
    cutoff along the next sweep's dimension. A cell has the neighbours of each sweep, and what finds them.
    """
    spans = spans_of(low, high, cells)
    number, run = spans.prod(), 1 + RUN / np.prod(cells.terms)
    beside = np.cumprod([1, *spans[:-1]]) * 2 * cells.cutoff
    held = np.minimum(number, run + np.append(beside, 0)).sum()
    return 8 * (5 * count + held * np.prod(cells.terms) + number * len(cells.matrices) * (len(spans) / 2 + 3))


def keys_of(points, cells):
    """Return the key of each point's cell, for points of shape (n, d)."""
    keys = np.empty(len(points), np.int64)
    work = functools.partial(number, points, *cells[:4], cells.cutoff, keys)
    parallel_for(work, len(points), GRAIN)
    return keys


def sort(points, cells):
    """Take step 1 for points of shape (n, d)."""
    keys, n = keys_of(points, cells), len(points)
    bits = n.bit_length()
    order = np.arange(n, dtype=np.int32 if bits < 32 else np.int64)
    if keys.max(initial=0) < 2 ** (63 - bits):  # numbers that hold key and order are sorted in a quarter of the time
        keys <<= bits
        keys |= order
        keys.sort()
        np.bitwise_and(keys, 2**bits - 1, out=order, casting="same_kind")
        keys >>= bits
    else:
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[:n])
    return Sorted(keys[starts], order, starts, np.append(starts[1:], n)[: len(starts)])


def first_of(n, by_cells):
    """Return of sorted points the first n: they come first in each cell."""
    keys, order, starts, _ = by_cells
    counts = np.add.reduceat(order < n, starts, dtype=np.int64)
    filled = counts > 0
    return Sorted(keys[filled], order, starts[filled], (starts + counts)[filled])


def neighbours(sources, targets, strides, cutoff):
    """Return for each sweep the keys of the cells after it, and which cells before it are within the cutoff of each.

    After k sweeps, a cell has the coordinates of a cell of targets in the first k dimensions, and of a cell of sources in
    the others. The cells before are numbered, from one side to the other, in an array of shape (cells after, 2 cutoff + 1), with
    -1 where no such cell exists.
    """

    def around(cells, stride):
        return cells[:, None] + np.arange(-cutoff, cutoff + 1) * stride

    wanted = [targets]
    for stride in strides[:0:-1]:
        wanted.append(np.unique(around(wanted[-1], stride)))
    sweeps, before = [], sources
    for stride in strides:
        after = wanted.pop()
        if wanted:
            after = np.intersect1d(np.unique(around(before, stride)), after, assume_unique=True)
        cells = around(after, stride)
        ended = np.append(before, 2**62)
        at = np.searchsorted(ended, cells)
        sweeps.append((after, np.where(ended[at] == cells, at, -1).astype(np.int32)))
        before = after
    return sweeps


def expand(data, v, by_cells, cells, out, start, stop):
    """Take step 2 for the cells from start to stop: put their moments in their places in out, shape (held, [p], [p], p)."""
    work = functools.partial(moments, data, v, cells.axes, *by_cells[1:], cells.scale, out)
    _parallel_points(work, by_cells, start, stop)


def sweep(before, near, cells, out, start, stop):
    """Take a sweep of step 3 for the cells from start to stop, of shapes (held before, [p], [p], p) to (held, [p], [p], p)."""
    _parallel(functools.partial(translate, before, near, cells.matrices, out), start, stop)


def evaluate(x, by_cells, cells, coefficients, y, served, start, stop):
    """Take step 4 for the cells from start to stop: move their points of x to y by (1), and say in which rows that is proven.

    Rows of y in which it is not are undefined.
    """
    work = functools.partial(move_all, x, cells.axes, *by_cells[1:], coefficients, cells.scale, cells.bounds, y, served)
    _parallel_points(work, by_cells, start, stop)


def _parallel_points(work, by_cells, start, stop):
    if start < stop:
        _parallel(work, by_cells.starts[start], by_cells.ends[stop - 1], GRAIN)


def _parallel(work, start, stop, grain=1):
    parallel_for(lambda first, last: work(start + first, start + last), stop - start, grain)


def transform(x, data, v, targets, sources, sweeps, cells):
    """Take steps 2 to 4: return x moved by (1), and in which rows that is proven. The others are undefined.

    All stages go through the cells in the order of their keys, some cells at a time. Each sweep lags behind the stage before by
    its reach, the difference of two cells' keys at the cutoff along its dimension: so the cells that it needs are there. Cells
    that it needs no longer give up their places.
    """
    layers, size = [sources.keys, *(keys for keys, _ in sweeps)], int(max(1, RUN // np.prod(cells.terms)))
    reaches = cells.cutoff * cells.strides
    lags = [0, *np.cumsum(reaches)]
    ends = np.unique(np.concatenate([keys[size::size] + lag for keys, lag in zip(layers, lags, strict=True)]))
    runs = [np.array([0, *np.searchsorted(keys, ends - lag), len(keys)]) for keys, lag in zip(layers, lags, strict=True)]
    # Before a run, places are free of cells that are two reaches behind: one to the lagging sweep, and one from there.
    needed = [np.searchsorted(*each) for each in zip(layers, (ends - lag for lag in lags[:-1] + 2 * reaches), strict=False)]
    held = [(run[1:] - np.array([0, *first])).max() for run, first in zip(runs, [*needed, runs[-1][1:-1]], strict=True)]
    stages = [np.empty((count, *cells.terms)) for count in held]
    y, served = np.empty_like(x), np.empty(len(x), np.bool_)
    for of_sources, *swept in zip(*map(itertools.pairwise, runs), strict=True):
        expand(data, v, sources, cells, stages[0], *of_sources)
        for before, (_, near), out, run in zip(stages[:-1], sweeps, stages[1:], swept, strict=True):
            sweep(before, near, cells, out, *run)
        evaluate(x, targets, cells, stages[-1], y, served, *swept[-1])
    return y, served
