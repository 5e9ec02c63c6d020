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
    import dask.array as da

    senders = pieces.shape[0]
    if _on_workers():
        return pieces.rechunk(((senders,), (1,) * receivers)).T
    from dask.highlevelgraph import HighLevelGraph

    name = f"exchange-{pieces.name}"
    rows = [(pieces.name, i, 0) for i in range(senders)]
    graph = {(name, t, 0): (_column, rows, t) for t in range(receivers)}
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[pieces])
    return da.Array(layers, name, ((1,) * receivers, (senders,)), meta=NOTHING)


def _column(rows: list[Any], t: int) -> np.ndarray[Any, Any]:
    return row_of([row[0, t] for row in rows])


def _on_workers() -> bool:
    """Whether dask.distributed computes what is asked for now, as dask itself decides it."""
    try:
        from distributed import default_client

        default_client()
    except (ImportError, ValueError):
        return False
    return True
