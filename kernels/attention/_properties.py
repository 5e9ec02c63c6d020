"""What is asked of attention besides what its signature gives: its symmetries, and which keys a row sees."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.cases import Case
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import gamma, require_precision
from kernels.attention import attention

SCALES = ({"v": 1, "result": 1}, {"q": 1, "k": -1})
RANGES = (
    (0.8, 0),
    (-0.6, 0),
    (0, 0.6),
    (0, -0.6),
)  # values near either end of the range; small queries of large keys, and large of small
PERMUTES = MIRRORS = "d e"


SIZES = (-4, 0, 2, 4, 6, 8, 12, 20)  # of scores, as powers of two


@st.composite
def cases(draw: st.DrawFn, implementation: Implementation, most: int) -> Case:
    """Draw a call as its signature gives it, with keys times the power of two that brings the largest scores to a drawn size."""
    return scored(draw(draws.cases(implementation, most)), draw(st.sampled_from(SIZES)))


def scored(case: Case, log2: int) -> Case:
    """Return the call with keys times the power of two that brings its largest scores to about a power of two."""
    q, k = (float(np.abs(case.arrays[key]).max(initial=0)) for key in "qk")
    size = q * k * math.sqrt(max(1, case.arrays["q"].shape[-1]))
    if not size:
        return case
    most = math.log2(require_precision(case.dtype).largest)  # float16 has no room for small queries of large keys
    return draws.scaled(case, {"k": math.floor(min(log2 - round(math.log2(size)), most - math.log2(k) - 1, most))})


def hint(case: Case, result: np.ndarray[Any, Any]) -> str | None:
    """Say whether a result is what a causal mask gives that is counted from the first key."""
    q, k, v = (case.arrays[key].astype(float) for key in "qkv")
    n, m = q.shape[-2], k.shape[-2]
    if not case.parameters.get("causal") or n == m or not m:
        return None
    square = attention(q[..., :m, :], k[..., :n, :], v[..., :n, :], causal=True)
    mistaken = np.concatenate([square, attention(q[..., m:, :], k, v)], axis=-2)
    if result.shape != mistaken.shape or not np.abs(result - mistaken).max() <= 2**-8 * np.abs(v).max():
        return None
    return (
        f"it is what a mask gives that is counted from the first key, as torch's is_causal: row i sees keys j <= i; "
        f"here it must see keys j <= i + m - n, which is i {m - n:+}"
    )


def stays_among_the_values(implementation: Implementation, data: st.DataObject) -> None:
    """However large the scores, a mean lies among the values that it is of, or is 0 where it is of none."""
    case = implementation.note(data.draw(draws.cases(implementation, implementation.small), label="case"))
    result, v = implementation.call(case), case.arrays["v"].astype(float)
    roundings = gamma(v.shape[-2] + 4, require_precision(case.dtype).unit) * np.abs(v).max(initial=0.0)
    low, high = (extreme(v, axis=-2, keepdims=True, initial=0.0) for extreme in (np.min, np.max))
    require(((low - roundings <= result) & (result <= high + roundings)).all(), "a mean lies outside of what it is the mean of")


def sees_keys_up_to_its_own_place_from_the_end(implementation: Implementation, data: st.DataObject) -> None:
    """With a causal mask, row i is what that query makes of the keys j <= i + m - n alone, without a mask."""
    assume({False, True} == {*implementation.within("causal", (False, True))})
    n, m = (data.draw(st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 33, 63, 65, 66, 130]), label=name) for name in "nm")
    sizes = {
        "n": n,
        "m": m,
        "d": data.draw(st.sampled_from([1, 2, 5]), label="d"),
        "e": data.draw(st.sampled_from([1, 3]), label="e"),
    }
    case = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact), label="case")
    case = scored(case, data.draw(st.sampled_from(SIZES), label="log2 of the largest scores"))
    whole = replace(case, parameters={"causal": True})
    result = implementation.call(implementation.note(whole))
    i = data.draw(
        st.sampled_from(sorted({0, n // 2, n - 1, *(row for row in (n - m - 1, n - m, n - m + 1) if 0 <= row < n)})), label="row"
    )
    seen = i + m - n + 1
    if seen <= 0:
        require((result[i] == 0).all(), f"row {i} of {n} sees none of {m} keys, and is {result[i]} instead of 0")
        return
    arrays = {"q": case.arrays["q"][i : i + 1], "k": case.arrays["k"][:seen], "v": case.arrays["v"][:seen]}
    alone = replace(case, arrays=arrays, parameters={"causal": False})
    claim = f"row {i} of {n} is not what its query makes of the first {seen} of {m} keys, j <= i + m - n"
    expected, bound = implementation.reference(alone), implementation.bound(alone) + implementation.bound(whole)[i : i + 1]
    implementation.require_close(result[i : i + 1], expected, bound, implementation.scale(alone), claim)


def copies_the_value_of_the_only_key(implementation: Implementation, data: st.DataObject) -> None:
    """Rows that see one key are its value, whatever it scores; in fresh memory, even where the queries are that value too."""
    n, d = (data.draw(st.sampled_from([1, 2, 3, 17]), label=name) for name in "nd")
    case = data.draw(draws.calls(implementation, {"n": n, "m": 1, "d": d, "e": d}, among=draws.is_inexact), label="case")
    rows = np.repeat(case.arrays["v"], n, axis=0)
    case = implementation.note(replace(case, arrays=case.arrays | {"q": rows}))
    result = implementation.call(case)
    implementation.judge(case, result)
    require(
        not any(np.shares_memory(result, array) for array in case.arrays.values()), "the result shares memory with an operand"
    )


PROPERTIES = (sees_keys_up_to_its_own_place_from_the_end, stays_among_the_values, copies_the_value_of_the_only_key)
