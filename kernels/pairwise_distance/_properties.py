"""What is asked of distances besides what their signature gives: digits far from the origin, and across a dtype's whole range."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance import draws, relations
from kernels._conformance.cases import Case
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import require_precision
from kernels.pairwise_distance import METRICS


def power(metric: str) -> int:
    """Return the power of the points' unit of length that distances have."""
    return 2 if metric == "sqeuclidean" else 1


SCALES = ({"x": 1, "y": 1, "result": power},)
PERMUTES, MIRRORS = "n m d", "d"
SHIFTS = ({"x": "d", "y": "d"},)


@st.composite
def cases(draw: st.DrawFn, implementation: Implementation, most: int) -> Case:
    """Draw a call as its signature gives it, whose squares the dtype holds: float16 alone is so short that they may not fit."""
    case: Case = draw(draws.cases(implementation, most))
    if case.dtype == "float16" and power(**case.parameters) == 2:
        farthest = 2 * max(np.abs(array, dtype=float).max(initial=0) for array in case.arrays.values())
        assume(case.arrays["x"].shape[1] * farthest**2 < require_precision(case.dtype).largest)
    return case


def keeps_its_digits_far_from_the_origin(implementation: Implementation, data: st.DataObject) -> None:
    """Points that are near each other, and so far away that their squared coordinates have no digit of their squared distance."""
    sizes = {name: data.draw(st.sampled_from([2, 3, 8, 17]), label=name) for name in "nmd"}
    sizes["d"] = data.draw(draws.allowed(implementation, "d", st.sampled_from([1, 2, 3, 8])), label="d")
    case = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact), label="case")
    bits = round(-np.log2(require_precision(case.dtype).unit))
    far = 2.0 ** data.draw(st.integers(bits // 2, bits - 4), label="log2 of the distance from the origin")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the points"))
    for array in case.arrays.values():
        array[...] = far + rng.integers(-4, 5, array.shape)  # whole numbers, which every format holds
    result = implementation.call(implementation.note(case))
    expected, bound = implementation.reference(case), implementation.bound(case)
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(result.astype(expected.dtype) - expected) <= bound)
        factors = np.maximum(result / expected, expected / result)[wrong & (result > 0) & (expected > 0)]
    zeros = np.count_nonzero(wrong & (result == 0))
    squares = np.max(expected) ** (3 - power(case.parameters["metric"]))
    require(
        not wrong.any(),
        f"{np.count_nonzero(wrong)} of {result.size} distances lost their digits, {far:.3g} from the origin: {zeros} are 0, "
        f"others are off by a factor of up to {factors.max(initial=1):.3g}. Squared coordinates, {far**2:.3g}, have no digit of "
        f"squared distances, which are {squares:.3g} at most: coordinates must be subtracted first",
    )
    implementation.judge(case, result)


def neither_overflows_nor_vanishes(implementation: Implementation, data: st.DataObject) -> None:
    """A distance that can be represented is right beside others of every size: points in pairs, each at a scale of its own.

    The squares of "sqeuclidean" have half of the range.
    """
    assume(implementation.precision != "expansion")  # its bound goes by the farthest point
    sizes = {name: data.draw(st.sampled_from([2, 3, 8, 17]), label=name) for name in "nm"}
    sizes["d"] = data.draw(draws.allowed(implementation, "d", st.sampled_from([1, 2, 3, 8])), label="d")
    case = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact), label="case")
    metrics = [*implementation.within("metric", METRICS), *implementation.within("metric", METRICS[:1] * 3)]
    case.parameters["metric"] = data.draw(st.sampled_from(metrics), label="metric")
    working = require_precision(case.dtype)
    low, high = round(np.log2(working.subnormal)) + 2, round(np.log2(working.largest)) - 5
    if power(case.parameters["metric"]) == 2:
        low, high = round(np.log2(working.tiny)) // 4, high // 2
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the points"))
    most = data.draw(st.sampled_from([high, low // 2]), label="log2 of the largest coordinates")
    exponents = rng.integers(low, most, max(sizes["n"], sizes["m"]))
    for array in case.arrays.values():
        unit = np.ldexp(rng.uniform(1, 2, array.shape), exponents[: len(array), None])
        array[...] = draws.rounded(unit * rng.choice([-1, 1], array.shape), case.dtype)
    implementation.judge(case, implementation.call(implementation.note(case)))


def sets_no_diagonal_to_zero(implementation: Implementation, data: st.DataObject) -> None:
    """Arrays of one shape that share some of their rows, each in the same place: the others are not 0 apart."""
    assume("y" not in implementation.limits)
    n = data.draw(st.sampled_from([2, 3, 17]), label="n")
    sizes = {"n": n, "m": n, "d": data.draw(draws.allowed(implementation, "d", st.sampled_from([1, 2, 8])), label="d")}
    case = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact), label="case")
    shared = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the rows")).random(n) < 0.5
    shared[[0, -1]] = data.draw(st.booleans(), label="the first"), data.draw(st.booleans(), label="the last")
    case.arrays["y"][shared] = case.arrays["x"][shared]
    implementation.judge(case, implementation.call(implementation.note(case)))


def propagates_special_values_as_ieee(implementation: Implementation, data: st.DataObject) -> None:
    """As `relations` has it, in every metric; the class of error "expansion" takes finite points alone."""
    assume(implementation.precision != "expansion")
    metrics = [{"metric": metric} for metric in implementation.within("metric", METRICS)]
    relations.propagates_special_values_as_ieee(implementation, data, metrics)


PROPERTIES = (
    keeps_its_digits_far_from_the_origin,
    neither_overflows_nor_vanishes,
    sets_no_diagonal_to_zero,
    propagates_special_values_as_ieee,
)
SHARES: dict[Any, float] = {
    keeps_its_digits_far_from_the_origin: 0.5,
    neither_overflows_nor_vanishes: 0.8,
    sets_no_diagonal_to_zero: 0.5,
}
