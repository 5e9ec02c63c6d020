"""Points of dask arrays that a way faster than all pairs could not serve: they alone meet all data, exactly.

A faster way moves the points of a block, and says of which it has no proof. These points of all blocks are gathered, each block
of data adds its sums for them (`_partial`), the sums are merged in a tree, and the points go back into their blocks. The tasks
are linear in blocks; where no points are left they do nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels._dask.blocks import memory_limit, memory_named, namespace
from kernels._dask.trees import FAN_IN, merged
from kernels.meanshift_step import _partial

SHARE = 0.6  # of a worker's memory, past which it spills what it holds
CHANGE = "take method='ring', which holds sums for a block of points at a time"


class Moved(NamedTuple):
    """A block's points, moved where that is proven; the rows of the others, and those points as they were."""

    y: Any
    rows: Any
    points: Any


def moved(x: Any, y: Any, served: Any) -> Moved:
    """Return points moved to y where they are served: x and y have shape (n, d), served (n,)."""
    xp = namespace(x)
    (rows,) = xp.nonzero(~served)
    return Moved(y, rows, x[rows])


class Gathered(NamedTuple):
    """Points of all blocks, and where among them those of each block begin, and the end."""

    points: Any
    starts: Any


def finish(graph: dict[Any, Any], name: str, blocks: list[Any], data: list[Any], bandwidth: float) -> str:
    """Add tasks to a graph that move by a gaussian what is left over, and return the name of the blocks of points, all moved.

    Parameters
    ----------
    graph : dict
        Gets the tasks.
    name : str
        What their keys begin with.
    blocks : list
        The keys of a `Moved` for each block of points.
    data : list
        The keys of the blocks of data, none of them empty.
    bandwidth : float
    """
    name += "-rest"
    left = [(f"{name}-left", i) for i in range(len(blocks))]
    graph.update({key: (_left, block) for key, block in zip(left, blocks, strict=True)})
    graph[f"{name}-gathered"] = (_gathered, left)
    sums = [(f"{name}-sums", j) for j in range(len(data))]
    graph.update({key: (_sums, f"{name}-gathered", block, bandwidth) for key, block in zip(sums, data, strict=True)})
    total = merged(graph, f"{name}-sum", sums, _sum)
    graph[f"{name}-moved"] = (_step, total, f"{name}-gathered")
    graph.update({(f"{name}-finished", i, 0): (_put, block, f"{name}-moved", i) for i, block in enumerate(blocks)})
    return f"{name}-finished"


def _left(block: Moved) -> Any:
    return block.points


def _gathered(left: list[Any]) -> Gathered:
    starts = np.cumsum([0, *map(len, left)])
    needed = int(starts[-1]) * 8 * (left[0].shape[1] + 2) * (FAN_IN + 1)  # what is merged, and into what
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
        return _partial.added(None, left.points, data, bandwidth, "gaussian")


def _sum(parts: list[Any]) -> Any:
    first, *others = parts
    for each in others if first is not None else ():
        first = _partial.both(first, each, "gaussian")
    return first


def _step(sums: Any, left: Gathered) -> Gathered:
    return left if sums is None else Gathered(_partial.step(sums, left.points), left.starts)


def _put(block: Moved, rest: Gathered, i: int) -> Any:
    if not len(block.rows):
        return block.y
    y = namespace(block.y).asarray(block.y, copy=True)  # what a task was given is not its own
    y[block.rows] = rest.points[rest.starts[i] : rest.starts[i + 1]]
    return y
