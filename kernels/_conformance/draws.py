"""The calls that an operation's signature gives to the tests: extents that straddle tiles, entries of every size.

What an operation's `_properties.py` states takes the place of what is derived here: `cases`, where calls of its own find more,
such as points in clusters; `parameters`, where a parameter depends on the arrays; `SCALES` (see `relations.py`), by whose powers
of two calls are scaled. What `refused` returns there is refused as well.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from kernels._conformance.arguments import WHOLE, long_extent, magnitudes, parameter_values, whole_array, with_special
from kernels._conformance.cases import SMALL, Case, extents
from kernels._conformance.refusals import refused_calls
from kernels._definition.annotations import ArrayArgument, Parameter
from kernels._definition.numerics import precision_of
from kernels._definition.signature import Signature

if TYPE_CHECKING:
    from kernels._conformance.implementation import Implementation

Array = np.ndarray[Any, Any]
Calls = st.SearchStrategy[Case]

COMMON = ("float32", "float64")  # a third of all calls are in these
WRAPS = (7, 8, 15, 16, 31)  # a whole number of so many bits, or one more, goes round here
# Batches that broadcast with each other; where all extents are equal, exchanged axes do not show as a wrong shape.
BATCHES: tuple[tuple[tuple[int, ...], ...], ...] = (((2,), ()), ((3, 3), (3, 1), (3,), ()), ((3, 2), (3, 1), (2,), ()))


@functools.cache
def properties_of(contract: Any) -> Any:
    """Return what an operation's `_properties.py` states, and what follows from its signature where that says nothing."""
    module = contract.beside("_properties")
    stated: dict[str, Any] = vars(module) if module else {}
    own = {key: value for key, value in stated.items() if not key.startswith("_")}
    further = own.get("refused", lambda _: [])
    own["refused"] = lambda dtype: [*refused_calls(contract.signature, dtype), *further(dtype)]
    return SimpleNamespace(**{"cases": cases, "parameters": parameters, "PROPERTIES": (), "SCALES": (), **own})


# Extents, shapes and dtypes


def all_arrays(implementation: Implementation) -> tuple[str, ...]:
    """Return the arrays that a call may give."""
    signature: Signature = implementation.contract.signature
    return tuple(
        key for key in signature.arrays if not (key in signature.omissible and None in implementation.limits.get(key, ()))
    )


def given_arrays(implementation: Implementation) -> st.SearchStrategy[tuple[str, ...]]:
    """Draw which arrays a call gives: each that may be left out is so half of the time."""
    every, omissible = all_arrays(implementation), implementation.contract.signature.omissible
    some = [[key] if key not in omissible else [key, None] for key in every]
    choices = [tuple(key for key in chosen if key) for chosen in itertools.product(*some)]
    return st.sampled_from(choices) if len(choices) > 1 else st.just(every)


def names(implementation: Implementation, arrays: Mapping[str, Any] | tuple[str, ...]) -> list[str]:
    """Return the names of the core extents of the arrays that a call gives."""
    signature: Signature = implementation.contract.signature
    same = signature.same_extents(arrays)
    return list(dict.fromkeys(same.get(extent, extent) for key in arrays for extent in signature.arrays[key].extents))


def allowed(implementation: Implementation, extent: str, sizes: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    """Draw a size of an extent that the implementation's limits allow; where none of those drawn is, one of the first hundred."""
    keys = [
        key for key, product in implementation.contract.QUANTITIES.items() if product == extent and key in implementation.limits
    ]
    if not keys:
        return sizes
    taken = [size for size in range(1, 101) if implementation.within(keys[0], [size])]
    return st.sampled_from(taken) if taken else st.nothing()


def dtypes_of(implementation: Implementation, among: Callable[[str], bool] = lambda _: True) -> st.SearchStrategy[str]:
    """Draw a dtype: a third of the time one of the two that every kernel takes."""
    dtypes = [dtype for dtype in implementation.dtypes if among(dtype)]
    if not dtypes:  # nor is there in the next example: Hypothesis would go through hundreds
        raise Unsatisfiable("nothing that is claimed")
    common = [dtype for dtype in COMMON if dtype in dtypes] or dtypes
    return st.one_of(*map(st.sampled_from, (common, dtypes, dtypes)))


def is_inexact(dtype: str) -> bool:
    """Whether a dtype is real or complex: its arithmetic rounds."""
    return dtype != "object" and precision_of(dtype) is not None


# Calls


@st.composite
def cases(draw: st.DrawFn, implementation: Implementation, most: int) -> Case:
    """Draw a call of at most so much work: of core arrays, of batches that broadcast, or without extents that may be missing."""
    signature: Signature = implementation.contract.signature
    arrays = {key: signature.arrays[key] for key in draw(given_arrays(implementation))}
    sizes = long_extent(draw, signature, most)
    work = most // max([1, *sizes.values()])
    most = SMALL if sizes else most  # beside a long extent the others are short
    same = signature.same_extents(arrays)
    twice = set(same.values())  # such an extent stands for another as well: those of all pairs of x are squared
    left = [name for name in names(implementation, arrays) if name not in sizes]
    for extent in draw(st.permutations(left)):  # each in turn is the one that may be largest
        own = math.isqrt(work) if extent in twice else work
        size = draw(allowed(implementation, extent, extents(most, own)))
        sizes[extent] = max(1, size)  # over nothing, few reductions are defined
        work //= sizes[extent] ** (2 if extent in twice else 1)
    shape = draw(_shapes(arrays) if most <= SMALL else st.just({key: each.extents for key, each in arrays.items()}))
    forms = {key: draw(st.sampled_from(list(FORMS))) for key in arrays}
    shapes = {key: tuple(sizes.get(same.get(e, e), e) for e in shape[key]) for key in arrays}
    case = draw(filled(implementation, shapes, forms))
    return scaled(case, draw(_exponents(implementation, case.dtype)))


def drawn(implementation: Implementation, data: st.DataObject, most: int = SMALL, label: str = "case") -> Case:
    """Draw a call of at most so much work, as the operation has its calls drawn; it is the one under trial."""
    own = properties_of(implementation.contract).cases(implementation, min(most, implementation.most))
    return implementation.note(data.draw(own, label=label))


@st.composite
def _shapes(draw: st.DrawFn, arrays: Mapping[str, ArrayArgument]) -> dict[str, tuple[Any, ...]]:
    """Draw each array's shape in names and numbers: half of the time its core extents, else in a batch, or without some."""
    optional = sorted(frozenset[str]().union(*(each.optional for each in arrays.values())))
    batched = any(each.batch for each in arrays.values())
    forms = ["core"] * (batched + bool(optional)) + ["batch"] * batched + ["missing"] * bool(optional)
    form = draw(st.sampled_from(forms or [""]))
    missing = draw(st.sets(st.sampled_from(optional), min_size=1)) if form == "missing" else ()
    fitting = draw(st.sampled_from(BATCHES)) if form == "batch" else ((),)
    return {
        key: (*(draw(st.sampled_from(fitting)) if each.batch else ()), *(e for e in each.extents if e not in missing))
        for key, each in arrays.items()
    }


def leading_extents(arrays: Sequence[str]) -> st.SearchStrategy[dict[str, tuple[int, ...]]]:
    """Draw the extents of a batch before one array at least; drawn one by one, most would be equal, as Hypothesis likes it."""
    together = [each for each in itertools.product(((2,), (1,), ()), repeat=len(arrays)) if any(each)]
    return st.sampled_from([dict(zip(arrays, each, strict=True)) for each in together])


@st.composite
def calls(
    draw: st.DrawFn,
    implementation: Implementation,
    sizes: Mapping[str, int],
    forms: tuple[str, ...] = ("normal",),
    among: Callable[[str], bool] = lambda _: True,
    leading: Mapping[str, tuple[int, ...]] | None = None,
) -> Case:
    """Draw a call whose core arrays have these extents, in a dtype among those meant, all filled in one of some forms.

    An array that has a default is left out where it has an extent that is not among them, and one that may be None half of the
    time. `leading` are extents of batches.
    """
    signature: Signature = implementation.contract.signature
    needed = [key for key, each in signature.arrays.items() if key not in signature.nullable and {*each.extents} <= sizes.keys()]
    same = signature.same_extents(needed)
    sizes = {**sizes, **{own: sizes[extent] for own, extent in same.items() if extent in sizes}}
    free = [key for key in all_arrays(implementation) if key in signature.nullable and draw(st.booleans())]
    given = {key: each for key, each in signature.arrays.items() if key in needed + free}
    shapes = {key: (*(leading or {}).get(key, ()), *(sizes[e] for e in each.extents)) for key, each in given.items()}
    form = draw(st.sampled_from(forms))
    return draw(filled(implementation, shapes, dict.fromkeys(shapes, form), among))


@st.composite
def filled(
    draw: st.DrawFn,
    implementation: Implementation,
    shapes: Mapping[str, tuple[int, ...]],
    forms: Mapping[str, str],
    among: Callable[[str], bool] = lambda _: True,
) -> Case:
    """Draw a call whose arrays have these shapes, each filled in its form, and the parameters that go with them."""
    dtype = draw(dtypes_of(implementation, among))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    signature: Signature = implementation.contract.signature
    stated = {key: signature.arrays[key] for key in shapes}
    sizes = {e: n for key, each in stated.items() for e, n in zip(each.extents[::-1], shapes[key][::-1], strict=False)}
    arrays = {}
    for key, argument in stated.items():
        if argument.keeps_dtype:
            whole_dtype = draw(st.sampled_from(WHOLE[argument.kind]))
            whole = whole_array(rng, argument, shapes[key], sizes.get(signature.indices.get(key, "")), whole_dtype)
            arrays[key] = whole.astype(dtype) if key in signature.group else whole
        else:
            arrays[key] = with_special(draw, rng, fill(rng, shapes[key], dtype, forms[key]), signature.special.get(key, ()))
        if key in signature.nonnegative:
            arrays[key] = magnitudes(draw, rng, arrays[key])
    own = draw(properties_of(implementation.contract).parameters(implementation, arrays))
    if signature.custom:
        try:
            implementation.contract.validate(**arrays, **own)
        except (TypeError, ValueError):
            reject()
    return Case(arrays, own, dtype)


@st.composite
def parameters(draw: st.DrawFn, implementation: Implementation, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Draw each parameter: one of its choices, or a number that its conditions allow."""
    stated: dict[str, Parameter] = implementation.contract.signature.parameters
    signature: Signature = implementation.contract.signature
    sizes = signature.extents(signature.with_defaults(arrays))
    return {key: draw(parameter_values(each, implementation, sizes)) for key, each in stated.items()}


def scaled(case: Case, exponents: Mapping[str, int]) -> Case:
    """Return the call with arrays and parameters times powers of two, rounded to the dtype where they leave its range."""
    arrays = {
        key: rounded(array * np.ldexp(array.dtype.type(1).real, exponents[key]), case.dtype) if exponents.get(key) else array
        for key, array in case.arrays.items()
    }
    own = {key: math.ldexp(value, exponents[key]) if exponents.get(key) else value for key, value in case.parameters.items()}
    return replace(case, arrays=arrays, parameters=own)


@st.composite
def _exponents(draw: st.DrawFn, implementation: Implementation, dtype: str) -> dict[str, int]:
    """Draw powers of two that change no digit of the result: up to 2^24 for each of the operation's `SCALES`."""
    if not is_inexact(dtype):
        return {}
    drawn: dict[str, int] = {}
    total = 0
    for powers in properties_of(implementation.contract).SCALES:
        most = 6 if dtype == "float16" else 24
        p = -total if dtype == "float16" and total else draw(st.integers(-most, most))
        total += p
        drawn |= {key: power * p for key, power in powers.items() if key != "result"}
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
