"""What an operation gives, where that is not one array of its arguments' dtype: named tuples, indices, truth values.

Most operations are uniform (`Signature.uniform`): one array, with the dtype and from the extents of the arguments. For the others
this says what a kernel's result must be, part by part, and calls a kernel that takes no batches for each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels import _arrays

if TYPE_CHECKING:
    from kernels._definition.signature import Signature


def parts(result: Any) -> tuple[Any, ...]:
    """Return the arrays of a result."""
    return tuple(result) if isinstance(result, tuple) else (result,)


def map_parts(function: Callable[..., Any], result: Any, *others: Any) -> Any:
    """Apply a function to each array of a result, and to those in the same place of other results."""
    if not isinstance(result, tuple):
        return function(result, *others)
    mapped = [function(*each) for each in zip(result, *others, strict=True)]
    return type(result)(*mapped) if hasattr(result, "_fields") else tuple(mapped)


def shapes(signature: Signature, arrays: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape that each part of a call's result has."""
    extents = {**signature.extents(arrays), **{key: value for key, value in parameters.items() if type(value) is int}}
    batch = np.broadcast_shapes(*(own for _, own in signature.batches(arrays)))
    lacking = signature.lacking(arrays)
    return {
        key: (*(batch if part.batch else ()), *(extents[extent] for extent in part.extents if extent not in lacking))
        for key, part in signature.results.items()
    }


def require(signature: Signature, result: Any, arrays: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    """Return a kernel's result as the operation's own, once each part is such an array as it must be.

    Raises
    ------
    TypeError
        With what was expected and what came.
    """
    given = parts(result)
    names = list(signature.results)
    if len(given) != len(names) or (signature.result_type and not isinstance(result, tuple)):
        wanted = f"a tuple of {', '.join(names)}" if signature.result_type else "an array"
        got = f"a tuple of {len(given)}" if isinstance(result, tuple) else f"a {type(result).__name__}"
        raise TypeError(f"returned {got}, expected {wanted}")
    first = arrays[signature.group[0]]
    made = []
    for (key, shape), part in zip(shapes(signature, arrays, parameters).items(), given, strict=True):
        if isinstance(first, np.ndarray) and isinstance(part, np.generic):
            part = np.asarray(part)  # NumPy gives a scalar for a result without dimensions
        dtypes = signature.results[key].dtypes(_arrays.dtype_name(first.dtype))
        where = "" if key == "return" else f"{key}: "
        if type(part) is not type(first):
            raise TypeError(f"returned {where}a {type(part).__name__}, expected {' or '.join(dtypes)}, shape {shape}")
        right = _arrays.dtype_name(part.dtype) in dtypes and tuple(part.shape) == shape
        if not right or _arrays.place(part) != _arrays.place(first):
            got = _arrays.described(part, tuple(part.shape))
            raise TypeError(f"returned {where}{got}, expected {' or '.join(dtypes)}, shape {shape}, on {_arrays.place(first)}")
        made.append(part)
    return signature.result_type(*made) if signature.result_type else made[0]


def over_batches(signature: Signature, core: Callable[..., Any], arrays: Sequence[Any], parameters: Mapping[str, Any]) -> Any:
    """Apply a kernel for the core dimensions alone over the batches of arrays, in the signature's order."""
    named = dict(zip(signature.arrays, arrays, strict=True))
    batches = [own for _, own in signature.batches(named)]
    first = named[signature.group[0]]
    whole = []
    for key, shape in shapes(signature, named, parameters).items():
        (dtype, *_) = signature.results[key].dtypes(_arrays.dtype_name(first.dtype))
        whole.append(_empty(first, shape, dtype))
    for index in itertools.product(*map(range, np.broadcast_shapes(*batches))):
        own = (None if array is None else array[_own(index, batch)] for array, batch in zip(arrays, batches, strict=True))
        for place, part in zip(whole, parts(core(*own)), strict=True):
            place[index] = part
    return signature.result_type(*whole) if signature.result_type else whole[0]


def _empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    if isinstance(like, np.ndarray):
        return np.empty(shape, dtype)
    import torch

    return like.new_empty(shape, dtype=getattr(torch, dtype))


def _own(index: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """The index into an operand's own batch that a broadcast index means."""
    return tuple(0 if size == 1 else i for i, size in zip(index[len(index) - len(batch) :], batch, strict=True))
