"""Generalised ufunc signatures: run a kernel for the core dimensions alone over vectors and broadcast batches.

The grammar and its meaning are NumPy's (numpy.org/doc/stable/reference/c-api/generalized-ufuncs.html): in
``(m?,k),(k,n?)->(m?,n?)`` an operand may lack the dimensions marked ``?``, and whatever stands before the core
dimensions broadcasts. A contract states its signature as ``CORE``. An operand that is None is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

Operand = tuple[str, ...]


class Signature(NamedTuple):
    """Core dimensions of the inputs and of the output, and those that an operand may lack."""

    inputs: tuple[Operand, ...]
    output: Operand
    optional: frozenset[str]


@cache
def parse(signature: str) -> Signature:
    """Read a signature with one output."""
    left, right = signature.replace(" ", "").split("->")
    operands = [tuple(part.split(",")) if part else () for part in (*left[1:-1].split("),("), right[1:-1])]
    names = frozenset(name[:-1] for operand in operands for name in operand if name.endswith("?"))
    plain = [tuple(name.rstrip("?") for name in operand) for operand in operands]
    return Signature(tuple(plain[:-1]), plain[-1], names)


def result_shape(signature: Signature, arrays: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape of the result, batch and all, without the dimensions that an operand lacks."""
    if is_core(signature, arrays):
        return result_extents(signature)([() if array is None else tuple(array.shape) for array in arrays])
    extent: dict[str, int] = {}
    batches, lacking = [], set()
    for array, core in zip(arrays, signature.inputs, strict=True):
        if array is None:
            continue
        gone = [name for name in core if name in signature.optional][: max(0, len(core) - array.ndim)]
        present = [name for name in core if name not in gone]
        extent |= dict(zip(present, array.shape[array.ndim - len(present) :], strict=True))
        batches.append(tuple(array.shape[: array.ndim - len(present)]))
        lacking.update(gone)
    return (*np.broadcast_shapes(*batches), *(extent[name] for name in signature.output if name not in lacking))


def result_extents(signature: Signature) -> Callable[[Sequence[tuple[int, ...]]], tuple[int, ...]]:
    """Return a quick way from the shapes of arrays of the core dimensions alone to that of the core's result."""
    first = {name: (i, axis) for i, core in reversed([*enumerate(signature.inputs)]) for axis, name in enumerate(core)}
    places = [first[name] for name in signature.output]
    if len(places) != 2:
        return lambda shapes: tuple(shapes[i][axis] for i, axis in places)
    (i, row), (j, column) = places
    return lambda shapes: (shapes[i][row], shapes[j][column])


def is_core(signature: Signature, arrays: Sequence[Any]) -> bool:
    """Whether the arrays have the core dimensions alone, so that the kernel can take them as they are."""
    return all(array is None or array.ndim == len(core) for array, core in zip(arrays, signature.inputs, strict=True))


def apply(signature: Signature, core: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    """Apply `core` over the batches of `arrays`, NumPy arrays or tensors of one dtype."""
    lacking: set[str] = set()
    full = []
    for array, dimensions in zip(arrays, signature.inputs, strict=True):
        if array is not None and array.ndim < len(dimensions):
            gone = [name for name in dimensions if name in signature.optional][: len(dimensions) - array.ndim]
            array = array[tuple(None if name in gone else slice(None) for name in dimensions)]
            lacking.update(gone)
        full.append(array)
    extent = {
        name: size
        for array, dimensions in zip(full, signature.inputs, strict=True)
        if array is not None
        for name, size in zip(dimensions, array.shape[array.ndim - len(dimensions) :], strict=True)
    }
    shapes = [() if array is None else tuple(array.shape) for array in full]
    batches = [shape[: max(0, len(shape) - len(core))] for shape, core in zip(shapes, signature.inputs, strict=True)]
    batch = np.broadcast_shapes(*batches)
    if batch:
        shape = batch + tuple(extent[name] for name in signature.output)
        result = np.empty(shape, full[0].dtype) if isinstance(full[0], np.ndarray) else full[0].new_empty(shape)
        for index in itertools.product(*map(range, batch)):
            own = (None if array is None else array[_within(index, its)] for array, its in zip(full, batches, strict=True))
            result[index] = core(*own)
    else:
        result = core(*full)
    return result[(..., *(0 if name in lacking else slice(None) for name in signature.output))] if lacking else result


def _within(index: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """The index into an operand's own batch that a broadcast index means."""
    return tuple(0 if size == 1 else i for i, size in zip(index[len(index) - len(batch) :], batch, strict=True))
