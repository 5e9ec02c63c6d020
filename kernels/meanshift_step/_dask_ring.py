"""Steps of dask arrays in which each block of points meets each block of data: for any kernel, and any data.

A block of points is at rest, with sums for its points (`_partial`). The blocks of data come to it one after another, and each
block of points begins elsewhere among them: workers ask for different ones at any time, as in a ring. So a worker holds a few
blocks at a time, whatever the number of blocks. The tasks are as many as pairs of blocks.
"""

from __future__ import annotations

from typing import Any

from kernels._dask.blocks import memory_named
from kernels.meanshift_step import _partial
from kernels.meanshift_step._dask_weights import parted

CHANGE = "rechunk x and data into smaller blocks"


def step(x: Any, bandwidth: float, data: Any, kernel: str) -> Any:
    """Return x, a dask array of whole rows, moved towards data, which may have a column of weights."""
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    token = tokenize(x, bandwidth, data, kernel)
    adding, moving = f"meanshift_step-ring-add-{token}", f"meanshift_step-ring-move-{token}"
    points = [(x.name, i, 0) for i in range(x.numblocks[0])]
    others = [(data.name, j, 0) for j, rows in enumerate(data.chunks[0]) if rows]
    graph: dict[Any, Any] = {}
    for i, block in enumerate(points):
        first, sums = i * len(others) // len(points), None
        for j, other in enumerate(others[first:] + others[:first]):
            graph[adding, i, j] = (_add, f"block {i} of {len(points)}", sums, block, other, bandwidth, kernel)
            sums = (adding, i, j)
        graph[moving, i, 0] = (_partial.step, sums, block)
    layers = HighLevelGraph.from_collections(moving, graph, dependencies=[x] if data is x else [x, data])
    return da.Array(layers, moving, x.chunks, meta=x._meta)


def _add(what: str, sums: Any, x: Any, data: Any, bandwidth: float, kernel: str) -> Any:
    with memory_named(f"meanshift_step: {what}, {len(x):,} points against {len(data):,} data", CHANGE):
        data, v = parted(data, x.shape[1])
        return _partial.added(sums, x, data, bandwidth, kernel, v)
