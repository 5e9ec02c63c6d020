"""What an operation gives: an array, or a named tuple of arrays, of the dtypes and shapes that follow from a call.

This says what a kernel's result must be, part by part, and calls a kernel that takes no batches once for each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
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


def shapes(signature: Signature, call: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape that each part of a normalised call's result has."""
    extents = signature.extents(call) | {key: value for key, value in call.items() if type(value) is int}
    batch, lacking = signature.batch(call), signature.lacking(call)
    return {
        key: (*(batch if part.batch else ()), *(extents[extent] for extent in part.extents if extent not in lacking))
        for key, part in signature.results.items()
    }


def require(signature: Signature, result: Any, call: Mapping[str, Any]) -> Any:
    """Return a kernel's result of a normalised call as the operation's own, once each part is such an array as it must be.

    Raises
    ------
    TypeError
        With what was expected and what came.
    """
    given, names, several = parts(result), list(signature.results), isinstance(result, tuple)
    if signature.result_type is None:
        given = (result,)
    elif not several or len(given) != len(names):
        got = f"a tuple of {len(given)}" if several else f"a {type(result).__name__}"
        raise TypeError(f"returned {got}, expected a tuple of {', '.join(names)}")
    first = call[signature.group[0]]
    made = []
    for (key, shape), part in zip(shapes(signature, call).items(), given, strict=True):
        if isinstance(first, np.ndarray) and (isinstance(part, np.generic) or not shape):
            # NumPy gives a scalar for a result without dimensions, and the object itself for one of objects.
            part = np.asarray(part, dtype=object if first.dtype == object else None)
        dtypes, right_kind = signature.results[key].dtypes(_arrays.dtype_name(first.dtype)), type(part) is type(first)
        if not (
            right_kind
            and _arrays.dtype_name(part.dtype) in dtypes
            and getattr(part.dtype, "isnative", True)
            and tuple(part.shape) == shape
            and _arrays.place(part) == _arrays.place(first)
        ):
            described = _arrays.described(part, _arrays.dtype_name(part.dtype), tuple(part.shape)) if right_kind else ""
            got = f"{'' if key == 'return' else f'{key}: '}{described or f'a {type(part).__name__}'}"
            raise TypeError(f"returned {got}, expected {_arrays.described(first, ' or '.join(dtypes), shape)}")
        made.append(part)
    return signature.result_type(*made) if signature.result_type else made[0]


def over_batches(signature: Signature, core: Callable[..., Any], call: Mapping[str, Any]) -> Any:
    """Return a normalised call's result by a kernel that takes arrays, in the signature's order, of the core dimensions alone.

    It is called for each of a batch, with an extent of 1 for one that an array may lack, which the result then lacks.
    """
    given = {key: array for key in signature.arrays if (array := call[key]) is not None}
    full = dict(call)
    for key, array in given.items():
        stated = signature.arrays[key]
        if array.ndim < len(stated.extents):
            present = stated.present(array.ndim)
            full[key] = array[tuple(slice(None) if extent in present else None for extent in stated.extents)]
    batches, expected, whole = signature.batches(full), shapes(signature, full), list[Any]()
    for index in itertools.product(*map(range, signature.batch(full))):
        operands = (None if full[key] is None else full[key][_within(index, batch)] for key, batch in batches.items())
        made = parts(core(*operands))
        whole = whole or [_empty(part, shape) for part, shape in zip(made, expected.values(), strict=True)]
        for place, part in zip(whole, made, strict=True):
            place[index] = part
    if not whole:  # no core was called, so that the signature says what the dtypes are
        first = full[signature.group[0]]
        dtypes = {key: part.dtypes("")[0] if part.keeps_dtype else None for key, part in signature.results.items()}
        whole = [_empty(first, shape, dtypes[key]) for key, shape in expected.items()]
    if lacking := signature.lacking(call):
        kept = [[0 if extent in lacking else slice(None) for extent in part.extents] for part in signature.results.values()]
        whole = [part[(..., *axes)] for part, axes in zip(whole, kept, strict=True)]
    return signature.result_type(*whole) if signature.result_type else whole[0]


def _empty(like: Any, shape: tuple[int, ...], dtype: str | None = None) -> Any:
    """Return an array of a shape, of another's kind and dtype unless a dtype is given."""
    if isinstance(like, np.ndarray | np.generic):
        return np.empty(shape, dtype or like.dtype)
    import torch

    return like.new_empty(shape, dtype=getattr(torch, dtype) if dtype else like.dtype)


def _within(index: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """The index into an operand's own batch that a broadcast index means."""
    return tuple(0 if size == 1 else i for i, size in zip(index[len(index) - len(batch) :], batch, strict=True))
