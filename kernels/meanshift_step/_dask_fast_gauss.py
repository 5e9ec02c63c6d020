"""Steps of dask arrays by a fast Gauss transform: blocks tell each other coefficients of cells, and no points.

All blocks share one lattice of cells, which the extent of all points, the bandwidth and a sample of the data say. The stages are
those of `_fast_gauss`:

1. Each block sorts its points by cells.
2. Each block of data computes the moments of its cells. They are merged in a tree, cell by cell: moments are sums.
3. They are translated once, to the cells that hold points of any block.
4. Each block of points evaluates the local expansions of its cells.

So a block sends at most as many coefficients as its data fill cells, and however crowded the cells are, the work is linear in the
points. Points for which the bounds of the expansions' errors are no proof meet all data (`_dask_rest`): few or none if the data
are crowded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels._dask.blocks import memory_limit
from kernels._dask.trees import FAN, merged
from kernels._dispatch.neutral import in_neutral_state
from kernels.meanshift_step import _dask_rest
from kernels.meanshift_step._dask_weights import parted
from kernels.meanshift_step._fast_gauss import (
    Sorted,
    best_lattice,
    ends_of,
    evaluate,
    expand,
    most_cells,
    neighbours,
    sample,
    sort,
    sweep,
)

NOT_CROWDED = "the data are not crowded: take method='tiles', or method='ring'"
NO_MEMORY = "give workers more memory, or take method='ring', which holds no cells, and takes all pairs"


class Plan(NamedTuple):
    """What every block has to know: whether no point moves at all, and the lattice, if its cells have numbers."""

    still: bool
    cells: Any
    targets: int
    sources: int


class Coefficients(NamedTuple):
    """Of the cells with these keys, which ascend: shapes (cells,) and (cells, [p], [p], p)."""

    keys: Any
    values: Any


def step(x: Any, bandwidth: float, data: Any) -> Any:
    """Return x, a dask array of NumPy blocks of float32, whole rows in up to three dimensions, moved towards data.

    The data may have a column of weights.
    """
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    name = f"meanshift_step-fast-gauss-{tokenize(x, bandwidth, data)}"
    points = [(x.name, i, 0) for i in range(x.numblocks[0])]
    others = [(data.name, j, 0) for j, rows in enumerate(data.chunks[0]) if rows]
    graph: dict[Any, Any] = {}

    def for_each(what: str, function: Any, blocks: list[Any], *arguments: Any) -> list[Any]:
        keys = [(f"{name}-{what}", i) for i in range(len(blocks))]
        graph.update({key: (function, block, *arguments) for key, block in zip(keys, blocks, strict=True)})
        return keys

    d = x.shape[1]
    full = [block for block, rows in zip(points, x.chunks[0], strict=True) if rows]
    every = list(dict.fromkeys([*full, *others]))
    plan = f"{name}-plan"
    extent = merged(graph, f"{name}-hull", for_each("extent", _extent, every, d), _hull)
    look = merged(graph, f"{name}-total", for_each("look", _look, others, d, len(others)), _looks)
    graph[plan] = (_plan, extent, look, bandwidth, len(x), len(data))
    by_cells = dict(zip(every, for_each("sorted", _sorted, every, plan, d), strict=True))
    moments = [(f"{name}-moments", j) for j in range(len(others))]
    graph.update({key: (_moments, block, by_cells[block], plan, d) for key, block in zip(moments, others, strict=True)})
    targets = merged(graph, f"{name}-union", for_each("cells", _cells, [by_cells[block] for block in full]), _union)
    graph[f"{name}-local"] = (_local, merged(graph, f"{name}-sum", moments, _sum, plan), targets, plan)
    steps = f"{name}-steps"
    for block in points:
        graph[steps, *block[1:]] = (_moved, block, by_cells.get(block), f"{name}-local", plan)
    layers = HighLevelGraph.from_collections(steps, graph, dependencies=[x] if data is x else [x, data])
    kind = {"chunks": x.chunks, "meta": x._meta}
    return _dask_rest.finish(da.Array(layers, steps, **kind), data, bandwidth, **kind)


def _extent(points: Any, d: int) -> Any:
    points, _ = parted(points, d)
    return np.array(ends_of([points])) if len(points) else np.outer([np.inf, -np.inf], np.ones(d))


def _hull(extents: list[Any]) -> Any:
    return np.stack([np.min([low for low, _ in extents], axis=0), np.max([high for _, high in extents], axis=0)])


def _look(data: Any, d: int, blocks: int) -> tuple[float, Any]:
    data, v = parted(data, d)
    return float(len(data) if v is None else v.sum(dtype=float)), sample(data, blocks).copy()


def _looks(looks: list[tuple[float, Any]]) -> tuple[float, Any]:
    return sum(mass for mass, _ in looks), np.concatenate([some for _, some in looks])


@in_neutral_state
def _plan(extent: Any, look: tuple[float, Any], bandwidth: float, targets: int, sources: int) -> Plan:
    (low, high), (mass, some) = extent, look
    if not (mass and (high - low).max()):
        return Plan(True, None, targets, sources)
    return Plan(False, best_lattice(low, high, bandwidth, mass, some, targets + sources), targets, sources)


@in_neutral_state
def _sorted(points: Any, plan: Plan, d: int) -> Sorted | None:
    points, _ = parted(points, d)
    return None if plan.cells is None else sort(points, plan.cells)


def _cells(by_cells: Sorted | None) -> Any:
    return None if by_cells is None else by_cells.keys


def _union(keys: list[Any]) -> Any:
    return None if keys[0] is None else np.unique(np.concatenate(keys))


def _moments(data: Any, by_cells: Sorted | None, plan: Plan, d: int) -> Coefficients | None:
    if by_cells is None:
        return None
    _afford(len(by_cells.keys), 1, plan)
    data, v = parted(data, d)
    values = np.empty((len(by_cells.keys), *plan.cells.terms))
    expand(np.ascontiguousarray(data), v, by_cells, plan.cells, values, 0, len(values))
    return Coefficients(by_cells.keys, values)


def _sum(parts: list[Any], plan: Plan) -> Coefficients | None:
    if parts[0] is None:
        return None
    keys = np.unique(np.concatenate([part.keys for part in parts]))
    _afford(len(keys), FAN + 1, plan)
    values = np.zeros((len(keys), *plan.cells.terms))
    for part in parts:
        values[np.searchsorted(keys, part.keys)] += part.values
    return Coefficients(keys, values)


def _local(sources: Coefficients | None, targets: Any, plan: Plan) -> Coefficients | None:
    if sources is None:
        return None
    cells = plan.cells
    sweeps = neighbours(sources.keys, targets, cells.strides, cells.cutoff)
    number = max(len(keys) for keys, _ in sweeps)
    if number > _most(plan) and number * int(np.prod(cells.terms)) * cells.cutoff > plan.targets * plan.sources:
        return None  # to sum all pairs takes less time
    _afford(number, 3, plan)
    values = sources.values
    for _, near in sweeps:
        before, values = values, np.empty((len(near), *cells.terms))
        sweep(before, near, cells, values, 0, len(values))
    return Coefficients(targets, values)


@in_neutral_state
def _moved(x: Any, by_cells: Sorted | None, local: Coefficients | None, plan: Plan) -> _dask_rest.Moved:
    if plan.still or not len(x):
        return _dask_rest.moved(x, x.copy(), np.ones(len(x), bool))
    if by_cells is None or local is None:
        return _dask_rest.moved(x, np.empty_like(x), np.zeros(len(x), bool))
    values = local.values[np.searchsorted(local.keys, by_cells.keys)]
    y, served = np.empty_like(x, order="C"), np.empty(len(x), bool)
    evaluate(np.ascontiguousarray(x), by_cells, plan.cells, values, y, served, 0, len(values))
    return _dask_rest.moved(x, y, served)


def _most(plan: Plan) -> Any:
    return most_cells(plan.targets + plan.sources, plan.cells)


def _afford(number: int, copies: int, plan: Plan) -> None:
    """Refuse cells that are not worth their coefficients, or so many copies of them that they do not fit a worker."""
    needed, most = copies * number * 8 * int(np.prod(plan.cells.terms)), memory_limit() * _dask_rest.SHARE
    crowded = number <= _most(plan)
    if not crowded or needed > most:
        raise MemoryError(
            f"meanshift_step: method fast_gauss: {number:,} cells for {plan.targets:,} points and {plan.sources:,} data, with "
            f"{plan.cells.p} coefficients in each dimension, need {needed / 2**20:,.0f} MiB, and a worker may take "
            f"{most / 2**20:,.0f} MiB; {NO_MEMORY if crowded else NOT_CROWDED}"
        )
