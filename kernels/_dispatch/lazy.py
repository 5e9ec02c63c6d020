"""Calls of dask arrays, whose values nobody knows yet: NumPy arrays beside them, and what is asked of a block on its worker."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels._definition.signature import Signature
from kernels._dispatch.arguments import numpy_error
from kernels._zoo import Catalogue

Array = Any


def beside_dask(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Make dask arrays of one block of the NumPy arrays beside others: a block is sent to a worker once, whatever needs it."""
    plain = {key for key, array in arrays.items() if isinstance(array, np.ndarray | np.generic) and not numpy_error(array)}
    return {key: _one_block(np.asarray(array)) if key in plain else array for key, array in arrays.items()}


def _one_block(array: Array) -> Array:
    """Return a dask array of one block of a NumPy array, which is in the graph only where there are no workers to hand it to."""
    import dask.array as da

    try:
        from distributed import default_client

        client = default_client()
    except (ImportError, ValueError):
        client = None
    if client is None or client.asynchronous:
        return da.from_array(array, chunks=-1)
    return da.from_delayed(client.scatter(array), array.shape, meta=array[(slice(0),) * array.ndim])


def finite_blocks(zoo: Catalogue, signature: Signature, arguments: Mapping[str, Any]) -> dict[str, Array]:
    """Return arrays of a normalised call whose blocks, once they are computed, raise ValueError for what the contract refuses."""
    checked: dict[int, Array] = {}
    given = {key: array for key in signature.arrays if (array := arguments[key]) is not None}
    for key, array in given.items():
        if key in signature.finite and id(array) not in checked:  # x as data too stays one
            ask = functools.partial(_finite, zoo, signature.name, key)
            checked[id(array)] = array.map_blocks(ask, name=None, dtype=array.dtype, meta=array._meta)
    return {key: checked.get(id(array), array) for key, array in given.items()}


def _finite(zoo: Catalogue, operation: str, key: str, block: Array) -> Array:
    signature = zoo.contract(operation).signature
    (signature.require_nonnegative if key in signature.nonnegative else signature.require_finite)(key, block)
    return block
