"""Operands for attention: the sizes of known models, and queries, keys and values from files."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels._definition.examples import Example

# (n, m, d, e). The lecture's pictures, 64 x 64 latent pixels, look at 77 words, in 40 dimensions a head (Stable Diffusion 1.4).
SIZES = {"tiny": (4, 6, 3, 2), "lecture": (4096, 77, 40, 40), "medium": (512, 512, 64, 64), "large": (2048, 2048, 64, 64)}
GRID = {"d": (16, 40, 64, 128), "e": (16, 40, 64, 128)}  # what is measured: entries of queries and values as models have them


def example(size: str = "lecture", *, dtype: str = "float32", seed: int = 0, causal: bool = False) -> Example:
    """Return operands of a named size, entries from the standard normal distribution."""
    n, m, d, e = SIZES[size]
    rng = np.random.default_rng(seed)
    q, k, v = (rng.standard_normal(shape).astype(dtype) for shape in ((n, d), (m, d), (m, e)))
    return Example((q, k, v), {"causal": causal}, f"{n} queries, {m} keys, d = {d}, e = {e}{', causal' * causal}")


def from_file(
    arrays: dict[str, np.ndarray[Any, Any]], *, sample: int = 0, dtype: str = "float32", seed: int = 0, causal: bool = False
) -> Example:
    """Make a call from a file's arrays: `q`, `k` and `v` from a .npz that names them, else the one matrix for all three."""
    if len(arrays) == 1:
        arrays = dict.fromkeys("qkv", next(iter(arrays.values())))
    elif not {"q", "k", "v"} <= arrays.keys():
        raise ValueError(f"attention: the file holds {', '.join(sorted(arrays))}; expected one matrix, or q, k and v")
    q, k, v = (arrays[name].astype(dtype) for name in "qkv")
    if sample and len(q) > sample:
        q = q[np.sort(np.random.default_rng(seed).choice(len(q), sample, replace=False))]
    return Example((q, k, v), {"causal": causal}, f"{'x'.join(map(str, q.shape))} queries, {'x'.join(map(str, k.shape))} keys")
