"""What is asked of a Frobenius norm besides what its signature gives: its symmetries, and digits wherever it is representable."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from kernels._conformance import draws
from kernels._conformance.cases import Case
from kernels._conformance.implementation import Implementation
from kernels._definition.numerics import require_precision

SCALES = ({"x": 1, "result": 1},)
RANGES = ((-0.5,), (0.5,), (1,))  # squares overflow, squares underflow, entries are subnormal
PERMUTES = MIRRORS = "m n"

SPECIAL = ((np.nan,), (np.inf,), (-np.inf,), (np.inf, -np.inf), (np.nan, np.inf), (0.0,))


def hint(case: Case, result: object) -> str | None:
    """Say whether squares leave the dtype's range, where the norm itself does not."""
    largest = float(np.abs(case.arrays["x"]).max(initial=0.0))
    if not 0 < largest < np.inf:
        return None
    working, exponent = require_precision(case.dtype), 2 * np.log10(largest)
    if exponent > np.log10(working.largest / case.arrays["x"].size):
        where = "squares overflow, or their sum does"
    elif exponent < np.log10(working.tiny):
        where = "squares vanish or lose digits"
    else:
        return None
    return (
        f"the largest entry is {largest:.3g}, and its square 1e{exponent:+.0f}: in {case.dtype} {where}, "
        "where the norm is in range; entries over the largest have squares up to 1"
    )


def has_its_digits_to_the_ends_of_the_range(implementation: Implementation, data: st.DataObject) -> None:
    """The largest entry is anywhere in the dtype's range, and the others are as large, or smaller by any power of two.

    So squares overflow where the norm does not, and squares that underflow are all that there is.
    """
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 5, 16, 17, 33]), label=name) for name in "mn"}
    case = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact), label="case")
    x, working = case.arrays["x"], require_precision(case.dtype)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the entries"))
    most, least = int(np.log2(working.largest)) - 7, int(np.log2(working.subnormal))
    top = data.draw(st.one_of(st.integers(least, most), st.sampled_from([least, most])), label="log2 of the largest")
    spread = data.draw(st.sampled_from([0, 1, 20, most - least]), label="log2 of the spread")
    exponents = rng.integers(max(least, top - spread), top, x.shape, endpoint=True)
    exponents.flat[rng.integers(x.size)] = top
    numbers = np.ldexp(rng.choice([-1, 1], x.shape) * rng.uniform(1, 2, x.shape), exponents)
    x[...] = draws.rounded(numbers, case.dtype)
    implementation.judge(case, implementation.call(implementation.note(case)))


def is_as_special_as_its_entries(implementation: Implementation, data: st.DataObject) -> None:
    """NaN where an entry is, whatever else is there; otherwise infinite where one is, or several are; 0 of zeros alone."""
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 17, 33]), label=name) for name in "mn"}
    case = data.draw(draws.calls(implementation, sizes, ("normal", "equal"), draws.is_inexact), label="case")
    x = case.arrays["x"]
    x *= data.draw(st.sampled_from([1, 0]), label="other entries")
    special = data.draw(st.sampled_from(SPECIAL), label="special")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of their places"))
    places = rng.integers(x.size, size=data.draw(st.sampled_from([1, 2, 5]), label="at most so many"))
    x.flat[places] = np.resize(rng.permutation(special), len(places))
    implementation.judge(case, implementation.call(implementation.note(case)))


PROPERTIES = (has_its_digits_to_the_ends_of_the_range, is_as_special_as_its_entries)
