"""Predictions for guidance: embeddings of prompts and latents of pictures, as Stable Diffusion has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels._definition.examples import Example

# Shapes: a prompt's 77 tokens in 768 dimensions, and rows of latents, 4 channels of 64 x 64.
SIZES = {"tiny": (4, 8), "lecture": (77, 768), "medium": (8, 4 * 64 * 64), "large": (64, 4 * 64 * 64)}


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0, scale: float = 7.5, rescale: float = 0.7) -> Example:
    """Return predictions of a named size, entries from the standard normal distribution."""
    rng = np.random.default_rng(seed)
    arrays = tuple(rng.standard_normal(SIZES[size]).astype(dtype) for _ in range(2))
    return Example((*arrays, scale), {"rescale": rescale}, _title(SIZES[size], scale, rescale))


def from_file(
    arrays: dict[str, np.ndarray[Any, Any]],
    *,
    sample: int = 0,
    dtype: str = "float32",
    seed: int = 0,
    scale: float = 7.5,
    rescale: float = 0.7,
) -> Example:
    """Make a call from a file's arrays `unconditional` and `conditional`."""
    needed = ("unconditional", "conditional")
    if not set(needed) <= arrays.keys():
        raise ValueError(f"guidance: the file holds {', '.join(sorted(arrays))}; expected {' and '.join(needed)}")
    given = tuple(arrays[name].astype(dtype) for name in needed)
    return Example((*given, scale), {"rescale": rescale}, _title(given[0].shape, scale, rescale))


def _title(shape: tuple[int, ...], scale: float, rescale: float) -> str:
    return f"{' x '.join(map(str, shape))}, scale = {scale}, rescale = {rescale}"


def of_extents(rng: np.random.Generator, extents: dict[str, int]) -> dict[str, Any]:
    """Return the parameters of a call of these extents."""
    return {"scale": float(rng.integers(-8, 65)) / 8, "rescale": float(rng.integers(1, 9)) / 8}
