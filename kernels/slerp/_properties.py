"""What is asked of a slerp besides what its signature gives: its symmetries, and rows between which the arc is short or open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.cases import Case
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import require_precision

SCALES = ({"a": 1, "b": 1, "result": 1},)
RANGES = ((0.5,), (1,), (-0.5,))
PERMUTES = MIRRORS = "n"


@st.composite
def parameters(draw: st.DrawFn, implementation: Implementation, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Draw how far to go, not least at either end."""
    few = st.floats(0, 1).map(lambda t: float(np.float16(t)))
    return {"t": draw(st.one_of(st.sampled_from([0.25, 0.5, 0.75]), few, st.sampled_from([0.0, 1.0])))}


def _rows(implementation: Implementation, data: st.DataObject) -> tuple[np.random.Generator, Case]:
    """Draw a call with few short rows."""
    n = data.draw(st.sampled_from([2, 3, 4, 5, 17]), label="n")
    case = data.draw(draws.calls(implementation, {"n": n}, among=draws.is_inexact), label="case")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the rows"))
    case.arrays["a"] = draws.rounded(rng.standard_normal(n), case.dtype)
    return rng, case


def keeps_the_digits_of_the_angle(implementation: Implementation, data: st.DataObject) -> None:
    """Between rows that are nearly parallel, or nearly opposite, the angle has the digits that the rows have.

    Half of the angles are about as large as their square is one rounding: from there down an arc may pass for a line.
    """
    rng, case = _rows(implementation, data)
    a = case.arrays["a"]
    digits = -float(np.log2(require_precision(case.dtype).unit))
    angles = st.one_of(st.floats(1, digits), st.floats(digits / 2 - 1, digits / 2))
    small = 2.0 ** -data.draw(angles, label="log2 of the angle, about, negative")
    way, length = rng.choice([-1, 1]), 2.0 ** data.draw(st.integers(-3, 3), label="log2 of how much longer b is")
    across = rng.standard_normal(a.shape)
    b = way * length * (a + small * np.sqrt((a @ a) / (across @ across)) * across)
    case.arrays["b"] = draws.rounded(b, case.dtype)
    implementation.judge(implementation.note(case), implementation.call(case))


def is_linear_where_there_is_no_arc(implementation: Implementation, data: st.DataObject) -> None:
    """Between a row and its negative, times a power of two, and where a row is zero, the result is (1 - t) a + t b."""
    _, case = _rows(implementation, data)
    a, t = case.arrays["a"], case.parameters["t"]
    times = data.draw(st.sampled_from([-1.0, -2.0, -0.25, 0.0]), label="b as a multiple of a")
    case.arrays["b"] = (a.dtype.type(times) * a).astype(a.dtype)
    if times == 0 and data.draw(st.booleans(), label="a is the one that is zero"):
        case = replace(case, arrays={"a": case.arrays["b"], "b": a})
    first, second = (case.arrays[key].astype(np.longdouble) for key in "ab")
    result = implementation.call(implementation.note(case))
    bound = 4 * require_precision(case.dtype).unit * (np.abs((1 - t) * first) + np.abs(t * second))
    near = np.abs(result - ((1 - t) * first + t * second)) <= bound
    require(near.all(), "the result is not linear between rows that are opposite, or of which one is zero")


def makes_nan_of_rows_that_are_not_finite(implementation: Implementation, data: st.DataObject) -> None:
    """A row with a NaN or an infinity, in either array, is NaN, and no other is."""
    n = data.draw(st.sampled_from([1, 2, 3, 17]), label="n")
    case = data.draw(draws.filled(implementation, {"a": (5, n), "b": (5, n)}, dict.fromkeys("ab", "normal")), label="case")
    key, row = data.draw(st.sampled_from("ab"), label="array"), data.draw(st.integers(0, 4), label="row")
    column = data.draw(st.integers(0, n - 1), label="column")
    case.arrays[key][row, column] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]), label="entry")
    result = implementation.call(implementation.note(case))
    require(np.isnan(result[row]).all(), "a row with an entry that is not finite is not NaN")
    require(np.isfinite(np.delete(result, row, axis=0)).all(), "a row of finite entries is not finite")


PROPERTIES = (keeps_the_digits_of_the_angle, is_linear_where_there_is_no_arc, makes_nan_of_rows_that_are_not_finite)

SHARES = {is_linear_where_there_is_no_arc: 0.5, makes_nan_of_rows_that_are_not_finite: 0.5}
