"""Mean shift of dask arrays: walks whose points, steps and labels stay on the workers, block by block.

Each step is persisted before the next one begins. Blocks whose walks are all at rest are left out of it. The client gets numbers
of walks, of each block one end in each cell of the tolerance, and how many data are near each such end: from these it finds the
modes as one process does.

Where a worker can hold all the data, it gets them once, and moves its share of the walks by the variant that is the best for
that. Otherwise each step is one of dask arrays, which exchanges the data among the workers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import dask
import dask.array as da
import numpy as np
from array_api_compat import is_dask_array
from scipy.spatial.distance import cdist
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

import registry
from kernels._arrays import to_numpy
from kernels._bandwidth import DTYPES, estimate_bandwidth
from kernels._dask.blocks import best, memory_named, whole_rows, without_empty
from kernels._walks import Frame, Walks, mass_within, nearest, one_of_each_cell
from kernels.meanshift_step._dask_tiles import COPIES, SHARE, expandable

Array = Any  # of dask
Block = np.ndarray[Any, Any]

PROCESS = 320 * 2**20  # bytes that a worker's process takes anyway: up to 300 MiB were measured once kernels are compiled


def fit(model: Any, X: Array, sample_weight: Any) -> None:
    """Fit a `MeanShift` to a dask array.

    Raises
    ------
    ValueError
        With one line that says what does not go with dask arrays, or is wrong with X.
    MemoryError
        If workers have too little memory, or walks end in too many places.
    """
    unfit = {
        "sample_weight": sample_weight is not None,
        "history": model.history,
        "callback": model.callback is not None,
        "seeding='grid'": isinstance(model.seeding, str) and model.seeding == "grid",
    }
    for name in (name for name, given in unfit.items() if given):
        raise ValueError(f"MeanShift: {name} does not go with dask arrays: leave it out, or give X as a NumPy array")
    X = _small_enough(_checked(model, X))
    model.bandwidth_ = float(model.bandwidth or estimate_bandwidth(X, kernel=model.kernel))
    corners = _corners(X)
    model._frame = frame = Frame.of(corners, model.bandwidth_, model.tol, model.kernel)
    corners = frame.enter(corners)
    model._weights, model._data = None, _entered(X, frame, corners.dtype).persist()
    seeds, edge = model._seeds(X), frame.edge(corners)
    if not isinstance(seeds, da.Array):
        seeds = da.from_array(seeds, chunks=-1)
    with model._bar(len(seeds)) as tell:
        ends, model.n_iter_ = _blur(model, edge, tell) if model.blurring else _walk(model, seeds, tell)
    alone = one_of_each_cell(np.concatenate(_of_each(functools.partial(one_of_each_cell, edge=edge), ends)), edge)
    if alone.nbytes > _workers()[1]:
        raise MemoryError(
            f"MeanShift: {len(alone):,} walks ended apart after {model.n_iter_} steps, more than a task can hold; take more "
            f"steps (max_iter={model.max_iter}), a larger bandwidth, or workers with more memory"
        )
    near = functools.partial(mass_within, alone, weights=None, radius=frame.bandwidth)
    model._keep_modes(alone, sum(_of_each(near, model._data)), X.dtype)
    if model.labels == "attractor" and not model.blurring and seeds is not model._data:
        ends, _ = _walk(model, model._data)
    model.labels_ = _to_modes(model, model._data if model.labels == "nearest" else ends).persist()


def predict(model: Any, X: Any) -> Any:
    """Return the labels of a dask array as one, lazily where no walk among a dask array's data is needed; else NumPy's as one."""
    if not is_dask_array(X):
        X = validate_data(model, X, dtype=DTYPES, reset=False)
        return predict(model, da.from_array(X, chunks=-1)).compute()
    X = _checked(model, X, reset=False)
    if not is_dask_array(model._data):
        return _labels(_alone, X, dask.delayed(model, traverse=False))
    if model.labels == "nearest":
        return _to_modes(model, _entered(X, model._frame, X.dtype))
    if model.blurring:
        raise ValueError("MeanShift: after blurring of dask arrays, predict would search all the data; labels='nearest' does not")
    z = _entered(X, model._frame, model._frame.enter(_corners(X)).dtype)
    return _to_modes(model, _walk(model, z)[0])


def transform(model: Any, X: Array) -> Array:
    """Return the distance of each point from each of the modes, lazily."""
    X, modes = _checked(model, X, reset=False), model.cluster_centers_
    distances = functools.partial(_distances, modes, X.dtype)
    return X.map_blocks(distances, chunks=(X.chunks[0], (len(modes),)), dtype=X.dtype, meta=np.empty((0, 0), X.dtype))


def _walk(model: Any, seeds: Array, tell: Callable[[int], None] | None = None) -> tuple[Array, int]:
    """Walk until all are at rest. Return where the walks end, in the blocks of the seeds, and the steps of the longest."""
    frame, dtype, (rows, _) = model._frame, np.result_type(seeds.dtype, model._data.dtype), seeds.chunks
    shares, steps, d = _shares(model._data), 0, seeds.shape[1]
    step, seeds = _stepper(model, model._data.astype(dtype), shares), _shared(seeds, shares)
    begin = functools.partial(walks_begin, frame, dtype)
    walks = list(dask.persist(*(dask.delayed(begin)(block) for block in _blocks(seeds))))
    moving = _counts(walks)
    while frame.bandwidth and steps < model.max_iter and any(moving):
        alive = [i for i, count in enumerate(moving) if count]
        moved = _blocks(step(_joined([dask.delayed(walks_here)(walks[i]) for i in alive], [moving[i] for i in alive], d, dtype)))
        advanced = functools.partial(walks_advance, frame.bandwidth, model.kernel)
        ahead = dask.persist(*(dask.delayed(advanced)(walks[i], there) for i, there in zip(alive, moved, strict=True)))
        for i, each, count in zip(alive, ahead, _counts(ahead), strict=True):
            walks[i], moving[i] = each, count
        steps += 1
        if tell is not None:
            tell(sum(moving))
    ends = _joined([dask.delayed(walks_ends)(each) for each in walks], seeds.chunks[0], d, dtype)
    return _cut(ends, rows).persist(), steps


def _blur(model: Any, edge: float, tell: Callable[[int], None]) -> tuple[Array, int]:
    """Move all the data by steps towards themselves until they are at rest; return them, and the number of steps."""
    shares, steps, moving = _shares(model._data), 0, len(model._data)
    z = _shared(model._data, shares)
    while model._frame.bandwidth and steps < model.max_iter and moving:
        moved = _stepper(model, z, shares)(z).persist()
        length = da.sqrt(((moved - z).astype(float) ** 2).sum(axis=1))
        moving, z, steps = int((length > edge).sum().compute()), moved, steps + 1
        tell(moving)
    return _cut(z, model._data.chunks[0]), steps


def _shares(data: Array) -> int | None:
    """Return in how many blocks points move if each worker holds all the data: one for each thread, and a worker keeps its own.

    None if the data, and a share of the walks, are too large for that.
    """
    threads, memory = _workers()
    return threads if COPIES * data.nbytes + _walk_bytes(data) * len(data) / threads <= memory else None


def _walk_bytes(points: Array) -> int:
    """Return how many bytes a task takes for each walk while it advances: as many were measured in 1 to 8 dimensions."""
    dimensions: int = points.shape[1]
    return 8 * (6 + 12 * dimensions)


def _small_enough(X: Array) -> Array:
    """Return points in blocks whose walks a task can hold: larger ones are cut."""
    most = _workers()[1] / _walk_bytes(X)
    rows = tuple(part for count in X.chunks[0] for part in _evenly(count, math.ceil(count / most)))
    return X if rows == X.chunks[0] else _cut(X, rows)


def _evenly(count: int, parts: int) -> tuple[int, ...]:
    """Return a number of rows as so many parts, none of them empty."""
    return tuple(np.diff(np.linspace(0, count, max(1, min(parts, count)) + 1).astype(int)).tolist())


def _stepper(model: Any, data: Array, shares: int | None) -> Callable[[Array], Array]:
    """Return a function that moves dask arrays by a step towards the data."""
    bandwidth, kernel, selector = model._frame.bandwidth, model.kernel, model.variant
    if shares is None:
        step, call = registry.get("meanshift_step", "dask"), {"kernel": kernel, "selector": selector, "check_finite": False}
        return lambda z: step(z, bandwidth, **call) if z is data else step(z, bandwidth, data=data, **call)
    everything, near = data.rechunk(-1).persist(), functools.partial(walks_step, selector, bandwidth, kernel)
    return lambda z: z.map_blocks(near, everything, dtype=z.dtype, meta=z._meta)


def _shared(z: Array, shares: int | None) -> Array:
    """Return points in so many blocks of equal size, or fewer; as they are, if the number is None."""
    return z if shares is None else _cut(z, _evenly(len(z), shares))


def _workers() -> tuple[int, float]:
    """Return how many tasks run at a time, and how many bytes each may take, so that no worker spills, or waits for memory.

    Without workers one task takes all cores, and the data are in the memory of this process.

    Raises
    ------
    MemoryError
        If a worker has no more than its process takes: dask would let it wait for ever.
    """
    try:
        from distributed import default_client

        workers = default_client().scheduler_info(n_workers=-1)["workers"].values()
    except (ImportError, ValueError):
        return 1, np.inf
    threads = [worker["nthreads"] for worker in workers]
    limits = [worker["memory_limit"] or np.inf for worker in workers]
    if SHARE * min(limits, default=np.inf) <= PROCESS:
        raise MemoryError(
            f"MeanShift: a worker may take {min(limits) / 2**20:,.0f} MiB, of which its process alone takes about "
            f"{PROCESS / 2**20:,.0f} MiB; give workers more than {PROCESS / SHARE / 2**20:,.0f} MiB, or start fewer of them"
        )
    memory = [(SHARE * limit - PROCESS) / count for limit, count in zip(limits, threads, strict=True)]
    return max(1, sum(threads)), min(memory, default=np.inf)


def _checked(model: Any, X: Any, reset: bool = True) -> Array:
    """Return points as a dask array of float32 or float64 whose blocks hold whole rows, and at least one."""
    if X.ndim != 2:
        raise ValueError(f"MeanShift: argument X: expected rows and columns, got a dask array of shape {X.shape}")
    if np.isnan(X.shape).any():
        raise ValueError("MeanShift: argument X: its chunks have unknown sizes; call X.compute_chunk_sizes() first")
    validate_data(model, np.zeros((min(1, X.shape[0]), X.shape[1])), reset=reset)  # the shape; blocks are checked by their tasks
    return without_empty(whole_rows(X if X.dtype in DTYPES else X.astype(float)))


def _blocks(array: Array) -> list[Any]:
    """Return the blocks of an array that has one column of them, as delayed objects."""
    return list(array.to_delayed()[:, 0])


def _of_each(function: Callable[[Block], Block], array: Array) -> tuple[Block, ...]:
    """Compute a function of each block, for results that are small."""
    results: tuple[Block, ...] = dask.compute(*(dask.delayed(function)(block) for block in _blocks(array)))
    return results


def _counts(walks: Any) -> list[int]:
    """Return how many walks of each block move."""
    return list(dask.compute(*(dask.delayed(walks_count)(each) for each in walks)))


def _joined(blocks: list[Any], rows: Any, d: int, dtype: Any) -> Array:
    """Return an array of delayed blocks."""
    meta = np.empty((0, 0), dtype)
    return da.concatenate([da.from_delayed(each, (count, d), meta=meta) for each, count in zip(blocks, rows, strict=True)])


def _cut(array: Array, rows: tuple[int, ...]) -> Array:
    """Return an array in blocks of so many rows."""
    return array.rechunk((rows, -1), method="tasks")


def _entered(X: Array, frame: Frame, dtype: Any) -> Array:
    return X.map_blocks(functools.partial(_enter, frame, dtype), dtype=dtype, meta=np.empty((0, 0), dtype))


def _corners(X: Array) -> Block:
    """Return the least and the largest coordinates, shape (2, d); refuse points that are not finite."""
    ends = np.concatenate(_of_each(_corners_of, X))
    return np.stack([ends.min(axis=0), ends.max(axis=0)])


def _to_modes(model: Any, places: Array) -> Array:
    """Return the number of the mode nearest to each place, or -1 where that is out of reach."""
    return _labels(functools.partial(nearest, modes=model._modes, radius=model._reach), places)


def _labels(of_block: Callable[..., Block], points: Array, *given: Any) -> Array:
    return points.map_blocks(of_block, *given, drop_axis=1, dtype=np.int64, meta=np.empty(0, np.int64))


# What tasks do. dask names a task by its function, also in the error about one whose workers were lost.


def _points(block: Any) -> Block:
    points: Block = check_array(to_numpy(block), dtype=DTYPES, input_name="X")
    return points


def _corners_of(block: Any) -> Block:
    points = _points(block)
    return np.stack([points.min(axis=0), points.max(axis=0)])


def _enter(frame: Frame, dtype: Any, block: Any) -> Block:
    return frame.enter(_points(block)).astype(dtype, copy=False)


def _alone(block: Any, model: Any) -> Block:
    labels: Block = model._labels_of(model._frame.enter(_points(block)))
    return labels


def _distances(modes: Block, dtype: Any, block: Any) -> Block:
    distances: Block = cdist(_points(block), modes).astype(dtype, copy=False)
    return distances


def walks_begin(frame: Frame, dtype: Any, block: Block) -> Walks:
    walks = Walks.of(block.astype(dtype), frame)
    walks.join()
    return walks


def walks_step(selector: str, bandwidth: float, kernel: str, points: Block, data: Block) -> Block:
    """Return points moved by a step towards all the data."""
    with (
        memory_named(f"MeanShift: a step of {len(points):,} points towards {len(data):,} data", "give workers more memory"),
        registry.avoid("meanshift_step", *([] if expandable(points, data, bandwidth) else ["fast_gauss"])),
    ):
        moved: Block = best("meanshift_step", selector)(points, bandwidth, data=data, kernel=kernel, check_finite=False)
    return moved


def walks_advance(bandwidth: float, kernel: str, walks: Walks, moved: Block) -> Walks:
    """Return the walks after a step. What a task was given stays as it is: if a worker is lost, it is computed from again."""
    walks = deepcopy(walks)
    walks.advance(moved, bandwidth, kernel)
    walks.join()
    return walks


def walks_here(walks: Walks) -> Block:
    return walks.here


def walks_ends(walks: Walks) -> Block:
    return walks.ends


def walks_count(walks: Walks) -> int:
    return len(walks.moving)
