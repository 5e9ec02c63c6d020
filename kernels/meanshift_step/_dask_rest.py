"""Points of dask arrays that a way faster than all pairs could not serve: they alone meet all data, exactly.

A faster way moves the points of a block, and says of which it has no proof. These points of all blocks are gathered, each block
of data adds its sums for them (`_partial`), the sums are merged in a tree, and the points go back into their blocks. The tasks
are linear in blocks; where no points are left they do nothing.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from kernels._dask.blocks import memory_limit, memory_named, namespace
from kernels._dask.trees import FAN, merged
from kernels.meanshift_step import _partial
from kernels.meanshift_step._dask_weights import parted

SHARE = 0.6  # of a worker's memory, past which it spills what it holds
CHANGE = "take method='ring', which holds sums for a block of points at a time"


class Moved(NamedTuple):
    """A block's points, moved where that is proven, as an array or a list of pieces; the rows of the others, and those points."""

    y: Any
    rows: Any
    points: Any


def moved(x: Any, y: Any, served: Any) -> Moved:
    """Return points, shape (n, d), moved to y where they are served, shape (n,)."""
    rows = np.flatnonzero(~served)
    return Moved(y, rows, x[_indices(rows, x)])


def _indices(rows: Any, array: Any) -> Any:
    return namespace(array).asarray(rows, device=device(array))


class Gathered(NamedTuple):
    """Points of all blocks, and where among them those of each block begin, and the end."""

    points: Any
    starts: Any


def finish(blocks: Any, data: Any, bandwidth: float, chunks: Any, **kind: Any) -> Any:
    """Return a dask array of all points moved, those that are left over by a gaussian among all data.

    Parameters
    ----------
    blocks : dask array
        Of which each block is a `Moved`.
    data : dask array
        Of whole rows, which may have a column of weights.
    bandwidth : float
    chunks : tuple
        Of the points.
    **kind
        What else `dask.array.Array` takes to describe blocks.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    left, gathered, sums, total, rest, name = (
        f"{what}-{blocks.name}" for what in ("left", "gathered", "sums", "sum", "rest", "finished")
    )
    points = [(blocks.name, i, 0) for i in range(blocks.numblocks[0])]
    graph: dict[Any, Any] = {(left, i): (_left, block) for i, block in enumerate(points)}
    graph[gathered] = (_gathered, list(graph))
    parts = [(sums, j) for j, rows in enumerate(data.chunks[0]) if rows]
    graph.update({key: (_sums, gathered, (data.name, key[1], 0), bandwidth) for key in parts})
    graph[rest] = (_step, merged(graph, total, parts, _sum), gathered)
    graph.update({(name, i, 0): (_put, block, rest, i) for i, block in enumerate(points)})
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[blocks, data])
    return da.Array(layers, name, chunks, **kind)


def _left(block: Moved) -> Any:
    return block.points


def _gathered(left: list[Any]) -> Gathered:
    starts = np.cumsum([0, *map(len, left)])
    needed = int(starts[-1]) * 8 * (left[0].shape[1] + 2) * (FAN + 1)  # what is merged, and into what
    if needed > memory_limit() * SHARE:
        raise MemoryError(
            f"meanshift_step: {starts[-1]:,} points are too far from most data for a proof, and meet all data: their sums "
            f"need {needed / 2**20:,.0f} MiB, and a worker may take {memory_limit() * SHARE / 2**20:,.0f} MiB; {CHANGE}"
        )
    return Gathered(namespace(left[0]).concat(left), starts)


def _sums(left: Gathered, data: Any, bandwidth: float) -> Any:
    if not len(left.points):
        return None
    with memory_named(f"meanshift_step: {len(left.points):,} points that meet all data, {len(data):,} at a time", CHANGE):
        data, v = parted(data, left.points.shape[1])
        return _partial.added(None, left.points, data, bandwidth, "gaussian", v)


def _sum(parts: list[Any]) -> Any:
    return functools.reduce(functools.partial(_partial.both, kernel="gaussian"), parts)


def _step(sums: Any, left: Gathered) -> Gathered:
    return Gathered(_partial.step(sums, left.points), left.starts)


def _put(block: Moved, rest: Gathered, i: int) -> Any:
    if not len(block.rows):
        return block.y
    pieces = block.y if isinstance(block.y, list) else [block.y]
    y = namespace(pieces[0]).concat(pieces)  # a copy: what a task was given is not its own
    y[_indices(block.rows, y)] = rest.points[rest.starts[i] : rest.starts[i + 1]]
    if block.y is pieces[0]:
        return y
    ends = np.cumsum([0, *map(len, pieces)])
    return [y[ends[k] : ends[k + 1]] for k in range(len(pieces))]
