"""The calls that an operation must refuse, as its signature gives them: arrays that do not fit, and values that are not valid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels._conformance.arguments import WHOLE
from kernels._definition.annotations import Parameter
from kernels._definition.signature import Signature

Array = np.ndarray[Any, Any]
Refused = list[tuple[dict[str, Any], type[Exception]]]  # keyword arguments, and the expected error


def refused_calls(signature: Signature, dtype: str) -> Refused:
    """Return calls that must be refused: arrays that are none or do not fit, NaN where none may be, values that are not valid."""
    own = "float32" if dtype == "bfloat16" else dtype
    sizes: dict[str, int] = {}
    every = {key: _sound_array(signature, key, own, sizes) for key in signature.arrays}
    parameters = {key: each.example(sizes) for key, each in signature.parameters.items() if each.needed}
    sound = {key: array for key, array in every.items() if key not in signature.omissible} | parameters
    calls: Refused = []
    for key, array in every.items():
        beside = sound | every if key in signature.nullable else sound  # the arrays that it goes with
        calls += [(beside | {key: each}, error) for each, error in _no_such_array(signature, key, array)]
        others = {extent for other in every if other != key for extent in signature.arrays[other].extents}
        for axis, extent in enumerate(signature.arrays[key].extents):
            if extent in others:
                calls.append((sound | every | {key: np.concatenate([array, array], axis=axis)}, ValueError))
        if key in signature.finite:
            wrong = (np.nan, np.inf, -np.inf, *([-1] if key in signature.nonnegative else []))
            calls += [(beside | {key: np.full_like(array, each)}, ValueError) for each in wrong]
    batched = [key for key in every if signature.arrays[key].batch]
    if len(batched) > 1:
        calls.append((sound | {key: np.stack([every[key]] * (2 + i)) for i, key in enumerate(batched)}, ValueError))
    for key, each in signature.parameters.items():
        calls += [(sound | {key: value}, error) for value, error in _no_such_value(each, sizes)]
    return calls


def _no_such_array(signature: Signature, key: str, array: Array) -> list[tuple[Any, type[Exception]]]:
    """Return what must be refused in an array's place, whatever the others."""
    argument, first = signature.arrays[key], next(iter(signature.arrays))
    wrong: list[tuple[Any, type[Exception]]] = [
        (array.tolist(), TypeError),
        *([] if array.dtype == object else [(array.astype("U5"), TypeError)]),  # text and objects promote to objects
        (np.ma.masked_array(array), TypeError),
    ]
    if key not in signature.omissible:
        wrong.append((None, TypeError))
    if argument.least:
        wrong.append((array[(0,) * array.ndim + (...,)], ValueError))
    if not argument.batch:
        wrong.append((array[None], ValueError))
    if argument.least > 1:
        wrong.append((array[0], ValueError))
    if argument.keeps_dtype:
        wrong.append((array.astype("float64"), TypeError))
    if argument.kind == "Float" and not (signature.promotes and len(signature.arrays) > 1):
        wrong.append((array.astype(int), TypeError))
    if key != first and not signature.promotes:
        wrong.append((array.astype("float32" if array.dtype == "float64" else "float64"), TypeError))
    return wrong


def _no_such_value(each: Parameter, sizes: Mapping[str, int]) -> list[tuple[Any, type[Exception]]]:
    """Return what must be refused as a parameter's value."""
    if each.choices:
        return [(object(), ValueError), ("no such choice", ValueError), ([each.choices[0]], ValueError)]
    low, high = each.interval(sizes)
    numbers = [] if each.type is bool else [0, -1, 1e9, *([math.nan, math.inf] if each.type is float else [])]
    numbers += [bound for bound in (low - 1, high + 1) if math.isfinite(bound)]  # on either side of what it allows
    invalid = [value for value in map(each.type, numbers) if not each.allows(value, sizes)]
    no_number: list[Any] = [object(), "2.5", *([] if each.optional else [None]), *([] if each.type is bool else [True])]
    return [(value, ValueError) for value in invalid] + [(value, TypeError) for value in no_number]


def _sound_array(signature: Signature, key: str, dtype: str, sizes: dict[str, int]) -> Array:
    """Return a small array for a call that is in order; an extent that has no size yet gets one."""
    argument = signature.arrays[key]
    shape = [sizes.setdefault(extent, 2 + len(sizes)) for extent in argument.extents]
    return np.ones(shape, dtype) if key in signature.group else np.zeros(shape, WHOLE[argument.kind][0])
