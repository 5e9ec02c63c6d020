"""Blocks of dask arrays: how they are cut, and how a worker computes one."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import array_api_compat
import numpy as np

import registry
from kernels._dask.trees import FAN, merged
from kernels._dispatch.neutral import in_neutral_state

Array = Any


def recut(array: Array, chunks: Any) -> Array:
    """Return a dask array with these chunks, and as it is if it has them: dask cuts only what has one of NumPy's dtypes anew."""
    if array.chunks == chunks:
        return array
    if not isinstance(array.dtype, np.dtype):
        raise TypeError(
            f"dask arrays of {type(array._meta).__name__} blocks: expected chunks {chunks}, got {array.chunks}, and dask "
            "cannot cut them anew; rechunk before the blocks are made of NumPy's"
        )
    return array.rechunk(chunks)


def whole(array: Array, *axes: int) -> Array:
    """Return a dask array whose blocks hold all of some axes."""
    held = {axis % array.ndim for axis in axes}
    return recut(array, tuple((n,) if i in held else array.chunks[i] for i, n in enumerate(array.shape)))


def whole_rows(array: Array) -> Array:
    """Return a dask array whose blocks hold whole rows."""
    return whole(array, *range(1, array.ndim))


def without_empty(array: Array) -> Array:
    """Return a dask array without empty chunks beside others: dask takes chunks of an extent of 1 for one to broadcast."""
    return recut(array, tuple(tuple(chunk for chunk in chunks if chunk) or (0,) for chunks in array.chunks))


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


def by_rows(operation: str, selector: str, arrays: Mapping[str, Array], **parameters: Any) -> Array:
    """Return what an operation on rows, each apart from the others, gives of dask arrays (..., n) whose batches broadcast."""
    import dask.array as da

    rows = [without_empty(whole(array, -1)) for array in arrays.values()]
    axes = [tuple(range(array.ndim))[::-1] for array in rows]  # numbered from the last, as they broadcast
    like = max(rows, key=lambda array: array.ndim)
    call = on_blocks(operation, selector, tuple(arrays), parameters)
    pairs = [each for pair in zip(rows, axes, strict=True) for each in pair]
    return da.blockwise(call, max(axes, key=len), *pairs, dtype=like.dtype, meta=like._meta)


def gathered(parts: Array, axis: int, gather: Callable[[list[Array]], Array], fan: int = FAN) -> Array:
    """Return a dask array without an axis, along which blocks are made into one as a tree: `gather` takes `fan` at a time."""
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    name = f"gathered-{tokenize(parts.name, axis, gather)}"
    graph: dict[Any, Any] = {}
    for index in itertools.product(*map(range, parts.numblocks[:axis] + parts.numblocks[axis + 1 :])):
        along = [(parts.name, *index[:axis], i, *index[axis:]) for i in range(parts.numblocks[axis])]
        last = merged(graph, "-".join(map(str, [name, *index])), along, gather, fan=fan)
        graph[name, *index] = graph.pop(last, last)
    chunks = parts.chunks[:axis] + parts.chunks[axis + 1 :]
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[parts])
    return da.Array(layers, name, chunks, meta=da.utils.meta_from_array(parts._meta, ndim=len(chunks)))


@in_neutral_state
def added(blocks: list[Array]) -> Array:
    """Return the sum of blocks of one shape."""
    return functools.reduce(operator.add, blocks)


def on_blocks(operation: str, selector: str, names: Sequence[str], parameters: Mapping[str, Any]) -> Any:
    """Return a function of blocks that a worker gives its registry, as the arrays of these names.

    A list of one block stands for that block: so dask passes those of an axis that the result has not.
    """
    return functools.partial(_call, operation, selector, tuple(names), dict(parameters))


def best(operation: str, selector: str) -> Any:
    """Return what computes an operation on blocks, by no variant with a weaker class of error than the dask variant promises."""
    (whole,) = registry.zoo().candidates(operation, "dask")
    return registry.get(operation, selector, precision=whole.precision)


def _call(operation: str, selector: str, names: Sequence[str], parameters: Mapping[str, Any], *blocks: Array) -> Array:
    whole = (block[0] if isinstance(block, list) else block for block in blocks)
    return best(operation, selector)(**dict(zip(names, whole, strict=True)), **parameters)
