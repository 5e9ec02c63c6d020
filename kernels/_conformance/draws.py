"""The calls that an operation's signature gives to the tests: extents that straddle tiles, entries of every size, and refusals.

An operation that needs other calls, such as points in clusters, brings its own in `_properties.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from kernels._conformance.arguments import long_extent, outside, parameter_values, sound_call, whole_numbers, with_special
from kernels._conformance.cases import SMALL, Case, extents
from kernels._definition.signature import Signature

if TYPE_CHECKING:
    from kernels._conformance.subject import Subject
    from kernels._definition.contract import Contract

BATCHES = ((), (), (2,), (3, 3))  # equal extents, so that exchanged axes do not show as a wrong shape


def derived(contract: Contract) -> SimpleNamespace:
    """Return what `_properties.py` would hold: a strategy for calls, no further properties, and calls that must be refused."""
    signature = contract.signature

    @st.composite
    def cases(draw: st.DrawFn, subject: Subject, most: int) -> Case:
        dtype = draw(st.sampled_from(subject.dtypes))
        sizes = _extents(draw, signature, most)
        batch = draw(st.sampled_from(BATCHES)) if any(array.batch for array in signature.arrays.values()) else ()
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        arrays = {}
        for key, argument in signature.arrays.items():
            if key in signature.defaults and draw(st.booleans()):
                continue
            shape = (*(batch if argument.batch else ()), *(sizes[extent] for extent in argument.extents))
            if argument.apart:
                arrays[key] = whole_numbers(draw, rng, argument, shape, sizes.get(signature.indices.get(key, "")))
                arrays[key] = arrays[key].astype(dtype) if key in signature.group else arrays[key]
                continue
            arrays[key] = _filled(rng, draw(st.sampled_from(list(FORMS))), shape).astype(dtype)
            arrays[key] = with_special(draw, rng, arrays[key], signature.special.get(key, ()))
        parameters = {key: draw(parameter_values(each, subject, sizes)) for key, each in signature.parameters.items()}
        if signature.own:
            try:
                contract.validate(**arrays, **parameters)
            except (TypeError, ValueError):
                reject()
        return Case(arrays, parameters, dtype)

    return SimpleNamespace(cases=cases, PROPERTIES=(), refused=lambda dtype: _refused(signature, dtype))


def _extents(draw: st.DrawFn, signature: Signature, most: int) -> dict[str, int]:
    """Draw an extent for each name; each in turn is the one that may be largest."""
    names = list(dict.fromkeys(extent for array in signature.arrays.values() for extent in array.extents))
    sizes = long_extent(draw, signature, most)
    room = most // max([1, *sizes.values()])
    most = SMALL if sizes else most  # beside a long extent the others are short
    for name in draw(st.permutations([name for name in names if name not in sizes])):
        # Over nothing, most reductions are not defined, and there is no index.
        needed = name in signature.indices.values() or not any(name in part.extents for part in signature.results.values())
        least = 1 if needed else 0
        sizes[name] = max(least, draw(extents(most, room)))
        room //= max(1, sizes[name])
    return sizes


# How arrays are filled: each is a kind of numbers that has broken kernels before.
FORMS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray[Any, Any]]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "large": lambda rng, shape: 2.0 ** rng.integers(5, 10) * rng.standard_normal(shape),  # exponentials overflow
    "small": lambda rng, shape: 2.0 ** rng.integers(-20, -3) * rng.standard_normal(shape),
    "offset": lambda rng, shape: 2.0 ** rng.integers(3, 10) + rng.standard_normal(shape),
    "rows of every size": lambda rng, shape: (
        rng.standard_normal(shape) + 400.0 * rng.standard_normal(shape[:-1] + (1,) * bool(shape))
    ),
    "equal": lambda rng, shape: np.full(shape, rng.standard_normal()),
    "one stands out": lambda rng, shape: _outlier(rng, shape),
}


def _filled(rng: np.random.Generator, form: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.asarray(FORMS[form](rng, shape))


def _outlier(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    array = np.asarray(rng.standard_normal(shape))
    if array.size:
        array.flat[rng.integers(array.size)] = 50.0
    return array


def _refused(signature: Signature, dtype: str) -> list[tuple[dict[str, Any], type[Exception]]]:
    """Return calls that must be refused: an array too flat, extents that differ, a choice that is none, no array at all."""
    dtype = "float32" if dtype == "bfloat16" else dtype
    sound, parameters = sound_call(signature, dtype)
    calls: list[tuple[dict[str, Any], type[Exception]]] = []
    for key, array in sound.items():
        calls.append((sound | parameters | {key: array.tolist()}, TypeError))
        if signature.arrays[key].apart:
            calls.append((sound | parameters | {key: array.astype("float64")}, TypeError))
        if signature.arrays[key].least:
            calls.append((sound | parameters | {key: np.ones((), array.dtype)}, ValueError))
        if not signature.arrays[key].batch:
            calls.append((sound | parameters | {key: array[None]}, ValueError))
        others = [extent for other in sound if other != key for extent in signature.arrays[other].extents]
        shared = [extent for extent in signature.arrays[key].extents if extent in others]
        if shared:
            axis = signature.arrays[key].extents.index(shared[0])
            calls.append((sound | parameters | {key: np.concatenate([array, array], axis=axis)}, ValueError))
    for key, each in signature.parameters.items():
        calls.append((sound | parameters | {key: object()}, ValueError if each.choices else TypeError))
        calls += [(sound | parameters | {key: value}, ValueError) for value in outside(each, signature.extents(sound))]
    return calls
