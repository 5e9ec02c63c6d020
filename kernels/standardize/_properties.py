"""What is asked of a standardize besides what its signature gives: its symmetries, and columns that are hard."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import require_precision

Array = np.ndarray[Any, Any]

SCALES = ({"x": 1},)
RANGES = ((-0.5,), (0.5,), (1,))  # squares overflow, squares underflow, entries are subnormal
PERMUTES, MIRRORS = "n d", "d"
SHIFTS = ({"x": "d"},)
REPEATS = "n"

SPECIAL = {"with a NaN": np.nan, "with an infinity": np.inf, "with a negative infinity": -np.inf}
KINDS = ("zero", "constant", "constant but for one", "far from zero", "over the whole range", "subnormal", "ordinary")


def is_right_about_every_kind_of_column(implementation: Implementation, data: st.DataObject) -> None:
    """Columns of every kind beside each other: equal numbers, whose mean may round to another, and zeros come of them.

    Zeros, which stay zeros, in fresh memory; equal numbers but for one, which differs in its last bit; a mean far above the
    deviation; numbers whose difference overflows; numbers that are subnormal; NaN and infinities, of which NaN comes. A column
    of one kind changes nothing in its neighbours.
    """
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 5, 7, 16, 17, 33, 65]), label=name) for name in "nd"}
    case = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact), label="case")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the columns"))
    kinds = data.draw(
        st.sampled_from([KINDS, (*KINDS, *SPECIAL), ("ordinary", *SPECIAL), *([kind] for kind in KINDS)]), label="kinds of column"
    )
    x = case.arrays["x"]
    for j in range(x.shape[1]):
        x[:, j] = draws.rounded(column(rng, str(rng.choice(kinds)), len(x), case.dtype), case.dtype)
    result = implementation.call(implementation.note(case))
    implementation.judge(case, result)
    require(not np.shares_memory(result, x), "what need not be changed is passed through, and is no fresh memory")


def column(rng: np.random.Generator, kind: str, n: int, dtype: str) -> Array:
    """Draw a column of some kind, in the precision of float64 at least."""
    working = require_precision(dtype)
    digits, top = round(-np.log2(working.unit)), np.log2(working.largest)
    normal = rng.standard_normal(n)
    if kind == "zero":
        return np.zeros(n)
    if kind.startswith("constant"):
        numbers: Array = draws.rounded(np.full(n, np.ldexp(rng.uniform(-2, 2), rng.integers(-top // 2, top // 2))), dtype)
        if kind != "constant":
            numbers = numbers.astype(float)
            numbers[rng.integers(n)] *= 1 + 4 * working.unit
        return numbers
    if kind == "far from zero":
        return np.asarray(rng.choice([-1, 1]) * np.ldexp(rng.uniform(1, 2), rng.integers(2, digits)) + normal)
    if kind == "over the whole range":
        return np.asarray(0.99 * rng.choice([-1, -0.9, 0.5, 1], n) * working.largest)
    if kind == "subnormal":
        return np.asarray(rng.integers(-9, 9, n) * working.subnormal)
    if kind in SPECIAL:  # one of them, or nothing else
        normal[rng.integers(n) if rng.random() < 0.7 else slice(None)] = SPECIAL[kind]
    return normal


PROPERTIES = (is_right_about_every_kind_of_column,)
