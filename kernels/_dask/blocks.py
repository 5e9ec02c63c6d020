"""Blocks of dask arrays: how they are cut, and how a worker computes one."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import array_api_compat
import numpy as np

import registry

Array = Any


def whole_rows(array: Array) -> Array:
    """Return a dask array whose blocks hold whole rows."""
    return array.rechunk(dict.fromkeys(range(1, array.ndim), -1))


def without_empty(array: Array) -> Array:
    """Return a dask array without empty chunks beside others: dask takes chunks of an extent of 1 for one to broadcast."""
    return array.rechunk(tuple(tuple(chunk for chunk in chunks if chunk) or (0,) for chunks in array.chunks))


def namespace(block: Array) -> Any:
    """Return the namespace of a block's library."""
    return array_api_compat.array_namespace(block)


@contextmanager
def memory_named(what: str, change: str) -> Iterator[None]:
    """Let an error for want of memory say for what it was wanted, and what to change."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"{what}: out of memory ({error}); {change}") from error


def memory_limit() -> float:
    """Return how many bytes the worker that runs this task may take; infinity outside of a worker, and without a limit."""
    try:
        from distributed import get_worker

        return float(get_worker().memory_manager.memory_limit or np.inf)
    except (ImportError, ValueError):
        return float(np.inf)


def compute(operation: str, selector: str, arrays: Mapping[str, Array], like: Array, **parameters: Any) -> Array:
    """Return what an operation gives of arrays whose blocks go together one by one, each computed by the registry on its worker.

    Parameters
    ----------
    operation, selector : str
        What `registry.get` takes.
    arrays : mapping
        The operation's dask arrays by name, all with the same numbers of blocks.
    like : dask array
        What the result has the chunks, the dtype and the kind of blocks of.
    **parameters
        The operation's other arguments.
    """
    import dask.array as da

    call = on_blocks(operation, selector, tuple(arrays), parameters)
    return da.map_blocks(call, *arrays.values(), name=None, chunks=like.chunks, dtype=like.dtype, meta=like._meta)


def on_blocks(operation: str, selector: str, names: Sequence[str], parameters: Mapping[str, Any]) -> Any:
    """Return a function of blocks that a worker gives its registry, as the arrays of these names."""
    return functools.partial(_call, operation, selector, tuple(names), dict(parameters))


def best(operation: str, selector: str) -> Any:
    """Return what computes an operation on blocks, by no variant with a weaker class of error than the dask variant promises."""
    (whole,) = registry.zoo().candidates(operation, "dask")
    return registry.get(operation, selector, precision=whole.precision)


def product_of_blocks(a: Array, b: Array, selector: str) -> Array:
    """Return the product of two blocks with an axis of one before its last two, along which products are summed."""
    return best("matmul", selector)(a, b)[..., None, :, :]


def _call(operation: str, selector: str, names: Sequence[str], parameters: Mapping[str, Any], *blocks: Array) -> Array:
    return best(operation, selector)(**dict(zip(names, blocks, strict=True)), **parameters)
