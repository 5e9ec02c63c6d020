"""Calls of dask arrays, whose values nobody knows yet: NumPy arrays beside them, and what is asked of a block on its worker."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import registry

if TYPE_CHECKING:
    from kernels._dispatch.operation import Operation

Array = Any


def beside_dask(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Make dask arrays of one block of the NumPy arrays beside others: a block is sent to a worker once, whatever needs it."""

    def plain(array: Array) -> bool:  # what means more than its numbers is left to be refused
        kept = np.ma.MaskedArray | np.matrix
        return isinstance(array, np.generic) or (
            isinstance(array, np.ndarray)
            and not isinstance(array, kept)
            and type(array).__array_ufunc__ is np.ndarray.__array_ufunc__
        )

    return {key: _one_block(np.asarray(array)) if plain(array) else array for key, array in arrays.items()}


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


def require_finite_blocks(
    op: Operation, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a normalised call whose blocks raise ValueError, once they are computed, for values that the contract refuses."""
    finite, checked = op.contract.signature.finite, {}
    for key, array in zip(op.contract.ARRAYS, op.arrays(tuple(args), kwargs), strict=True):
        if array is not None and key in finite and id(array) not in checked:  # x as data too stays one
            ask = functools.partial(_finite, op.name, key)
            checked[id(array)] = array.map_blocks(ask, name=None, dtype=array.dtype, meta=array._meta)
    return op.with_arrays(args, kwargs, [checked.get(id(each), each) for each in op.arrays(tuple(args), kwargs)])


def _finite(operation: str, key: str, block: Array) -> Array:
    signature = registry.contract(operation).signature
    (signature.require_nonnegative if key in signature.nonnegative else signature.require_finite)(key, block)
    return block
