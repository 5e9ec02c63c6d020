"""What walks of mean shift need around their steps: coordinates, cells of walks that go on as one, and the modes they end at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

Array = np.ndarray[Any, Any]

MOST_STEPS = 64  # that are foreseen
LONGEST_STRIDE = 1 / 8  # of the bandwidth: how far a slow walk may go beyond a step
PAIRS = 2**20  # of ends and data, that are held at a time
ROUNDINGS = 8  # of coordinates, the least tolerance


class Frame(NamedTuple):
    """Coordinates for walks: from the middle of the data, in the power of two up to the bandwidth, in float32 if that serves."""

    middle: Array
    unit: float
    bandwidth: float  # in the unit
    tolerance: float  # in the unit
    exact: bool  # whether nothing may be rounded that comes in float64: a flat weight jumps
    reach: float  # the largest coordinate of the data

    @classmethod
    def of(cls, X: Array, bandwidth: float, tol: float, kernel: str) -> Frame:
        """Return the frame for data and a bandwidth."""
        mantissa, exponent = math.frexp(bandwidth)
        low, high = X.min(axis=0).astype(float), X.max(axis=0).astype(float)
        unit = math.ldexp(1, exponent - 1) if bandwidth else 1.0
        with np.errstate(over="ignore"):
            reach = float(np.max(high / 2 - low / 2) / unit)
        if not reach < 1e150:
            raise ValueError(
                f"MeanShift: bandwidth {bandwidth} is too small beside the width of the data, {np.max(high - low):g}"
            )
        exact = kernel == "flat" and X.dtype == float
        return cls(low / 2 + high / 2, unit, 2 * mantissa, 2 * mantissa * tol, exact, reach)

    def enter(self, X: Array) -> Array:
        """Return points in these coordinates."""
        z = (X - self.middle) / self.unit
        reach = max(self.reach, float(np.abs(z).max()))
        fine = ROUNDINGS * np.finfo(np.float32).eps * reach <= self.tolerance
        return z.astype(np.float32) if fine and not self.exact else z

    def leave(self, z: Array) -> Array:
        """Return points in the caller's coordinates, in float64."""
        return z * self.unit + self.middle

    def rounding(self, z: Array) -> float:
        """Return how far rounding may move points."""
        return float(np.finfo(z.dtype).eps) * max(self.reach, float(np.abs(z).max(initial=0)))

    def edge(self, z: Array) -> float:
        """Return the edge of the cells in which walks are joined: the tolerance, or some roundings if those are more."""
        return max(self.tolerance, ROUNDINGS * self.rounding(z))


@dataclass
class Walks:
    """Walks from some places: where they are, which of them go on as one, and which are not at rest."""

    z: Array  # where each walk is; one that has joined another stays behind
    joined: Array  # the walk that each goes on as
    moving: Array  # the numbers of those not at rest
    last: Array  # the last step of each that moves
    went: Array  # and how it was walked
    edge: float  # of the cells in which walks are joined
    rounding: float

    @classmethod
    def of(cls, seeds: Array, frame: Frame) -> Walks:
        """Return walks that begin at some places, which they keep for their own."""
        every = np.arange(len(seeds))
        last, went = np.zeros((2, *seeds.shape))
        return cls(seeds, every.copy(), every, last, went, frame.edge(seeds), frame.rounding(seeds))

    def join(self) -> None:
        """Let those that move and are in one cell go on as one."""
        if len(self.moving):
            first, cell = cells(self.here, self.edge)
            self.joined[self.moving] = self.moving[first][cell]
            self.moving, self.last, self.went = self.moving[first], self.last[first], self.went[first]

    def __sizeof__(self) -> int:
        """Return how many bytes they take: so dask knows what it moves, and what it holds."""
        return sum(each.nbytes for each in (self.z, self.joined, self.moving, self.last, self.went))

    @property
    def here(self) -> Array:
        """Where those are that move."""
        here: Array = self.z[self.moving]
        return here

    def advance(self, moved: Array, bandwidth: float, kernel: str) -> None:
        """Walk from here to where a step leads, or beyond; who has come to rest moves no more."""
        shift = (moved - self.here).astype(float)
        length, ahead = np.sqrt((shift**2).sum(axis=1)), steps_ahead(self.went, self.last - shift)
        longest, most = LONGEST_STRIDE * bandwidth, ahead if kernel == "gaussian" else 1
        stride = np.clip(longest / np.maximum(length, longest / MOST_STEPS), 1, most)
        went = shift * stride[:, None]
        self.z[self.moving] += went.astype(self.z.dtype)
        goes_on = (length * ahead > self.edge) & (length > self.rounding)
        self.moving, self.last, self.went = self.moving[goes_on], shift[goes_on], went[goes_on]

    @property
    def ends(self) -> Array:
        """Where all walks are, those that go on as another with it."""
        ends: Array = self.z[settled(self.joined)]
        return ends


def cells(z: Array, edge: float) -> tuple[Array, Array]:
    """Return the first of the points in each cell that holds any, and the cell of each point, in n log n time.

    Cells are numbered in the order of their places. Their walls lie symmetrically about the origin.
    """
    key, room = np.zeros(len(z), np.int64), 1
    for column in np.floor(z.T.astype(float) / (edge or 1.0)):
        number = (column - column.min()).astype(np.int64)
        span = int(number.max()) + 1
        if room * span >= 2**63:
            key, number = (np.unique(values, return_inverse=True)[1] for values in (key, number))
            room, span = len(z), len(z)
        key, room = key * span + number, room * span
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    return first, cell


def tree(points: Array) -> Any:
    """Return a tree for searches by distance, built in n log n time also where many points coincide."""
    return cKDTree(points, balanced_tree=False, compact_nodes=False)


def distinct(X: Array, weights: Array | None) -> tuple[Array, Array, Array]:
    """Return the first of all equal rows, in the order of their coordinates, which of these each row is, and their weights."""
    order = np.lexsort(X.T)
    ordered, new = X[order], np.ones(len(X), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    which = np.empty(len(X), np.int64)
    which[order] = np.cumsum(new) - 1
    return order[new], which, np.bincount(which, weights).astype(float)


def mass_within(ends: Array, data: Array, weights: Array | None, radius: float) -> Array:
    """Return the weight of the data within a radius of each end, or their number; some millions of pairs at a time."""
    near = tree(data)
    counts: Array = near.query_ball_point(ends, radius, return_length=True)
    if weights is None:
        return counts
    sums = np.zeros(len(ends))
    for some in np.split(np.arange(len(ends)), np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS)) + 1):
        found = near.query_ball_point(ends[some], radius)
        index = np.concatenate([np.asarray(each, np.int64) for each in found])
        sums[some] = np.bincount(np.repeat(np.arange(len(some)), counts[some]), weights[index], len(some))
    return sums


def one_of_each_cell(ends: Array, edge: float) -> Array:
    """Return the first of the ends in each cell, in float64."""
    first: Array = ends[cells(ends, edge)[0]].astype(float)
    return first


def modes(ends: Array, counts: Array, radius: float, everywhere: bool) -> Array:
    """Return the ends of walks that have no better one within a radius, best first, as scikit-learn does; shape (modes, d).

    An end is better that has more of the data within the radius (`mass_within`), or else larger coordinates. Ends without any
    data are left out, unless the kernel reaches `everywhere`.
    """
    if not everywhere:
        ends, counts = ends[counts > 0], counts[counts > 0]
    ends = ends[np.lexsort((*ends.T[::-1], counts))[::-1]]
    if not len(ends):
        return ends
    near = tree(ends)
    alone = near.query_ball_point(ends, radius, return_length=True) == 1
    kept = alone.copy()
    left = ~alone
    for i in np.flatnonzero(left):
        if left[i]:
            left[near.query_ball_point(ends[i], radius)] = False
            kept[i] = True
    best: Array = ends[kept]
    return best


def nearest(points: Array, modes: Array, radius: float) -> Array:
    """Return the number of the mode nearest to each point, or -1 where that is beyond a radius."""
    distances, labels = tree(modes).query(points)
    return np.where(distances <= radius, labels.astype(np.int64), -1)


def steps_ahead(went: Array, change: Array) -> Array:
    """Return how many steps like its next one a walk has yet to go: at least 1, which is what a first step gets.

    A step shrinks by `change` on the way `went`. If it shrinks on at that rate, the walk ends where it is 0 (Barzilai and
    Borwein 1988, equation 5).
    """
    along, squared = (went * change).sum(axis=1), (went**2).sum(axis=1)
    ahead = np.where(squared > 0, np.inf, 0)
    np.divide(squared, along, out=ahead, where=along > 0)
    return np.clip(ahead, 1, MOST_STEPS)


def settled(joined: Array) -> Array:
    """Return the last walk of each chain of walks that joined one another."""
    while (joined[joined] != joined).any():
        joined = joined[joined]
    return joined
