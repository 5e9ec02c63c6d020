"""What is asked of an outer function besides what its signature gives: permutations, exact scaling, which way round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.calls import ordinary
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import require_precision

PERMUTES = "m n"
DEGREES = {"multiply": 2, "add": 1, "subtract": 1}  # both operands times 2^p give the result times 2^p to this power


def _has_range(dtype: str) -> bool:
    """Whether a dtype rounds, and has exponents enough, and none past those of float64."""
    return draws.is_inexact(dtype) and dtype not in ("float16", "longdouble", "clongdouble")


def scales_exactly(implementation: Implementation, data: st.DataObject) -> None:
    """Both operands times a power of two give the result times a power of two, bit for bit, and comparisons as they were."""
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 16, 17, 65]), label=name) for name in "mn"}
    case = implementation.note(data.draw(draws.calls(implementation, sizes, among=_has_range), label="case"))
    p = data.draw(st.integers(-20, 20), label="p")
    other = draws.scaled(case, {"a": p, "b": p})
    degree = DEGREES.get(case.parameters["function"], 0)
    expected = implementation.call(case)
    expected = expected * expected.dtype.type(2.0 ** (degree * p)) if degree else expected
    require((implementation.call(implementation.note(other)) == expected).all(), "scaling by a power of two changed the digits")


def keeps_subnormal_numbers(implementation: Implementation, data: st.DataObject) -> None:
    """Near the smallest numbers of the dtype products, sums and differences keep their digits, and what differs is not equal."""
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 16, 17, 65]), label=name) for name in "mn"}
    case = data.draw(draws.calls(implementation, sizes, among=_has_range), label="case")
    least = round(float(np.log2(require_precision(case.dtype).tiny)))
    inside = data.draw(st.integers(0, 3), label="further")
    product = case.parameters["function"] == "multiply"
    other = draws.scaled(case, dict.fromkeys("ab", (least // 2 if product else least) + inside))
    implementation.judge(other, implementation.call(implementation.note(other)))


def tells_rows_from_columns(implementation: Implementation, data: st.DataObject) -> None:
    """Where both operands have one length no shape betrays a transposed result, nor operands in the other order."""
    m = data.draw(st.sampled_from([2, 3, 8, 16, 17, 33, 64, 65]), label="m and n")
    case = data.draw(draws.calls(implementation, {"m": m, "n": m}), label="case")
    implementation.judge(case, implementation.call(implementation.note(case)))


def compares_as_ieee(implementation: Implementation, data: st.DataObject) -> None:
    """NaN is neither less than nor equal to anything, zeros of both signs are equal, and infinities are as IEEE arithmetic has them."""
    case = ordinary(implementation, data)
    assume(draws.is_inexact(case.dtype) and "complex" not in case.dtype and case.dtype != "clongdouble")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the special values"))
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
    arrays = {}
    for name, array in case.arrays.items():
        chosen = rng.random(array.shape) < data.draw(st.sampled_from([0.1, 1.0]), label=f"share of special values in {name}")
        arrays[name] = np.where(chosen, rng.choice(special, array.shape), array).astype(array.dtype)
    case = implementation.note(replace(case, arrays=arrays))
    implementation.judge(case, implementation.call(case))


PROPERTIES = (tells_rows_from_columns, compares_as_ieee, scales_exactly, keeps_subnormal_numbers)

SHARES = {scales_exactly: 0.4, keeps_subnormal_numbers: 0.4, tells_rows_from_columns: 0.5}
