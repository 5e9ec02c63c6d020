"""Scores for softmax: the lecture's ten digits, what attention makes of long sequences, and matrices from files."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels._definition.examples import Example

# Shapes (rows, n). The lecture has five images, and a score for each of ten digits.
SIZES = {"tiny": (4, 4), "lecture": (5, 10), "medium": (1024, 1024), "large": (4096, 4096)}


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0) -> Example:
    """Return scores of a named size, from the standard normal distribution times 3."""
    rows, n = SIZES[size]
    x = 3 * np.random.default_rng(seed).standard_normal((rows, n))
    return Example((x.astype(dtype),), {}, f"{rows}x{n}")


def from_file(arrays: dict[str, np.ndarray[Any, Any]], *, sample: int = 0, dtype: str = "float32", seed: int = 0) -> Example:
    """Make a call from a file's one array, or the one named `x`; rows are sampled along the first axis."""
    x = arrays.get("x") if len(arrays) > 1 else next(iter(arrays.values()), None)
    if x is None or not x.ndim:
        raise ValueError(f"softmax: the file holds {', '.join(sorted(arrays))}; expected an array with rows, or x")
    if sample and x.ndim > 1 and len(x) > sample:
        x = x[np.sort(np.random.default_rng(seed).choice(len(x), sample, replace=False))]
    return Example((x.astype(dtype),), {}, "x".join(map(str, x.shape)))
