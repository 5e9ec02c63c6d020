"""For which points of a tile a gaussian's reach is proven, where others than the points are the data, or the data have weights.

What is beyond the reach changes a point by at most (1) of `_cutoff`, in which W is at least the weight of any datum. So each
point is shown a few data, the heaviest in its cell of space and in each cell beside it, until one is near enough for the proof.
How a datum is found does not matter: it proves by its distance and its own weight.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from kernels._arrays import to_numpy
from kernels._dispatch.neutral import in_neutral_state

EDGE = 2.0  # of a cell, in bandwidths
NEAREST = 5.0  # bandwidths: how far a datum may be that proves the reach; one in the same cell always does
STRIDES = (1, 2**21, 2**42)  # of a cell's key: two cells of one key are 2^20 cells apart, and harm no proof


@in_neutral_state
def served(x: Any, y: Any, data: Any, v: Any, bandwidth: float, cutoff: float) -> Any:
    """Return for which points, moved to y by the data of their tile, the cutoff is proven.

    Shapes: x and y (n, d), data (m, d), their weights v, at most 1, (m,), or None for weights of 1; the result (n,). The cutoff
    is in bandwidths.
    """
    unit = float(np.finfo(to_numpy(x[:0]).dtype).eps) / 2
    points, moved, others = (to_numpy(each).astype(float) for each in (x, y, data))
    proven = np.zeros(len(points), bool)
    if not len(others):
        return proven

    def length(differences: Any) -> Any:
        return np.sqrt(((differences / bandwidth) ** 2).sum(axis=1))

    # The move is rounded, by less than a cutoff.
    most = math.exp(-cutoff * cutoff / 2) * (2 * cutoff + length(moved - points))
    strides = np.array(STRIDES[: points.shape[1]])
    keys = [(np.floor(each / (EDGE * bandwidth)).astype(np.int64) * strides).sum(axis=1) for each in (points, others)]
    masses = np.ones(len(others)) if v is None else to_numpy(v).astype(float)
    heaviest_first = np.argsort(-masses, kind="stable")
    cells, first = np.unique(keys[1][heaviest_first], return_index=True)
    first = heaviest_first[first]
    left = np.arange(len(points))
    for steps in itertools.product((0, 1, -1), repeat=points.shape[1]):
        at = np.searchsorted(cells, keys[0][left] + strides @ steps)
        shown = first[np.minimum(at, len(cells) - 1)]
        near = most[left] <= unit / 2 * masses[shown] * np.exp(-(length(others[shown] - points[left]) ** 2) / 2)
        proven[left[near]] = True
        left = left[~near]
    return proven
