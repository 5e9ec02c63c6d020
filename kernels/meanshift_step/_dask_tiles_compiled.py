"""Which points go to which tile, compiled: what `_dask_tiles.parted` says, for NumPy arrays in one pass."""

import numpy as np

from kernels._compute.jit import jit


@jit
def find(points, i, number, axes, cuts, children, reach, found):
    """Write to `found` the tiles whose box is within reach of a point, first the one that it lies in; return how many they are.

    Entries of `found` that are nodes of the tree yet give way to their children.
    """
    found[0], count, at = 0 if len(axes) else -1, 1, 0
    while at < count:
        node = found[at]
        if node < 0:
            found[at] = -1 - node
            at += 1
            continue
        by_number = axes[node] == points.shape[1]
        along = (number if by_number else np.float64(points[i, axes[node]])) - cuts[node]
        side = 0 if along <= 0 else 1
        found[at] = children[node, side]
        if (0.0 if by_number else abs(along)) <= reach:  # points of one place are in each other's reach
            found[count] = children[node, 1 - side]
            count += 1
    return count


@jit
def places(points, block, tiles, axes, cuts, children, reach):
    """Return the rows of a block's points in the order of tiles: those inside, and those beside, and how many each tile has.

    Shapes: points (n, d); axes and cuts (nodes,), children (nodes, 2), of the tree. A reach below 0 is for points that are no
    data: none are beside any tile.
    """
    n = len(points)
    found, tile, several = np.empty(tiles, np.int32), np.empty(n, np.int32), np.empty(n, np.bool_)
    counts = np.zeros((2, tiles), np.int64)
    for i in range(n):
        number = block + i / n
        count = find(points, i, number, axes, cuts, children, reach, found)
        tile[i], several[i] = found[0], count > 1
        counts[0, found[0]] += 1
        for k in range(1, count):
            counts[1, found[k]] += 1
    inside, beside = np.empty(n, np.int32), np.empty(counts[1].sum(), np.int32)
    ends = np.zeros((2, tiles), np.int64)
    for t in range(1, tiles):
        ends[:, t] = ends[:, t - 1] + counts[:, t - 1]
    for i in range(n):
        inside[ends[0, tile[i]]] = i
        ends[0, tile[i]] += 1
        if several[i]:
            for k in range(1, find(points, i, block + i / n, axes, cuts, children, reach, found)):
                beside[ends[1, found[k]]] = i
                ends[1, found[k]] += 1
    return inside, beside, counts


@jit
def take(points, rows, taken):
    """Copy some rows of points, shape (n, d), to an array of their own."""
    for i in range(len(rows)):
        for k in range(points.shape[1]):
            taken[i, k] = points[rows[i], k]


@jit
def put(points, rows, y):
    """Copy points to some rows of y, shape (n, d)."""
    for i in range(len(rows)):
        for k in range(points.shape[1]):
            y[rows[i], k] = points[i, k]


@jit
def in_order(leaf, leaves):
    """Return the rows of a block in the order of their leaves, shape (n,)."""
    starts, rows = np.zeros(leaves + 1, np.int64), np.empty(len(leaf), np.int32)
    for i in range(len(leaf)):
        starts[leaf[i] + 1] += 1
    for t in range(leaves):
        starts[t + 1] += starts[t]
    for i in range(len(leaf)):
        rows[starts[leaf[i]]] = i
        starts[leaf[i]] += 1
    return rows
