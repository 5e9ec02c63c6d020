"""Operands for matmul: the lecture's sizes, and matrices from files."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels._definition.examples import Example

# Shapes (m, k, n). The lecture multiplies five images of 28 x 28 pixels, then all 50,000, by weights for ten digits.
SIZES = {"tiny": (4, 4, 4), "lecture": (5, 784, 10), "medium": (512, 512, 512), "large": (50_000, 784, 10)}


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0) -> Example:
    """Return operands of a named size, entries from the standard normal distribution."""
    m, k, n = SIZES[size]
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    return Example((a, b), {}, f"{m}x{k} @ {k}x{n}")


def from_file(arrays: dict[str, np.ndarray[Any, Any]], *, sample: int = 0, dtype: str = "float32", seed: int = 0) -> Example:
    """Make a call from a file's arrays: `a` and `b` from a .npz that names them, else the Gram matrix A A^T of the one matrix."""
    if len(arrays) == 1:
        arrays = {"a": next(iter(arrays.values()))}
    elif not {"a", "b"} <= arrays.keys():
        raise ValueError(f"matmul: the file holds {', '.join(sorted(arrays))}; expected one matrix, or a and b")
    for name in arrays.keys() & {"a", "b"}:
        if arrays[name].ndim != 2:
            raise ValueError(f"matmul: the file holds an array of shape {arrays[name].shape}; expected a matrix")
    a, b = arrays["a"], arrays.get("b")
    if sample and len(a) > sample:
        a = a[np.sort(np.random.default_rng(seed).choice(len(a), sample, replace=False))]
    a = a.astype(dtype)
    b = a.T if b is None else b.astype(dtype)
    return Example((a, b), {}, f"{'x'.join(map(str, a.shape))} @ {'x'.join(map(str, b.shape))}")
