"""What is asked of a guidance besides what its signature gives: its symmetries, and norms that are 0 or far from each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import require_precision

SCALES = ({"unconditional": 1, "conditional": 1, "result": 1},)
RANGES = ((0.5,), (1,))  # large rows are asked of below: in float16 the result of some would overflow
PERMUTES = MIRRORS = "n"


@st.composite
def parameters(draw: st.DrawFn, implementation: Implementation, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Draw the parameters, not least those without an effect."""
    few = st.floats(-4, 16).map(lambda scale: float(np.float16(scale)))
    share = st.floats(0, 1).map(lambda rescale: float(np.float16(rescale)))
    return {
        "scale": draw(st.one_of(st.sampled_from([7.5, 1.5, 0.5, -1.0]), few, st.sampled_from([0.0, 1.0]))),
        "rescale": draw(st.one_of(st.sampled_from([0.5, 0.25, 0.75]), share, st.sampled_from([0.0, 1.0]))),
    }


def gives_zero_where_nothing_is_left(implementation: Implementation, data: st.DataObject) -> None:
    """Half way from a row to its negative is 0, and so it is between zeros: there is nothing to rescale, and nothing is NaN."""
    n = data.draw(st.sampled_from([1, 2, 3, 17, 65]), label="n")
    case = data.draw(draws.calls(implementation, {"n": n}, among=draws.is_inexact), label="case")
    c = case.arrays["conditional"]
    c *= data.draw(st.sampled_from([1, 0]), label="times")
    case = replace(case, arrays={"unconditional": -c, "conditional": c}, parameters=case.parameters | {"scale": 0.5})
    require((implementation.call(implementation.note(case)) == 0).all(), "the result is not 0 where the guided row is")


def rescales_to_any_length(implementation: Implementation, data: st.DataObject) -> None:
    """A row that is far shorter or longer than the conditional one takes its length, also where their quotient has no number."""
    n = data.draw(st.sampled_from([1, 2, 3, 17, 65]), label="n")
    case = data.draw(draws.calls(implementation, {"n": n}, among=draws.is_inexact), label="case")
    least = int(np.log2(require_precision(case.dtype).tiny))
    p, q = (data.draw(st.integers(least * 4 // 5, -least * 4 // 5), label=f"log2 of the size of {name}") for name in "uc")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the rows"))
    arrays = {
        key: draws.rounded(np.ldexp(rng.standard_normal(n), power), case.dtype)
        for key, power in (("unconditional", p), ("conditional", q))
    }
    case = implementation.note(replace(case, arrays=arrays, parameters=case.parameters | {"scale": 0.0}))
    implementation.judge(case, implementation.call(case))


def propagates_what_is_not_finite(implementation: Implementation, data: st.DataObject) -> None:
    """Without rescaling NaN and infinities are those of IEEE arithmetic; with it a row with one is NaN, and no other is."""
    n = data.draw(st.sampled_from([1, 2, 3, 17]), label="n")
    names = ("unconditional", "conditional")
    case = data.draw(
        draws.filled(implementation, dict.fromkeys(names, (5, n)), dict.fromkeys(names, "normal"), draws.is_inexact), label="case"
    )
    row, column = data.draw(st.integers(0, 4), label="row"), data.draw(st.integers(0, n - 1), label="column")
    for key in data.draw(st.sampled_from([names[:1], names[1:], names]), label="arrays"):
        case.arrays[key][row, column] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]), label=f"entry of {key}")
    u, c = (case.arrays[key].astype(np.longdouble) for key in names)
    result = implementation.call(implementation.note(case))
    with np.errstate(invalid="ignore"):
        guided = u + case.parameters["scale"] * (c - u)
    expected = np.where(np.isfinite(guided), 0, guided)
    if case.parameters["rescale"]:
        expected[row] = np.nan
    got = np.where(np.isfinite(result), 0, result)
    require(((got == expected) | (np.isnan(got) & np.isnan(expected))).all(), "a NaN or an infinity was lost or made up")


PROPERTIES = (gives_zero_where_nothing_is_left, rescales_to_any_length, propagates_what_is_not_finite)

SHARES = {gives_zero_where_nothing_is_left: 0.5, propagates_what_is_not_finite: 0.5}
