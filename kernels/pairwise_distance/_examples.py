"""Points for pairwise_distance: the lecture's 1,500 in a plane, larger crowds, and points from files."""

from __future__ import annotations

from typing import Any

import numpy as np

import registry
from kernels._definition.examples import Example, example_from_file

SIZES = {
    "tiny": (4, 5, 2),
    "lecture": (1500, 1500, 2),
    "medium": (2_000, 2_000, 16),
    "large": (5_000, 5_000, 16),
}
GRID = {"d": (1, 2, 3, 8, 16, 64, 128)}  # what is measured


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0, metric: str = "euclidean") -> Example:
    """Return points of a named size, (n, d) and (m, d), from the standard normal distribution."""
    n, m, d = SIZES[size]
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((count, d)).astype(dtype) for count in (n, m))
    return Example((x, y), {"metric": metric}, f"{n:,} x {m:,} points, d = {d}, {metric}")


def from_file(arrays: dict[str, np.ndarray[Any, Any]], **changes: Any) -> Example:
    """Make a call from a file's arrays: x and y by their names, or the one array of points from itself."""
    return example_from_file(registry.contract("pairwise_distance").signature, arrays, **changes)
