"""Draws the arguments other than floating arrays that a signature states: parameters, indices, truth values, infinities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance.cases import SMALL
from kernels._definition.annotations import ArrayArgument, Parameter
from kernels._definition.signature import Signature

if TYPE_CHECKING:
    from kernels._conformance.implementation import Implementation

WIDTH = 20  # of the interval that numbers without a lower or an upper bound are drawn from
WRAPS = (600, 140_000)  # extents of which most indices fit in no integer of 8 bits, or of 16
WHOLE = {"Int": ("int64", "int32"), "Integer": ("int64", "uint8"), "UInt": ("uint64", "uint8"), "Bool": ("bool",)}


def parameter_values(parameter: Parameter, implementation: Implementation, extents: dict[str, int]) -> st.SearchStrategy[Any]:
    """Draw a parameter's value: one of its choices, or a number that its conditions and the implementation's limits allow."""
    name = parameter.name
    if parameter.choices or parameter.type is bool:
        choices = [*(parameter.choices or (False, True)), *([None] if parameter.optional and not parameter.choices else [])]
        return st.sampled_from(implementation.within(name, choices))
    numbers = _numbers(parameter, extents).filter(
        lambda value: parameter.allows(value, extents) and implementation.within(name, [value])
    )
    return st.one_of(numbers, st.just(None)) if parameter.optional and implementation.within(name, [None]) else numbers


def _numbers(parameter: Parameter, extents: dict[str, int]) -> st.SearchStrategy[Any]:
    low, high = parameter.interval(extents)
    if math.isinf(low) and math.isinf(high):
        low, high = -WIDTH / 5, WIDTH * 4 / 5
    low, high = (high - WIDTH if math.isinf(low) else low), (low + WIDTH if math.isinf(high) else high)
    step = parameter.step
    if parameter.type is int or step:
        step = step or 1
        return st.integers(math.ceil(low / step), math.floor(high / step)).map(lambda count: count * step)
    numbers = st.floats(low, high)
    if max(abs(low), abs(high)) < 1024 <= 1024 * (high - low):  # a number of few digits is the same in every dtype
        return numbers.map(lambda value: float(np.float16(value)))
    return numbers


def whole_array(
    rng: np.random.Generator, argument: ArrayArgument, shape: Sequence[int], count: int | None, dtype: str = ""
) -> np.ndarray[Any, Any]:
    """Return an array of truth values or of whole numbers, in a dtype of `WHOLE`: indices below a count, where it is given."""
    dtype = dtype or WHOLE[argument.kind][0]
    most = 2 if dtype == "bool" else min(count or 8, np.iinfo(dtype).max)
    return rng.integers(0, most, shape).astype(dtype)


def long_extent(draw: st.DrawFn, signature: Signature, most: int) -> dict[str, int]:
    """Draw, for an operation with indices, one extent that they may count so long that they wrap in a narrow integer.

    In a third of the ordinary draws, and in two thirds of the large ones.
    """
    whole = [part for part in signature.results.values() if part.kind in ("Int", "Integer", "UInt")]
    of_result = {extent for part in whole for extent in part.extents}
    passed = [extent for array in signature.arrays.values() for extent in array.extents if whole and extent not in of_result]
    # The extent that an index counts is mostly in one array alone; one that two arrays share is mostly summed over.
    counted = [*signature.indices.values(), *([extent for extent in passed if passed.count(extent) == 1] or passed)]
    fitting = [size for size in WRAPS if 4 * size <= most]
    if not (fitting and counted) or draw(st.sampled_from([True, True, False] if most <= SMALL else [False, False, True])):
        return {}
    return {draw(st.sampled_from(counted)): fitting[-1]}


def with_special(
    draw: st.DrawFn, rng: np.random.Generator, array: np.ndarray[Any, Any], special: tuple[float, ...]
) -> np.ndarray[Any, Any]:
    """Put numbers that are not finite among an array's entries, in half of the draws."""
    share = draw(st.sampled_from([0.0, 0.0, 0.1, 0.6])) if special else 0.0
    for number in special if share else ():
        array[rng.random(array.shape) < share / len(special)] = number
    return array


def magnitudes(draw: st.DrawFn, rng: np.random.Generator, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array's magnitudes, in half of the draws with zeros among them."""
    share = draw(st.sampled_from([0.0, 0.0, 0.2, 0.7]))
    return np.asarray(np.where(rng.random(array.shape) < share, array.dtype.type(0), np.abs(array)))
