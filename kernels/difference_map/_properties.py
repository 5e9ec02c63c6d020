"""What is asked of a difference map besides what its signature gives: symmetries, constants, and the ends of the range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.cases import Case
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import require_precision

SCALES = ({"a": 1, "b": 1},)
RANGES = ((1,),)
PERMUTES = "s c h w"
MIRRORS = "s c"
REPEATS = "s c"
SHIFTS = ({"a": "s c h w", "b": "s c h w"},)


@st.composite
def cases(draw: st.DrawFn, implementation: Implementation, most: int) -> Case:
    """Draw stacks of any size of entries, and differences from a few times what their last digits are worth to larger ones.

    Of unrelated stacks most have differences as large as themselves, or the same everywhere: a map of which rounding leaves
    nothing, and whose bound says nothing.
    """
    case = draw(draws.cases(implementation, most))
    b = case.arrays["b"].astype(float)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed of the differences"))
    digits = round(float(-np.log2(require_precision(case.dtype).unit)))
    size = (np.abs(b).max(initial=0.0) or 1.0) * 2.0 ** draw(st.integers(4 - digits, 3), label="size of the differences")
    form = draw(st.sampled_from(["normal", "one stands out", "rows of every size"]), label="form of the differences")
    apart = draws.FORMS[form](rng, b.shape)
    apart = apart * size / (np.abs(apart).max(initial=0.0) or 1.0)
    return replace(case, arrays=case.arrays | {"a": draws.rounded(b + apart, case.dtype)})


def _sizes(data: st.DataObject) -> dict[str, int]:
    return {name: data.draw(st.sampled_from([1, 2, 3, 5, 8, 17, 33]), label=name) for name in "schw"}


def gives_zeros_where_the_mean_is_constant(implementation: Implementation, data: st.DataObject) -> None:
    """Where each plane differs by one number, or not at all, the map is 0 exactly, though sums of those numbers are rounded.

    Whole numbers give it whatever the order of the planes at each place, where their means are exact.
    """
    kind = data.draw(st.sampled_from(["the same", "a number for each plane", "whole numbers in any order"]), label="differences")
    sizes = _sizes(data)
    if kind == "whole numbers in any order":
        sizes |= {name: 2 ** data.draw(st.integers(0, 4), label=f"{name}, a power of two") for name in "sc"}
    assume(np.prod(list(sizes.values())) <= implementation.small)
    case = data.draw(draws.calls(implementation, sizes), label="case")
    a = case.arrays["a"]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the differences"))
    planes = (*a.shape[:2], 1, 1)
    if kind == "whole numbers in any order":
        b = np.zeros(a.shape)
        whole = np.broadcast_to(rng.integers(-3, 4, planes), a.shape).reshape(-1, *a.shape[2:])
        a = rng.permuted(whole, axis=0).reshape(a.shape)
    elif kind == "the same":
        b = a
    else:
        a, b = np.broadcast_to(rng.standard_normal(planes), a.shape), np.broadcast_to(rng.standard_normal(planes), a.shape)
    arrays = {"a": draws.rounded(a, case.dtype), "b": draws.rounded(b, case.dtype)}
    result = implementation.call(implementation.note(replace(case, arrays=arrays)))
    require((result == 0).all(), "a constant mean gave other than zeros")


def keeps_its_digits_where_sums_overflow(implementation: Implementation, data: st.DataObject) -> None:
    """Entries up to the largest number of the dtype: their sums overflow, and differences may, but the map is between 0 and 1."""
    sizes = _sizes(data)
    assume(sizes["h"] * sizes["w"] >= 2 and np.prod(list(sizes.values())) <= implementation.small)
    case = data.draw(draws.calls(implementation, sizes), label="case")
    working = require_precision(case.dtype)
    most = max(float(np.abs(array).max()) for array in case.arrays.values())
    inside = data.draw(st.integers(0, 4), label="below the largest")
    p = int(np.floor(np.log2(working.largest / most))) - inside
    arrays = {name: draws.rounded(np.ldexp(array.astype(float), p), case.dtype) for name, array in case.arrays.items()}
    other = implementation.note(replace(case, arrays=arrays))
    implementation.judge(other, implementation.call(other))


def is_nan_where_nothing_is_known(implementation: Implementation, data: st.DataObject) -> None:
    """A NaN leaves nothing of the map; an infinite difference is its own place's alone, and all finite ones are 0 beside it."""
    sizes = _sizes(data)
    assume(np.prod(list(sizes.values())) <= implementation.small)
    case = data.draw(draws.calls(implementation, sizes), label="case")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the places"))
    special = data.draw(st.sampled_from([[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf]]), label="which")
    for name in data.draw(st.sampled_from(["a", "b", "ab"]), label="arrays"):
        array = case.arrays[name]
        array.flat[rng.integers(array.size, size=rng.integers(1, 4))] = rng.choice(special)
    expected, result = implementation.reference(case), implementation.call(implementation.note(case))
    require((np.isnan(result) == np.isnan(expected)).all(), "a NaN was lost or made up")
    require((result[~np.isnan(expected)] == 0).all(), "beside an infinite difference a finite one is not 0")


PROPERTIES = (gives_zeros_where_the_mean_is_constant, keeps_its_digits_where_sums_overflow, is_nan_where_nothing_is_known)

SHARES = dict.fromkeys(PROPERTIES, 0.6)
