"""Weights of data in dask arrays: a column beside the coordinates, so that each block of data brings its own."""

from __future__ import annotations

from typing import Any

from kernels._dask.blocks import namespace, without_empty
from kernels._dispatch.neutral import in_neutral_state


def beside(data: Any, weights: Any) -> Any:
    """Return data, a dask array of whole rows, with a last column: each datum's weight relative to the largest."""
    import dask.array as da

    data, weights = without_empty(data), without_empty(weights)
    parts = (data, "ij", weights.rechunk((data.chunks[0],)), "i", weights.max(), "")
    return da.blockwise(_joined, "ij", *parts, adjust_chunks={"j": data.shape[1] + 1}, dtype=data.dtype, meta=data._meta)


@in_neutral_state
def _joined(data: Any, weights: Any, largest: Any) -> Any:
    return namespace(data).concat([data, (weights / (largest if largest > 0 else 1))[:, None]], axis=1)


def parted(block: Any, dimensions: int) -> tuple[Any, Any]:
    """Return the data of a block that have any weight, and their weights, or None where the block has no column of them."""
    if block.shape[1] == dimensions:
        return block, None
    v = block[:, dimensions]
    return block[v > 0, :dimensions], v[v > 0]
