"""Steps of dask arrays by tiles of space: a tile gets its points, and the data within reach of them, and moves them part by part.

There are as many tiles as blocks of x, with about as many points each:

1. A sample of the points is cut in two, and each part again, at its median along its widest axis (`cut`): a k-d tree. Its leaves
   are parts of tiles, which fit a processor's cache where not too much is beside them.
2. Each block sends each tile the points that lie in it, and the data that lie within reach of each of its parts' boxes (`split`).
   A tile gathers them by parts (`gathered`).
3. The parts are moved one after another by the registry's best variant (`move`), and the points go back to their blocks
   (`merge`).

A compact kernel's reach is its bandwidth. A gaussian's is a cutoff c, in bandwidths, that holds for every point: the point is
among the data, so the weights sum to W >= 1, and its shift is at most 2 c, since what lies beyond c moves it by less than c. By
(1) of `_cutoff`, what is left out changes it, for each datum left out, by at most

    exp(-c^2 / 2) (c + 2 c) h,                                                                                              (1)

which is at most the half of u h that the class "truncated" allows for truncation. Where the data have weights, or are not the
points, W is not known: the reach is longer, and proven for each point afterwards (`_dask_proof`). What is left over meets all
data.

Points narrower than the reach are in each other's reach however they are cut; where a cut finds one place alone, it parts its
points by their number. So half of all points may lie in one place, and still be as many tiles' work.

References
----------
Bentley 1975, Multidimensional binary search trees used for associative searching.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

import registry
from kernels._arrays import to_numpy
from kernels._dask.blocks import best, memory_limit, memory_named, namespace
from kernels._dask.exchange import NOTHING, exchange, of_objects, piece
from kernels._dispatch.neutral import in_neutral_state
from kernels.meanshift_step import _dask_proof, _dask_rest
from kernels.meanshift_step._cutoff import MARGIN
from kernels.meanshift_step._dask_weights import parted as parted_weights

SAMPLE = 512  # points for each tile, or four parts of one: a tile's count is then within a fifth of the mean
# Of a tile's points and data, in memory at a time while it is moved: numba_grid takes 2.6 to 4.4 for a million in up to three
# dimensions, as measured; the rest is a margin.
COPIES = 6
PART = 2**18  # points of a tile that are moved at a time: the memory of a sort of so many is about a processor's cache
EXPANDED = 2048  # bytes for each point and each datum that fast_gauss may take where each has a cell: up to 1800 were measured
COEFFICIENTS = 8  # of fast_gauss for each point: with fewer, a tile's share of them fits beside its points, as measured
JOINED = 2  # parts: of so few each is made one array at once, and the pieces given up; of more, one after another
SHARE = 0.6  # of a worker's memory, past which it spills what it holds
CHANGE = "take a smaller bandwidth, give workers more memory, or rechunk x into more blocks unless all of it is within reach"
EXPAND = "; or take method='fast_gauss', if most data are within a few bandwidths of each other"


class Node(NamedTuple):
    """A cut of the tree: what is at most `value` along an axis goes left. Numbers below 0 are leaves: -1 is leaf 0."""

    axis: int  # the number of dimensions stands for the points' own numbers
    value: float
    left: int
    right: int


class Tile(NamedTuple):
    """What a tile has of all blocks."""

    parts: list[list[Any]]  # for each part arrays: the points that lie in it, block by block, and then those beside it
    counts: Any  # of both, shape (blocks, 2, parts)


class Tree(NamedTuple):
    """How space is cut into tiles, of the same number of parts each: tile t has the leaves from t times `parts` on."""

    nodes: list[Node]  # the first is the root
    parts: int


def reach_of(kernel: str, bandwidth: float, unit: float, nearest: float = 0.0) -> float:
    """Return how far data can matter to a point: (1) for the gaussian, with a datum so many bandwidths off at most."""
    cutoff = 1.0
    while kernel == "gaussian" and math.exp((nearest**2 - cutoff**2) / 2) * 3 * cutoff > unit / 2:
        cutoff += 1 / 64
    return cutoff * bandwidth * MARGIN


def step(x: Any, bandwidth: float, data: Any, kernel: str, selector: str) -> Any:
    """Return x, a dask array of whole rows in up to three dimensions, moved towards data, which may have a column of weights."""
    from dask.base import tokenize

    certain, unit = data is x or kernel != "gaussian", float(namespace(x._meta).finfo(x.dtype).eps) / 2
    reach = reach_of(kernel, bandwidth, unit, 0.0 if certain else _dask_proof.NEAREST)
    tiles, rows = x.numblocks[0], (1,) * x.numblocks[0]
    objects: dict[str, Any] = {"dtype": object, "meta": NOTHING}
    expanded = kernel == "gaussian" and x.dtype == np.float32 and _compiled(x._meta)
    change = CHANGE + EXPAND if expanded else CHANGE
    parts = 2 ** max(0, round(math.log2(len(x) / tiles / PART)))
    share = min(1.0, SAMPLE * tiles * max(1, parts // 4) / len(x))
    some = x.map_blocks(functools.partial(sample, share), chunks=(rows, (1,)), **objects)
    known, crowding = (len(x), bandwidth if expanded else None) if data is x else (0, None)
    cutting = functools.partial(cut, tiles, parts, reach, known, crowding, change)
    tree = of_objects(f"tree-{tokenize(cutting)}", some, [(cutting, [(some.name, i, 0) for i in range(tiles)])], 1)

    def divided(points: Any, reach: float) -> Any:
        named = {"token": "meanshift_step-split", "chunks": ((1,) * points.numblocks[0], (tiles + 1,))}
        return points.map_blocks(functools.partial(split, x.shape[1], tiles, reach), tree, **named, **objects)

    sent = divided(x, reach if data is x else -1.0)
    kept = of_objects("kept", sent, [(piece, (sent.name, i, 0), tiles) for i in range(tiles)], 1)
    gather = functools.partial(gathered, tiles, change=change)
    others = [] if data is x else [exchange(divided(data, reach), data.numblocks[0], tiles, gather)]
    proof = None if certain else functools.partial(_dask_proof.served, bandwidth=bandwidth, cutoff=reach / bandwidth / MARGIN)
    work = functools.partial(move, tiles, bandwidth, kernel, selector, proof=proof, change=change)
    named = {"token": "meanshift_step-tile", "chunks": (rows, (tiles,))}  # dask names a task by it whose workers were killed
    moved = exchange(sent, tiles, tiles, gather).map_blocks(work, *others, **named, **objects)
    if proof:
        moved = _dask_rest.finish(moved, data, bandwidth, chunks=moved.chunks, **objects)
    moved = exchange(moved, tiles, tiles)
    return moved.map_blocks(merge, kept, token="meanshift_step-merge", chunks=x.chunks, dtype=x.dtype, meta=x._meta)


def numbers(points: Any, block: int) -> Any:
    """Return a number for each point of a block, which differ, and grow from block to block."""
    return block + np.arange(len(points)) / max(1, len(points))


def sample(share: float, points: Any, block_id: tuple[int, int]) -> Any:
    """Return every so many rows of a block, as float64, with their numbers."""
    stride = max(1, int(1 / share))
    chosen = to_numpy(points[::stride]).astype(float)
    return np.concatenate([chosen, numbers(points, block_id[0])[::stride, None]], axis=1)


def cut(tiles: int, parts: int, reach: float, count: int, bandwidth: float | None, change: str, samples: list[Any]) -> Tree:
    """Return the tree of a sample, with at most so many parts in a tile, a power of two.

    Parts are halved in number until, by the sample, at most as many points lie beside them as in them. A crowded tile is one part
    if a bandwidth is given: fast_gauss can move it, and expands points anew for each part that they are beside.

    Raises
    ------
    MemoryError
        If a tile and the data within its reach, as the sample says, are beyond what a worker may take. `count` is how many points
        there are; 0 where others than these are the data.
    """
    points, most = np.concatenate(samples), memory_limit() * SHARE
    if bandwidth and parts > 1:
        from kernels.meanshift_step._fast_gauss import coefficients_for_each

        rows = max((near for near, _ in parted(leaves_of(points, tiles), points[:, :-1], points[:, -1], reach)), key=len)
        each = coefficients_for_each(points[rows, :-1].astype(np.float32), count * len(rows) / len(points), bandwidth)
        parts = 1 if each <= COEFFICIENTS else parts
    while True:
        nodes = leaves_of(points, tiles * parts)
        if parts == 1 and not (count and most < np.inf):
            break
        sizes = np.array([len(rows) for rows, _ in parted(nodes, points[:, :-1], points[:, -1], reach)])
        if parts == 1 or sizes.sum() <= 2 * len(points):
            break
        parts //= 2
    if count and most < np.inf:
        there = sizes.reshape(tiles, parts).sum(axis=1) * (count / len(points))
        tile, needed = int(there.argmax()), COPIES * 8 * points.shape[1] * there.max()
        if needed > most:
            raise MemoryError(
                f"meanshift_step: tile {tile} of {tiles}: about {int(there.max()):,} points within its reach need "
                f"{needed / 2**20:,.0f} MiB, and its worker may take {most / 2**20:,.0f} MiB; {change}"
            )
    return Tree(nodes, parts)


def leaves_of(points: Any, leaves: int) -> list[Node]:
    """Return the nodes of a tree with so many leaves, by a sample of points with their numbers in the last column."""
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
        # Where many are equal the halves are not: leaves are shared out as the points are.
        lefts = min(size - 1, max(1, round(size * goes_left.mean()))) if len(rows) else size // 2
        left = part(rows[goes_left], first, lefts)
        right = part(rows[~goes_left], first + lefts, size - lefts)
        nodes[number] = nodes[number]._replace(left=left, right=right)
        return number

    part(np.arange(len(points)), 0, leaves)
    return nodes


def parted(nodes: list[Node], points: Any, own: Any, reach: float) -> Any:
    """Yield for each leaf which of the points lie within reach of it, itself included, and which of these lie in it."""
    xp = namespace(points)
    axes = [*(xp.astype(points[:, k], xp.float64) for k in range(points.shape[1])), own]

    def down(number: int, rows: Any, within: Any) -> Any:
        if number < 0:
            yield rows, within
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


def places(points: Any, block: int, leaves: int, nodes: list[Node], reach: float) -> tuple[Any, Any, Any]:
    """Return the rows of a block's points in the order of leaves, those inside and those beside, and how many each leaf has.

    Shapes: (n,), (beside,), and (2, leaves). A reach below 0 is for points that are no data: none are beside any leaf.
    """
    if _compiled(points):
        from kernels.meanshift_step._dask_tiles_compiled import places

        axes, cuts, *children = zip(*nodes, strict=True) if nodes else ((), (), (), ())
        tree = np.array(axes, int), np.array(cuts, float), np.array(children, int).T.copy()
        rows: tuple[Any, Any, Any] = places(points, block, leaves, *tree, reach)
        return rows
    xp = namespace(points)
    own = xp.asarray(numbers(points, block), device=device(points))
    each = [(near[within], near[~within]) for near, within in parted(nodes, points, own, max(0.0, reach))]
    inside, beside = zip(*each, strict=True)
    if reach < 0:
        beside = tuple(rows[:0] for rows in beside)
    return xp.concat(inside), xp.concat(beside), np.array([[len(rows) for rows in side] for side in (inside, beside)])


def _compiled(points: Any) -> bool:
    return isinstance(points, np.ndarray) and not registry.missing("numba")


def ends_of(counts: Any) -> Any:
    """Return where each leaf's rows begin, and the end, among those inside and those beside: shape (2, leaves + 1)."""
    return np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1)


@in_neutral_state
def split(dimensions: int, tiles: int, reach: float, points: Any, tree: Any, block_id: tuple[int, int]) -> list[Any]:
    """Return for each tile the rows of a block whose points lie in it, and those beside its parts; last, the leaf of each row.

    The leaves stay with the block, in as few bytes as may be. A tile's piece is points inside, points beside, and how many of
    either each part has.
    """
    (nodes, parts), n = tree, len(points)
    xp, leaves = namespace(points), tiles * parts
    coordinates = points if points.shape[1] == dimensions else taken(points[:, :dimensions], xp.arange(n))
    inside, beside, counts = places(coordinates, block_id[0], leaves, nodes, reach)
    ends = ends_of(counts)[:, ::parts]
    pieces = []
    for t, each in enumerate(np.split(counts, tiles, axis=1)):
        rows = (rows[start:stop] for rows, (start, stop) in zip((inside, beside), ends[:, t : t + 2], strict=True))
        pieces.append((*(taken(points, some) for some in rows), each))
    dtype = "uint8" if leaves <= 2**8 else "int16" if leaves <= 2**15 else "int32"
    leaf = np.repeat(np.arange(leaves, dtype=dtype), counts[0])
    kept = xp.empty((n, 1), dtype=getattr(xp, dtype), device=device(points))
    put(xp.asarray(leaf, device=device(points))[:, None], inside, kept)
    return [*pieces, kept[:, 0]]


def taken(points: Any, rows: Any) -> Any:
    """Return some rows of points, shape (n, d), as an array of their own."""
    if not _compiled(points):
        return namespace(points).take(points, rows, axis=0)
    from kernels.meanshift_step._dask_tiles_compiled import take

    some = np.empty((len(rows), points.shape[1]), points.dtype)
    take(points, rows, some)
    return some


def put(points: Any, rows: Any, y: Any) -> None:
    """Copy points to some rows of y, shape (n, d)."""
    if _compiled(points):
        from kernels.meanshift_step._dask_tiles_compiled import put

        put(points, rows, y)
    else:
        y[rows] = points


def gathered(tiles: int, pieces: list[Any], t: int, change: str = CHANGE) -> Tile:
    """Return what tile t of so many has of all blocks, from their pieces."""
    counts = np.stack([counts for *_, counts in pieces])
    ends = np.cumsum(np.pad(counts, ((0, 0), (0, 0), (1, 0))), axis=2)
    parts = [
        [piece[k][ends[i, k, p] : ends[i, k, p + 1]] for k in range(2) for i, piece in enumerate(pieces)]
        for p in range(counts.shape[2])
    ]
    with memory_named(f"meanshift_step: tile {t} of {tiles}, {counts.sum():,} points and data within reach", change):
        return Tile([[joined(part)] for part in parts] if len(parts) <= JOINED else parts, counts)


def joined(arrays: list[Any]) -> Any:
    """Return arrays as one."""
    return arrays[0] if len(arrays) == 1 else namespace(arrays[0]).concat(arrays)


def to_blocks(parts: list[Any], counts: Any) -> list[Any]:
    """Return what belongs to each block of arrays for each part, of which blocks have so many rows, shape (blocks, parts)."""
    ends = np.cumsum(np.pad(counts, ((1, 0), (0, 0))), axis=0)
    return [
        joined([part[start:stop] for part, start, stop in zip(parts, *rows, strict=True)]) for rows in itertools.pairwise(ends)
    ]


@in_neutral_state
def move(
    tiles: int,
    bandwidth: float,
    kernel: str,
    selector: str,
    here: Tile,
    others: Tile | None = None,
    block_id: tuple[int, int] = (0, 0),
    proof: Any = None,
    change: str = CHANGE,
) -> Any:
    """Return for each block the points that a tile got of it, moved. `others` are the data, if not x itself.

    If not for all points the reach is known to serve, `proof` says for which it does, and they are a `Moved`.
    """
    own, data_of = here.counts[:, 0], here if others is None else others
    moved, points, served = [], [], []
    for p, number in enumerate(own.sum(axis=0)):
        near = data_of.counts[..., p].sum()
        with memory_named(
            f"meanshift_step: tile {block_id[0]} of {tiles}, {number:,} points and {near:,} data within reach", change
        ):
            data = joined(data_of.parts[p])
            x = (data if others is None else joined(here.parts[p]))[:number]
            data, v = parted_weights(data, x.shape[1])
            moved.append(moved_by_best(x, data, v, bandwidth, kernel, selector))
            if proof:
                points.append(x)
                served.append(proof(x, moved[-1], data, v))
    y = to_blocks(moved, own)
    if not proof:
        return y
    return _dask_rest.moved(joined(to_blocks(points, own)), y, np.concatenate(to_blocks(served, own)))


def moved_by_best(x: Any, data: Any, weights: Any, bandwidth: float, kernel: str, selector: str) -> Any:
    """Return points moved by the registry's best variant that this worker has the memory for."""
    if not (len(x) and len(data)):
        return x
    with registry.avoid("meanshift_step", *([] if expandable(x, data, bandwidth) else ["fast_gauss"])):
        return best("meanshift_step", selector)(x, bandwidth, data=data, weights=weights, kernel=kernel, check_finite=False)


def expandable(x: Any, data: Any, bandwidth: float) -> bool:
    """Whether this worker has the memory that fast_gauss may take: for each point a cell, or all cells of the points' box."""
    most, count = memory_limit() * SHARE, len(x) + len(data)
    if EXPANDED * count <= most or not (count and _compiled(data)):
        return EXPANDED * count <= most
    from kernels.meanshift_step import _fast_gauss

    low, high = _fast_gauss.ends_of((x, data))
    if not (high - low).max():
        return True
    cells = _fast_gauss.best_lattice(low, high, bandwidth, float(len(data)), _fast_gauss.sample(data), count)
    return bool(cells is None or _fast_gauss.most_bytes(count, low, high, cells) <= most)


def merge(moved: Any, leaf: Any) -> Any:
    """Return the points of a block in its own order, from what all tiles have of them."""
    first, xp = moved[0], namespace(moved[0])
    if _compiled(leaf):
        from kernels.meanshift_step._dask_tiles_compiled import in_order

        rows = in_order(leaf, int(leaf.max(initial=0)) + 1)
    else:
        rows = xp.argsort(leaf, stable=True)
    y = xp.empty((len(rows), first.shape[1]), dtype=first.dtype, device=device(first))
    ends = np.cumsum([0, *map(len, moved)])
    for t, points in enumerate(moved):
        put(points, rows[ends[t] : ends[t + 1]], y)
    return y
