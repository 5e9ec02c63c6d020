"""What is asked of a softmax besides what its signature gives: its symmetries, what hides entries, and sums of small terms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.implementation import Implementation
from kernels._definition.numerics import exactness

PERMUTES = "n"
SHIFTS = ({"x": ""},)


def keeps_what_is_not_finite_in_its_row(implementation: Implementation, data: st.DataObject) -> None:
    """A row is NaN if it has NaN or +inf, or nothing but -inf; the other rows, and entries beside -inf, are what they are."""
    n = data.draw(st.sampled_from([1, 2, 3, 15, 16, 17, 33, 65, 129]), label="n")
    case = data.draw(draws.calls(implementation, {"n": n}), label="case")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the rows"))
    x = draws.rounded(rng.standard_normal((6, n)), case.dtype)
    for row, special in zip(x, (np.nan, np.inf, -np.inf), strict=False):
        row[rng.integers(n, size=data.draw(st.sampled_from([1, 2]), label="how many"))] = special
    x[3] = -np.inf
    case = implementation.note(replace(case, arrays={"x": x[rng.permutation(len(x))]}))
    implementation.judge(case, implementation.call(case))


def leaves_out_a_hidden_stretch(implementation: Implementation, data: st.DataObject) -> None:
    """Any stretch of a row may be -inf, whole tiles of a kernel and the first ones too, and the rest far below 0."""
    n = data.draw(st.sampled_from([2, 17, 33, 65, 129, 257, 300]), label="n")
    case = data.draw(draws.calls(implementation, {"n": n}), label="case")
    far = data.draw(st.sampled_from([-800, 0]), label="offset")  # of which exponentials underflow
    end = data.draw(
        st.sampled_from([0, *(tile for tile in (16, 32, 64, 128, 256) if tile < n), n - 1]), label="end of the stretch"
    )
    x = draws.rounded(case.arrays["x"] + far, case.dtype)
    x[:end] = -np.inf
    x = x[::-1].copy() if data.draw(st.integers(0, 2), label="from the other end") == 2 else x
    case = implementation.note(replace(case, arrays={"x": x}))
    implementation.judge(case, implementation.call(case))


def adds_up_many_small_terms(implementation: Implementation, data: st.DataObject) -> None:
    """Beside the largest entry there are so many, each so small, that together they count for as much."""
    most = max(2, implementation.most // 4)
    n = data.draw(st.sampled_from([n for n in (17, 65, 300, 1025, 4097, 40_000) if n <= most] or [most]), label="n")
    bounded = (dtype for dtype in implementation.dtypes if implementation.precision == "wide" or n < 0.25 * exactness(dtype))
    case = data.draw(draws.calls(implementation, {"n": n}, ("small",), among={*bounded}.__contains__), label="case")
    x = draws.rounded(case.arrays["x"] - np.log(n), case.dtype)
    x[data.draw(st.integers(0, n - 1), label="place of the largest")] = 0
    case = implementation.note(replace(case, arrays={"x": x}))
    implementation.judge(case, implementation.call(case))


PROPERTIES = (keeps_what_is_not_finite_in_its_row, leaves_out_a_hidden_stretch, adds_up_many_small_terms)
SHARES = {adds_up_many_small_terms: 0.3}
