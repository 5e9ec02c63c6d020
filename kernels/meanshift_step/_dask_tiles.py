"""Steps of dask arrays by tiles of space: a tile gets its points, and the data within reach of them, and is moved as one block.

There are as many tiles as blocks of x, with about as many points each:

1. A sample of the points is cut in two, and each part again, at its median along its widest axis (`cut`): a k-d tree.
2. Each block sends each tile the points that lie in it, and the data that lie within reach of its box (`split`).
3. A tile is moved by the registry's best variant (`move`), and its points go back to their blocks (`merge`).

A compact kernel's reach is its bandwidth. A gaussian's is a cutoff c, in bandwidths, that holds for every point: the point is
among the data, so the weights sum to W >= 1, and its shift is at most 2 c, since what lies beyond c moves it by less than c. By
(1) of `_cutoff`, what is left out changes it, for each datum left out, by at most

    exp(-c^2 / 2) (c + 2 c) h,                                                                                              (1)

which is at most the half of u h that the class "truncated" allows for truncation.

Points narrower than the reach are in each other's reach however they are cut; where a cut finds one place alone, it parts its
points by their number. So half of all points may lie in one place, and still be as many tiles' work.

References
----------
Bentley 1975, Multidimensional binary search trees used for associative searching.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

import registry
from kernels._arrays import to_numpy
from kernels._dask.blocks import best, memory_limit, memory_named, namespace
from kernels._dask.exchange import NOTHING, apart, exchange, of_objects, row_of
from kernels._dispatch.neutral import in_neutral_state
from kernels.meanshift_step._cutoff import MARGIN

SAMPLE = 512  # points for each tile: a tile's count is then within a fifth of the mean
# Of a tile's points and data, in memory at a time while it is moved: numba_grid takes 2.6 to 4.4 for a million in up to three
# dimensions, as measured; the rest is a margin.
COPIES = 6
EXPANDED = 2048  # bytes for each point and each datum that fast_gauss may take: up to 1800 were measured
SHARE = 0.6  # of a worker's memory, past which it spills what it holds
CHANGE = "take a smaller bandwidth, give workers more memory, or rechunk x into more blocks unless all of it is within reach"


class Node(NamedTuple):
    """A cut of the tree: what is at most `value` along an axis goes left. Numbers below 0 are tiles: -1 is tile 0."""

    axis: int  # the number of dimensions stands for the points' own numbers
    value: float
    left: int
    right: int


def reach_of(kernel: str, bandwidth: float, unit: float) -> float:
    """Return how far data can matter to a point: (1) for the gaussian."""
    cutoff = 1.0
    while kernel == "gaussian" and math.exp(-cutoff * cutoff / 2) * 3 * cutoff > unit / 2:
        cutoff += 1 / 64
    return cutoff * bandwidth * MARGIN


def step(x: Any, bandwidth: float, data: Any, kernel: str, selector: str) -> Any:
    """Return x, a dask array of whole rows in up to three dimensions, moved towards data."""
    from dask.base import tokenize

    tiles, reach = x.numblocks[0], reach_of(kernel, bandwidth, float(namespace(x._meta).finfo(x.dtype).eps) / 2)
    rows = (1,) * tiles
    objects: dict[str, Any] = {"dtype": object, "meta": NOTHING}
    share = min(1.0, SAMPLE * tiles / len(x))
    some = x.map_blocks(functools.partial(sample, share), chunks=(rows, (1,)), **objects)
    cutting = functools.partial(cut, tiles, reach, len(x) if data is x else 0)
    tree = of_objects(f"tree-{tokenize(cutting)}", some, [(cutting, [(some.name, i, 0) for i in range(tiles)])], 1)

    def divided(points: Any, reach: float) -> Any:
        chunks = ((1,) * points.numblocks[0], (tiles + 1,))
        return apart(points.map_blocks(functools.partial(split, tiles, reach), tree, chunks=chunks, **objects))

    sent, here = divided(x, reach if data is x else -1.0)
    others = [] if data is x else [exchange(divided(data, reach)[0], tiles)]
    work = functools.partial(move, tiles, bandwidth, kernel, selector)
    moved = exchange(exchange(sent, tiles).map_blocks(work, *others, chunks=(rows, (tiles,)), **objects), tiles)
    return moved.map_blocks(merge, here, chunks=x.chunks, dtype=x.dtype, meta=x._meta)


def numbers(points: Any, block: int) -> Any:
    """Return a number for each point of a block, which differ, and grow from block to block."""
    return block + np.arange(len(points)) / max(1, len(points))


def sample(share: float, points: Any, block_id: tuple[int, int]) -> Any:
    """Return every so many rows of a block, as float64, with their numbers."""
    stride = max(1, int(1 / share))
    chosen = to_numpy(points[::stride]).astype(float)
    return row_of([np.concatenate([chosen, numbers(points, block_id[0])[::stride, None]], axis=1)])


def cut(tiles: int, reach: float, count: int, samples: list[Any]) -> Any:
    """Return the tree of a sample, a list of nodes of which the first is the root.

    Raises
    ------
    MemoryError
        If a tile and the data within its reach, as the sample says, are beyond what a worker may take. `count` is how many points
        there are; 0 where others than these are the data.
    """
    points = np.concatenate([block[0, 0] for block in samples])
    nodes: list[Node] = []

    def part(rows: Any, first: int, size: int) -> int:
        if size == 1:
            return -1 - first
        spread = np.ptp(points[rows, :-1], axis=0) if len(rows) else np.zeros(points.shape[1] - 1)
        axis = int(spread.argmax()) if spread.max() > 0 else points.shape[1] - 1
        along = np.sort(points[rows, axis])
        middle = len(rows) * (size // 2) // size
        value = along[middle - 1] if middle else -np.inf
        if middle and value == along[-1]:  # all would go left
            value = along[np.searchsorted(along, value) - 1]
        number = len(nodes)
        nodes.append(Node(axis, float(value), 0, 0))
        goes_left = points[rows, axis] <= value
        # Where many are equal the halves are not: tiles are shared out as the points are.
        lefts = min(size - 1, max(1, round(size * goes_left.mean()))) if len(rows) else size // 2
        left = part(rows[goes_left], first, lefts)
        right = part(rows[~goes_left], first + lefts, size - lefts)
        nodes[number] = nodes[number]._replace(left=left, right=right)
        return number

    part(np.arange(len(points)), 0, tiles)
    most = memory_limit() * SHARE
    if count and most < np.inf:
        for tile, _, rows in parted(nodes, points[:, :-1], points[:, -1], reach):
            there = int(len(rows) * count / len(points))
            needed = COPIES * there * 8 * points.shape[1]
            if needed > most:
                raise MemoryError(
                    f"meanshift_step: tile {tile} of {tiles}: about {there:,} points within its reach need {needed / 2**20:,.0f} "
                    f"MiB, and its worker may take {most / 2**20:,.0f} MiB; {CHANGE}"
                )
    return row_of([nodes])


def parted(nodes: list[Node], points: Any, own: Any, reach: float) -> Any:
    """Yield for each tile its number, which of the points lie in it, and which lie within reach of it, itself included."""
    xp = namespace(points)
    axes = [*(xp.astype(points[:, k], xp.float64) for k in range(points.shape[1])), own]

    def down(number: int, rows: Any, within: Any) -> Any:
        if number < 0:
            yield -1 - number, rows[within], rows
            return
        axis, value, left, right = nodes[number]
        along = axes[axis][rows] - value
        at_left = along <= 0
        if axis == len(axes) - 1:  # points of one place are in each other's reach
            near_left = near_right = xp.ones_like(at_left)
        else:
            near_left, near_right = at_left | (along <= reach), ~at_left | (along >= -reach)
        for child, there, near in ((left, at_left, near_left), (right, ~at_left, near_right)):
            yield from down(child, rows[near], (within & there)[near])

    there = {"device": device(points)}
    every = xp.arange(points.shape[0], **there)
    yield from down(0 if nodes else -1, every, xp.ones(points.shape[0], dtype=xp.bool, **there))


def places(points: Any, block: int, tiles: int, nodes: list[Node], reach: float) -> tuple[Any, Any, Any]:
    """Return the rows of a block's points in the order of tiles, of those inside and of those beside, and how many each tile has.

    Shapes: (n,), (beside,), and (2, tiles). A reach below 0 is for points that are no data: none are beside any tile.
    """
    if isinstance(points, np.ndarray) and not registry.missing("numba"):
        from kernels.meanshift_step._dask_tiles_compiled import places

        axes, cuts, *children = zip(*nodes, strict=True) if nodes else ((), (), (), ())
        tree = np.array(axes, int), np.array(cuts, float), np.array(children, int).T.copy()
        rows: tuple[Any, Any, Any] = places(points, block, tiles, *tree, reach)
        return rows
    xp = namespace(points)
    inside, beside = [], []
    own = xp.asarray(numbers(points, block), device=device(points))
    for _, here, near in parted(nodes, points, own, max(0.0, reach)):
        others = xp.ones(points.shape[0], dtype=xp.bool, device=device(points))
        others[here] = False
        inside.append(here)
        beside.append(near[others[near]] if reach >= 0 else near[:0])
    return xp.concat(inside), xp.concat(beside), np.array([[len(rows) for rows in each] for each in (inside, beside)])


@in_neutral_state
def split(tiles: int, reach: float, points: Any, tree: Any, block_id: tuple[int, int]) -> Any:
    """Return for each tile the points of a block that lie in it, and the others within its reach; last, the rows of the former.

    The rows stay with the block. The points for a tile are parts of two arrays for all.
    """
    xp = namespace(points)
    inside, beside, counts = places(points, block_id[0], tiles, tree[0, 0], reach)
    ends = np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1)
    sent = [xp.take(points, rows, axis=0) for rows in (inside, beside)]
    pieces = [tuple(array[ends[k, t] : ends[k, t + 1]] for k, array in enumerate(sent)) for t in range(tiles)]
    return row_of([*pieces, xp.astype(inside, xp.int32, copy=False)])


@in_neutral_state
def move(
    tiles: int, bandwidth: float, kernel: str, selector: str, pieces: Any, others: Any = None, block_id: Any = (0, 0)
) -> Any:
    """Return for each block the points that a tile got of it, moved. `others` are the data, if not x itself."""
    inside, beside = zip(*pieces[0], strict=True)
    xp = namespace(inside[0])
    ends = np.cumsum([0, *map(len, inside)])
    if others is None:  # x is the first rows of its data: who sorts the data need not sort them again
        near = xp.concat([*inside, *beside])
        x = near[: ends[-1]]
    else:
        x, near = xp.concat(inside), xp.concat([part for both in others[0] for part in both])
    what = f"meanshift_step: tile {block_id[0]} of {tiles}, {len(x):,} points and {len(near):,} data within reach"
    with memory_named(what, CHANGE):
        y = x
        if len(x) and len(near):
            beyond = EXPANDED * (len(x) + len(near)) > memory_limit() * SHARE
            with registry.avoid("meanshift_step", *(["fast_gauss"] if beyond else [])):
                y = best("meanshift_step", selector)(x, bandwidth, data=near, kernel=kernel, check_finite=False)
    return row_of([y[ends[i] : ends[i + 1]] for i in range(len(inside))])


def merge(moved: Any, rows: Any) -> Any:
    """Return the points of a block in its own order, from what all tiles have of them."""
    xp = namespace(moved[0, 0])
    points = xp.concat(list(moved[0]))
    y = xp.empty_like(points)
    y[rows[0, 0]] = points
    return y
