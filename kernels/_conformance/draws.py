"""The calls that an operation's signature gives to the tests: extents that straddle tiles, entries of every size, and refusals.

What an operation's `_properties.py` states takes the place of what is derived here: `cases`, where calls of its own find more,
such as points in clusters; `parameters`, where a parameter depends on the arrays; `SCALES` (see `relations.py`), by whose powers
of two calls are scaled. What `refused` returns there is refused as well.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance.cases import SMALL, Case, extents
from kernels._definition.numerics import precision_of
from kernels._definition.signature import ArrayArgument, Parameter, Signature

if TYPE_CHECKING:
    from kernels._conformance.subject import Subject

Array = np.ndarray[Any, Any]
Calls = st.SearchStrategy[Case]

COMMON = ("float32", "float64")  # a third of all calls are in these
WRAPS = (7, 8, 15, 16, 31)  # a whole number of so many bits, or one more, goes round here
# Batches that broadcast with each other; where all extents are equal, exchanged axes do not show as a wrong shape.
BATCHES: tuple[tuple[tuple[int, ...], ...], ...] = (((2,), ()), ((3, 3), (3, 1), (3,), ()), ((3, 2), (3, 1), (2,), ()))


@functools.cache
def properties_of(contract: Any) -> Any:
    """Return what an operation's `_properties.py` states, and what follows from its signature where that says nothing."""
    name = f"{contract.module.__name__}._properties"
    there = hasattr(contract.module, "__path__") and importlib.util.find_spec(name)
    stated: dict[str, Any] = vars(importlib.import_module(name)) if there else {}
    own = {key: value for key, value in stated.items() if not key.startswith("_")}
    further = own.get("refused", lambda _: [])
    own["refused"] = lambda dtype: [*_refused(contract.signature, dtype), *further(dtype)]
    return SimpleNamespace(**{"cases": cases, "parameters": parameters, "PROPERTIES": (), "SCALES": (), **own})


# Extents, shapes and dtypes


def all_arrays(subject: Subject) -> tuple[str, ...]:
    """Return the arrays that a call may give."""
    signature: Signature = subject.contract.signature
    return tuple(key for key in signature.arrays if not (key in signature.defaults and None in subject.limits.get(key, ())))


def given_arrays(subject: Subject) -> st.SearchStrategy[tuple[str, ...]]:
    """Draw which arrays a call gives: those that have a default are left out half of the time."""
    every = all_arrays(subject)
    needed = tuple(key for key in every if key not in subject.contract.signature.defaults)
    return st.sampled_from([every, needed]) if every != needed else st.just(every)


def names(subject: Subject, arrays: Iterable[str]) -> list[str]:
    """Return the names of the core extents of some arrays."""
    signature: Signature = subject.contract.signature
    return list(dict.fromkeys(extent for key in arrays for extent in signature.arrays[key].extents))


def allowed(subject: Subject, extent: str, sizes: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    """Draw a size of an extent, one that the subject's limits allow; where none of those drawn is, one of the first hundred."""
    keys = [key for key, product in subject.contract.QUANTITIES.items() if product == extent and key in subject.limits]
    if not keys:
        return sizes
    taken = [size for size in range(1, 101) if subject.within(keys[0], [size])]
    return st.sampled_from(taken) if taken else st.nothing()


def dtypes_of(subject: Subject, among: Callable[[str], bool] = lambda _: True) -> st.SearchStrategy[str]:
    """Draw a dtype: a third of the time one of the two that every kernel takes."""
    dtypes = [dtype for dtype in subject.dtypes if among(dtype)]
    if not dtypes:
        return st.nothing()
    common = [dtype for dtype in COMMON if dtype in dtypes] or dtypes
    return st.one_of(*map(st.sampled_from, (common, dtypes, dtypes)))


def is_inexact(dtype: str) -> bool:
    """Whether a dtype is real or complex: its arithmetic rounds."""
    return dtype != "object" and precision_of(dtype) is not None


# Calls


@st.composite
def cases(draw: st.DrawFn, subject: Subject, most: int) -> Case:
    """Draw a call of at most so much work: of core arrays, of batches that broadcast, or without extents that may be missing."""
    signature: Signature = subject.contract.signature
    arrays = {key: signature.arrays[key] for key in draw(given_arrays(subject))}
    sizes, room = {}, most
    for extent in draw(st.permutations(names(subject, arrays))):  # each in turn is the one that may be largest
        sizes[extent] = max(1, draw(allowed(subject, extent, extents(most, room))))  # over nothing, few reductions are defined
        room //= max(1, sizes[extent])
    shape = draw(_shapes(arrays) if most <= SMALL else st.just({key: each.extents for key, each in arrays.items()}))
    forms = {key: draw(st.sampled_from(list(FORMS))) for key in arrays}
    shapes = {key: tuple(sizes.get(e, e) for e in shape[key]) for key in arrays}
    case = draw(filled(subject, shapes, forms))
    return scaled(case, draw(_exponents(subject, case.dtype)))


@st.composite
def _shapes(draw: st.DrawFn, arrays: Mapping[str, ArrayArgument]) -> dict[str, tuple[Any, ...]]:
    """Draw each array's shape in names and numbers: half of the time its core extents, else in a batch, or without some."""
    optional = sorted(frozenset[str]().union(*(each.optional for each in arrays.values())))
    batched = any(each.batch for each in arrays.values())
    form = draw(
        st.sampled_from(["core"] * (batched + bool(optional)) + ["batch"] * batched + ["missing"] * bool(optional) or [""])
    )
    missing = draw(st.sets(st.sampled_from(optional), min_size=1)) if form == "missing" else ()
    fitting = draw(st.sampled_from(BATCHES)) if form == "batch" else ((),)
    return {
        key: (*(draw(st.sampled_from(fitting)) if each.batch else ()), *(e for e in each.extents if e not in missing))
        for key, each in arrays.items()
    }


@st.composite
def calls(
    draw: st.DrawFn,
    subject: Subject,
    sizes: Mapping[str, int],
    forms: tuple[str, ...] = ("normal",),
    among: Callable[[str], bool] = lambda _: True,
) -> Case:
    """Draw a call whose core arrays have these extents, in a dtype among those meant, all filled in one of some forms.

    An array that has a default is left out where it has an extent that is not among them.
    """
    arrays: dict[str, ArrayArgument] = subject.contract.signature.arrays
    shapes = {key: tuple(sizes[e] for e in each.extents) for key, each in arrays.items() if {*each.extents} <= sizes.keys()}
    form = draw(st.sampled_from(forms))
    return draw(filled(subject, shapes, dict.fromkeys(shapes, form), among))


@st.composite
def filled(
    draw: st.DrawFn,
    subject: Subject,
    shapes: Mapping[str, tuple[int, ...]],
    forms: Mapping[str, str],
    among: Callable[[str], bool] = lambda _: True,
) -> Case:
    """Draw a call whose arrays have these shapes, each filled in its form, and the parameters that go with them."""
    dtype = draw(dtypes_of(subject, among))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = {key: fill(rng, shape, dtype, forms[key]) for key, shape in shapes.items()}
    return Case(arrays, draw(properties_of(subject.contract).parameters(subject, arrays)), dtype)


@st.composite
def parameters(draw: st.DrawFn, subject: Subject, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Draw each parameter: one of its choices, or a number that its conditions allow."""
    stated: dict[str, Parameter] = subject.contract.signature.parameters
    return {key: draw(_value(each, subject)) for key, each in stated.items()}


def _value(parameter: Parameter, subject: Subject) -> st.SearchStrategy[Any]:
    if parameter.choices:
        return st.sampled_from(subject.within(parameter.name, parameter.choices))
    if parameter.type is bool:
        return st.booleans()
    numbers: st.SearchStrategy[Any] = st.integers(-4, 16) if parameter.type is int else st.floats(-4, 16, width=16)
    return numbers.filter(lambda value: _is_valid(parameter, value))


def _is_valid(parameter: Parameter, value: Any) -> bool:
    return all(eval(code, {"value": value, "inf": math.inf}) for code, _ in parameter.conditions)


def scaled(case: Case, exponents: Mapping[str, int]) -> Case:
    """Return the call with arrays and parameters times powers of two, rounded to the dtype where they leave its range."""
    arrays = {
        key: rounded(array * np.ldexp(array.dtype.type(1).real, exponents[key]), case.dtype) if exponents.get(key) else array
        for key, array in case.arrays.items()
    }
    own = {key: math.ldexp(value, exponents[key]) if exponents.get(key) else value for key, value in case.parameters.items()}
    return replace(case, arrays=arrays, parameters=own)


@st.composite
def _exponents(draw: st.DrawFn, subject: Subject, dtype: str) -> dict[str, int]:
    """Draw powers of two that change no digit of the result: up to 2^24 for each of the operation's `SCALES`."""
    if not is_inexact(dtype):
        return {}
    drawn: dict[str, int] = {}
    total = 0
    for powers in properties_of(subject.contract).SCALES:
        most = 6 if dtype == "float16" else 24
        p = -total if dtype == "float16" and total else draw(st.integers(-most, most))
        total += p
        drawn |= {key: power * p for key, power in powers.items()}
    return drawn


# Entries

# How arrays are filled: each is a kind of numbers that has broken kernels before.
FORMS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Any]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "large": lambda rng, shape: 2.0 ** rng.integers(5, 10) * rng.standard_normal(shape),  # exponentials overflow
    "small": lambda rng, shape: 2.0 ** rng.integers(-20, -3) * rng.standard_normal(shape),
    "of one sign": lambda rng, shape: rng.choice([-1, 1]) * np.abs(rng.standard_normal(shape)),  # errors add up
    "offset": lambda rng, shape: 2.0 ** rng.integers(3, 10) + rng.standard_normal(shape),
    "rows of every size": lambda rng, shape: (
        rng.standard_normal(shape) + 400.0 * rng.standard_normal(shape[:-1] + (1,) * bool(shape))
    ),
    "equal": lambda rng, shape: np.full(shape, rng.standard_normal()),
    "one stands out": lambda rng, shape: _outlier(rng, shape),
    "beside a wrap": lambda rng, shape: rng.choice([-1, 1]) * beside_a_wrap(rng, shape, rng.choice(WRAPS)),
    "nearly of a structure": lambda rng, shape: _structured(rng, shape),
}


def fill(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, form: str = "normal") -> Array:
    """Fill an array in some form; whole numbers are from the dtype's whole range."""
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype == "object":
        return np.asarray(rng.integers(-(2**40), 2**40, shape).astype(object)).reshape(shape)
    working = precision_of(dtype)
    if working is None:
        info = np.iinfo(dtype)
        return np.asarray(rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True))
    numbers = np.asarray(FORMS[form](rng, shape))
    if "complex" in dtype or dtype == "clongdouble":
        return np.asarray((numbers + 1j * FORMS[form](rng, shape)).astype(dtype))
    most = working.largest**0.25  # a product of two, scaled, and a sum of such, stay within the range
    return rounded(np.clip(numbers, -most, most), dtype)


def rounded(numbers: Any, dtype: str) -> Array:
    """Round to a dtype; bfloat16, kept in float32, by its upper sixteen bits."""
    if dtype != "bfloat16":
        return np.asarray(numbers).astype(dtype)
    return np.asarray((np.asarray(numbers).astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32))


def beside_a_wrap(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> Array:
    """Whole numbers within two of 2^bits, and what lies just beside them."""
    return np.asarray(2.0**bits + rng.integers(-2, 3, shape) + rng.choice([-1e-3, 1e-3], shape))


def _outlier(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    array = np.asarray(rng.standard_normal(shape))
    if array.size:
        array.flat[rng.integers(array.size)] = 50.0
    return array


# What a clever kernel may take a matrix for; the lower triangle is where the row is past the column.
STRUCTURES: dict[str, Callable[[Array, Array, Array], Any]] = {
    "diagonal": lambda a, i, j: np.where(i == j, a, 0),
    "identity": lambda a, i, j: (i == j).astype(float),
    "triangular": lambda a, i, j: np.where(i <= j, a, 0),
    "symmetric": lambda a, i, j: np.where(i > j, a.T, a) if a.shape[0] == a.shape[1] else a,
    "of equal rows": lambda a, i, j: a[:1] + 0 * a,
    "bordered by zeros": lambda a, i, j: np.where((i % max(1, len(a) - 1) == 0) | (j % max(1, a.shape[1] - 1) == 0), 0, a),
}


def _structured(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A matrix of some structure, of which up to two entries are something else."""
    array = np.asarray(rng.standard_normal(shape))
    if len(shape) == 2:
        array = np.asarray(STRUCTURES[rng.choice(list(STRUCTURES))](array, *np.indices(shape)))
    for _ in range(rng.integers(3) if array.size else 0):
        array.flat[rng.integers(array.size)] = rng.standard_normal()
    return array


# Refusals


def _refused(signature: Signature, dtype: str) -> list[tuple[dict[str, Any], type[Exception]]]:
    """Return calls that must be refused: arrays that are none or do not fit, NaN where none may be, values that are not valid."""
    own = "float32" if dtype == "bfloat16" else dtype
    sizes: dict[str, int] = {}
    every = {
        key: np.ones([sizes.setdefault(extent, 2 + len(sizes)) for extent in argument.extents], own)
        for key, argument in signature.arrays.items()
    }
    parameters = {
        key: each.choices[0] if each.choices else each.type(1)
        for key, each in signature.parameters.items()
        if each.default is signature.public.parameters[key].empty
    }
    sound = {key: array for key, array in every.items() if key not in signature.defaults} | parameters
    calls: list[tuple[dict[str, Any], type[Exception]]] = []
    for key, array in every.items():
        calls += [(sound | {key: each}, error) for each, error in _no_such_array(signature, key, array)]
        others = {extent for other in every if other != key for extent in signature.arrays[other].extents}
        for axis, extent in enumerate(signature.arrays[key].extents):
            if extent in others:
                calls.append((sound | every | {key: np.concatenate([array, array], axis=axis)}, ValueError))
        if key in signature.finite:
            calls += [(sound | {key: np.full_like(array, each)}, ValueError) for each in (np.nan, np.inf, -np.inf)]
    batched = [key for key in every if signature.arrays[key].batch]
    if len(batched) > 1:
        calls.append((sound | {key: np.stack([every[key]] * (2 + i)) for i, key in enumerate(batched)}, ValueError))
    for key, each in signature.parameters.items():
        calls += [(sound | {key: value}, error) for value, error in _no_such_value(each)]
    return calls


def _no_such_array(signature: Signature, key: str, array: Array) -> list[tuple[Any, type[Exception]]]:
    """Return what must be refused in an array's place, whatever the others."""
    argument, first = signature.arrays[key], next(iter(signature.arrays))
    wrong: list[tuple[Any, type[Exception]]] = [
        (array.tolist(), TypeError),
        (array.astype("U5"), TypeError),
        (np.ma.masked_array(array), TypeError),
    ]
    if key not in signature.defaults:
        wrong.append((None, TypeError))
    if argument.least:
        wrong.append((array[(0,) * array.ndim + (...,)], ValueError))
    if not argument.batch:
        wrong.append((array[None], ValueError))
    if argument.least > 1:
        wrong.append((array[0], ValueError))
    if argument.kind == "Float" and not (signature.promotes and len(signature.arrays) > 1):
        wrong.append((array.astype(int), TypeError))
    if key != first and not signature.promotes:
        wrong.append((array.astype("float32" if array.dtype == "float64" else "float64"), TypeError))
    return wrong


def _no_such_value(each: Parameter) -> list[tuple[Any, type[Exception]]]:
    """Return what must be refused as a parameter's value."""
    if each.choices:
        return [(object(), ValueError), ("no such choice", ValueError), ([each.choices[0]], ValueError)]
    numbers = () if each.type is bool else (0, -1, 1e9, *((math.nan, math.inf) if each.type is float else ()))
    invalid = [each.type(value) for value in numbers if not _is_valid(each, each.type(value))]
    no_number: list[Any] = [object(), "2.5", None, *([] if each.type is bool else [True])]
    return [(value, ValueError) for value in invalid] + [(value, TypeError) for value in no_number]
