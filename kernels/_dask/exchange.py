"""Rows that change the block that they are in: every sender has a piece for every receiver.

The pieces are objects, a row of them for each sender. Between workers dask's own peer-to-peer rechunking carries them, through
each worker's disk: its tasks grow with senders plus receivers. Without workers nothing needs to be carried.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
NOTHING = np.empty((0, 0), object)  # the meta of an array of pieces


def row_of(pieces: list[Any]) -> np.ndarray[Any, Any]:
    """Return one sender's pieces as a block of an array of objects, shape (1, receivers)."""
    row = np.empty((1, len(pieces)), object)
    for i, piece in enumerate(pieces):
        row[0, i] = piece
    return row


def exchange(pieces: Array, receivers: int) -> Array:
    """Return the pieces with a block for each receiver.

    Parameters
    ----------
    pieces : dask array of objects, shape (senders, receivers)
        With a block for each sender.
    receivers : int

    Returns
    -------
    dask array of objects, shape (receivers, senders)
        With a block for each receiver.
    """
    senders = pieces.shape[0]
    if _on_workers():
        return pieces.rechunk(((senders,), (1,) * receivers)).T
    rows = [(pieces.name, i, 0) for i in range(senders)]
    return of_objects("exchange", pieces, [(_column, rows, t) for t in range(receivers)], senders)


def apart(pieces: Array) -> tuple[Array, Array]:
    """Return all pieces of each block but its last, which it keeps, and the last, as two arrays of objects."""
    blocks = [(pieces.name, i, 0) for i in range(pieces.shape[0])]
    sent = of_objects("sent", pieces, [(_but_the_last, block) for block in blocks], pieces.shape[1] - 1)
    return sent, of_objects("kept", pieces, [(_the_last, block) for block in blocks], 1)


def of_objects(what: str, source: Array, tasks: list[Any], columns: int) -> Array:
    """Return an array of objects with a block for each task, which is made of blocks of another array.

    dask fuses no tasks with these: a block that others are made of is computed once.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"{what}-{source.name}"
    graph: dict[Any, Any] = {(name, i, 0): task for i, task in enumerate(tasks)}
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[source])
    return da.Array(layers, name, ((1,) * len(tasks), (columns,)), meta=NOTHING)


def _column(rows: list[Any], t: int) -> np.ndarray[Any, Any]:
    return row_of([row[0, t] for row in rows])


def _but_the_last(row: Any) -> np.ndarray[Any, Any]:
    return row_of(list(row[0, :-1]))


def _the_last(row: Any) -> np.ndarray[Any, Any]:
    return row_of([row[0, -1]])  # a view would keep the others as well


def _on_workers() -> bool:
    """Whether dask.distributed computes what is asked for now, as dask itself decides it."""
    try:
        from distributed import default_client

        default_client()
    except (ImportError, ValueError):
        return False
    return True
