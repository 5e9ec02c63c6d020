"""What is asked of an outer function besides what its signature gives: permutations, exact scaling, which way round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.cases import Case
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import precision_of, require_precision
from kernels.outer import FUNCTIONS

PERMUTES = "m n"
DEGREES = {"multiply": 2, "add": 1, "subtract": 1}  # both operands times 2^p give the result times 2^p to this power


def _every_function(implementation: Implementation, case: Case) -> Iterator[Case]:
    """Yield the call with each function that the implementation takes of such operands."""
    for function in implementation.within("function", FUNCTIONS):
        changed = replace(case, parameters={"function": function})
        if implementation.claims(changed):
            yield implementation.note(changed)


def _has_range(dtype: str) -> bool:
    """Whether a dtype rounds, and has exponents enough, and none past those of float64."""
    return draws.is_inexact(dtype) and dtype not in ("float16", "longdouble", "clongdouble")


def _is_whole(dtype: str) -> bool:
    return dtype not in ("bool", "object") and precision_of(dtype) is None


def tells_rows_from_columns(implementation: Implementation, data: st.DataObject) -> None:
    """Where both operands have one length, or are the same, no shape betrays a transposed result, or operands exchanged."""
    m = data.draw(st.sampled_from([2, 3, 8, 16, 17, 33, 64, 65]), label="m and n")
    case = data.draw(draws.calls(implementation, {"m": m, "n": m}), label="case")
    if data.draw(st.booleans(), label="both are the same"):
        case = replace(case, arrays=dict.fromkeys("ab", case.arrays["a"]))
    for asked in _every_function(implementation, case):
        implementation.judge(asked, implementation.call(asked))


def compares_as_ieee(implementation: Implementation, data: st.DataObject) -> None:
    """NaN is neither less than nor equal to anything, zeros of both signs are equal, and an infinity is equal to itself."""
    sizes = {name: data.draw(st.sampled_from([1, 2, 5, 16, 17, 33]), label=name) for name in "mn"}
    real = draws.calls(implementation, sizes, among=lambda dtype: draws.is_inexact(dtype) and not _is_complex(dtype))
    case = data.draw(real, label="case")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the special values"))
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
    arrays = {}
    for name, array in case.arrays.items():
        chosen = rng.random(array.shape) < data.draw(st.sampled_from([0.1, 1.0]), label=f"share of special values in {name}")
        arrays[name] = np.where(chosen, rng.choice(special, array.shape), array).astype(array.dtype)
    for asked in _every_function(implementation, replace(case, arrays=arrays)):
        implementation.judge(asked, implementation.call(asked))


def _is_complex(dtype: str) -> bool:
    return "complex" in dtype or dtype == "clongdouble"


def scales_exactly(implementation: Implementation, data: st.DataObject) -> None:
    """Both operands times a power of two give the result times a power of two, bit for bit, and comparisons as they were."""
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 16, 17, 65]), label=name) for name in "mn"}
    drawn = data.draw(draws.calls(implementation, sizes, among=_has_range), label="case")
    p = data.draw(st.integers(-20, 20), label="p")
    for case in _every_function(implementation, drawn):
        other = draws.scaled(case, {"a": p, "b": p})
        degree = DEGREES.get(case.parameters["function"], 0)
        expected = implementation.call(case)
        expected = expected * expected.dtype.type(2.0 ** (degree * p)) if degree else expected
        result = implementation.call(implementation.note(other))
        require((result == expected).all(), "scaling by a power of two changed the digits")


def keeps_subnormal_numbers(implementation: Implementation, data: st.DataObject) -> None:
    """Near the smallest numbers of the dtype products, sums and differences keep their digits, and what differs is not equal."""
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 16, 17, 65]), label=name) for name in "mn"}
    drawn = data.draw(draws.calls(implementation, sizes, among=_has_range), label="case")
    least = round(float(np.log2(require_precision(drawn.dtype).tiny)))
    inside = data.draw(st.integers(0, 3), label="further")
    for case in _every_function(implementation, drawn):
        product = case.parameters["function"] == "multiply"
        other = draws.scaled(case, dict.fromkeys("ab", (least // 2 if product else least) + inside))
        implementation.judge(other, implementation.call(implementation.note(other)))


def tells_whole_numbers_apart(implementation: Implementation, data: st.DataObject) -> None:
    """Whole numbers that differ in their last digits are told apart, and computed with to the last digit, also past 2^53.

    Of numbers from a dtype's whole range most are far apart.
    """
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 16, 17, 33]), label=name) for name in "mn"}
    case = data.draw(draws.calls(implementation, sizes, among=_is_whole), label="case")
    info, rng = np.iinfo(case.dtype), np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the numbers"))
    middle = data.draw(st.sampled_from([info.min + 2, 2, info.max // 2 + 1, info.max - 2]), label="about")
    near = {name: [middle + int(each) for each in rng.integers(-2, 3, array.shape)] for name, array in case.arrays.items()}
    arrays = {name: np.array(numbers, case.dtype) for name, numbers in near.items()}
    for asked in _every_function(implementation, replace(case, arrays=arrays)):
        implementation.judge(asked, implementation.call(asked))


PROPERTIES = (tells_rows_from_columns, compares_as_ieee, scales_exactly, keeps_subnormal_numbers, tells_whole_numbers_apart)

SHARES = dict.fromkeys(PROPERTIES, 0.3)  # each asks for all functions
