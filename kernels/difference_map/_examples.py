"""Stacks of pictures for difference_map: the latents that DiffEdit compares, pictures, and stacks from files."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels._definition.examples import Example

# Shapes (s, c, h, w). DiffEdit compares ten noise predictions for latents of four channels; "large" is pictures.
SIZES = {"tiny": (2, 3, 4, 4), "lecture": (10, 4, 64, 64), "medium": (8, 3, 256, 256), "large": (8, 3, 512, 512)}
GRID = {"s": (2, 4, 8, 10), "c": (1, 3, 4)}  # what is measured: channels as pictures and latents have them


def of_extents(rng: np.random.Generator, extents: dict[str, int]) -> dict[str, Any]:
    """Return stacks that differ more in some places than in others, so that the range is no mere rounding in long sums."""
    shape = tuple(extents[extent] for extent in ("s", "c", "h", "w"))
    b = rng.standard_normal(shape, np.float32)
    return {"a": b + rng.uniform(0.2, 1, shape[2:]).astype(np.float32) * rng.standard_normal(shape, np.float32), "b": b}


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0) -> Example:
    """Return two stacks of a named size."""
    shape = SIZES[size]
    drawn = of_extents(np.random.default_rng(seed), dict(zip("schw", shape, strict=True)))
    return Example((drawn["a"].astype(dtype), drawn["b"].astype(dtype)), {}, "x".join(map(str, shape)))


def from_file(arrays: dict[str, np.ndarray[Any, Any]], *, sample: int = 0, dtype: str = "float32", seed: int = 0) -> Example:
    """Make a call from a file's arrays `a` and `b`, each of four extents."""
    if not {"a", "b"} <= arrays.keys():
        raise ValueError(f"difference_map: the file holds {', '.join(sorted(arrays))}; expected a and b")
    a, b = arrays["a"], arrays["b"]
    if a.ndim != 4 or a.shape != b.shape:
        raise ValueError(f"difference_map: the file holds arrays of shape {a.shape} and {b.shape}; expected two of (s, c, h, w)")
    if sample and len(a) > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(len(a), sample, replace=False))
        a, b = a[chosen], b[chosen]
    return Example((a.astype(dtype), b.astype(dtype)), {}, "x".join(map(str, a.shape)))
