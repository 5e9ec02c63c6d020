"""Rows for slerp: embeddings of prompts and latents of pictures, as Stable Diffusion has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels._definition.examples import Example

# Shapes: a prompt's 77 tokens in 768 dimensions, and rows of latents, 4 channels of 64 x 64.
SIZES = {"tiny": (4, 8), "lecture": (77, 768), "medium": (8, 4 * 64 * 64), "large": (64, 4 * 64 * 64)}


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0, t: float = 0.25) -> Example:
    """Return rows of a named size, entries from the standard normal distribution."""
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(SIZES[size]).astype(dtype) for _ in "ab")
    return Example((a, b, t), {}, f"{' x '.join(map(str, SIZES[size]))}, t = {t}")


def from_file(
    arrays: dict[str, np.ndarray[Any, Any]], *, sample: int = 0, dtype: str = "float32", seed: int = 0, t: float = 0.25
) -> Example:
    """Make a call from a file's arrays `a` and `b`."""
    if not {"a", "b"} <= arrays.keys():
        raise ValueError(f"slerp: the file holds {', '.join(sorted(arrays))}; expected a and b")
    a, b = (arrays[name].astype(dtype) for name in "ab")
    return Example((a, b, t), {}, f"{' x '.join(map(str, a.shape))}, t = {t}")


def of_extents(rng: np.random.Generator, extents: dict[str, int]) -> dict[str, Any]:
    """Return how far to go in a call of these extents."""
    return {"t": float(rng.integers(1, 32)) / 32}
