"""For which points of a tile a gaussian's reach is proven, where others than the points are the data.

What is beyond the reach changes a point by at most (1) of `_cutoff`, in which W is at least the weight of any datum. So each
point is shown a few data, one in its cell of space and one in each cell beside it, until one is near enough for the proof. How a
datum is found does not matter: it proves by its distance.
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
def served(x: Any, y: Any, data: Any, bandwidth: float, cutoff: float) -> Any:
    """Return for which points, moved to y by the data of their tile, the cutoff is proven.

    Shapes: x and y (n, d), data (m, d), the result (n,). The cutoff is in bandwidths.
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
    cells, first = np.unique(keys[1], return_index=True)
    left = np.arange(len(points))
    for steps in itertools.product((0, 1, -1), repeat=points.shape[1]):
        at = np.searchsorted(cells, keys[0][left] + strides @ steps)
        shown = others[first[np.minimum(at, len(cells) - 1)]]
        near = most[left] <= unit / 2 * np.exp(-(length(shown - points[left]) ** 2) / 2)
        proven[left[near]] = True
        left = left[~near]
    return proven
