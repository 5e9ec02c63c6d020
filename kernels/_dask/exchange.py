"""Rows that change the block that they are in: every sender has a piece for every receiver.

The pieces are any objects. A block of them is a list of one sender's pieces, or of one receiver's, and dask counts their bytes.
A few pieces are a task each, and go from worker to worker as they are. Many are carried by dask's own peer-to-peer rechunking,
through each worker's disk: its tasks grow with senders plus receivers. Without workers nothing needs to be carried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
NOTHING = np.empty((0, 0), object)  # the meta of an array of pieces
FEW = 8  # senders and receivers whose pieces are a task each: at most twice 8 of the 30 tasks that a block may have
ROOTS = 5  # dask.distributed places many tasks that depend on a group of fewer as if they depended on nothing


def listed(pieces: list[Any], receiver: int) -> list[Any]:
    """Return a receiver's pieces as they are."""
    return pieces


def exchange(pieces: Array, senders: int, receivers: int, gather: Callable[[list[Any], int], Any] = listed) -> Array:
    """Return the pieces with a block for each receiver.

    Parameters
    ----------
    pieces : dask array of objects
        With a block for each sender: a list of a piece for each receiver, which may have more.
    senders, receivers : int
    gather : callable
        Makes a receiver's block of a list of a piece of each sender, and of the receiver's number. What it does not return a
        worker need not hold any longer.

    Returns
    -------
    dask array of objects
        With a block for each receiver: what `gather` returns.
    """
    from dask.base import tokenize

    blocks, token = [(pieces.name, i, 0) for i in range(senders)], tokenize(pieces.name)
    if max(senders, receivers) <= FEW:
        graph = {
            (f"piece-{i if senders < ROOTS else ''}-{token}", i, t): (piece, block, t)
            for i, block in enumerate(blocks)
            for t in range(receivers)
        }
        keys = list(graph)
        return of_objects("exchange", pieces, [(gather, keys[t::receivers], t) for t in range(receivers)], senders, graph)
    if not _on_workers():
        return of_objects("exchange", pieces, [(_column, gather, blocks, t) for t in range(receivers)], senders)
    rows = of_objects("sent", pieces, [(_row, block, receivers) for block in blocks], receivers)
    columns = rows.rechunk(((senders,), (1,) * receivers))
    return of_objects("exchange", columns, [(_of_column, gather, (columns.name, 0, t), t) for t in range(receivers)], senders)


def of_objects(what: str, source: Array, tasks: list[Any], columns: int, more: dict[Any, Any] | None = None) -> Array:
    """Return an array of objects with a block for each task, which is made of blocks of another array, and of `more` tasks.

    dask fuses no tasks with these: a block that others are made of is computed once.
    """
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    name = f"{what}-{tokenize(source.name)}"  # dask names what it fuses by what it fuses: no name may be made of another's
    graph: dict[Any, Any] = {(name, i, 0): task for i, task in enumerate(tasks)} | (more or {})
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[source])
    return da.Array(layers, name, ((1,) * len(tasks), (columns,)), meta=NOTHING)


def piece(pieces: list[Any], t: int) -> Any:
    """Return one piece."""
    return pieces[t]


def _column(gather: Any, rows: list[Any], t: int) -> Any:
    return gather([row[t] for row in rows], t)


def _row(pieces: list[Any], receivers: int) -> np.ndarray[Any, Any]:
    row = np.empty((1, receivers), object)
    for t in range(receivers):
        row[0, t] = pieces[t]
    return row


def _of_column(gather: Any, column: np.ndarray[Any, Any], t: int) -> Any:
    return gather(list(column[:, 0]), t)


def _on_workers() -> bool:
    """Whether dask.distributed computes what is asked for now, as dask itself decides it."""
    try:
        from distributed import default_client

        default_client()
    except (ImportError, ValueError):
        return False
    return True
