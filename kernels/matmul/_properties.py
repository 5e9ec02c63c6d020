"""What is asked of a matmul besides what its signature gives: its symmetries, and that what need not be rounded is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance import draws, relations
from kernels._conformance.implementation import Implementation, require
from kernels._definition.numerics import exactness

Array = np.ndarray[Any, Any]
INEXACT = ("tf32", "3xtf32", "normwise")  # classes of error that cut operands, or add them up before they multiply

SCALES = ({"a": 1, "result": 1}, {"b": 1, "result": 1})
RANGES = ((0.5, 0.5), (1, 0), (0, 1))  # small products; small entries of a; of b
PERMUTES = MIRRORS = "m k n"
SPLITS = "k"


def is_exact_on_small_integers(implementation: Implementation, data: st.DataObject) -> None:
    """Integers in [-8, 8] multiply without rounding in any order, as long as 64 k can be counted exactly.

    Times a power of two they still do, also where they no longer fit a type of integers.
    """
    sizes = {name: data.draw(st.sampled_from([1, 2, 3, 8, 15, 16, 17, 33, 65]), label=name) for name in "mkn"}
    case = data.draw(draws.calls(implementation, sizes, among=draws.is_inexact), label="case")
    assume(64 * sizes["k"] < exactness(case.dtype) and np.prod(list(sizes.values())) <= implementation.most)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the integers"))
    for array in case.arrays.values():
        array[...] = rng.integers(-8, 9, array.shape)
    expected = case.arrays["a"].astype(complex) @ case.arrays["b"].astype(complex)
    p, q = (0 if case.dtype == "float16" else data.draw(st.sampled_from([0, 0, 20, 40]), label=name) for name in "pq")
    case = implementation.note(draws.scaled(case, {"a": p, "b": q}))
    require((implementation.call(case) == expected * 2.0 ** (p + q)).all(), "an integer product was rounded")


def keeps_the_digits_of_what_it_picks(implementation: Implementation, data: st.DataObject) -> None:
    """Columns of I pick columns of A, and rows of I rows of B: bit for bit, however long the sums, and in fresh memory.

    The bound grows with the inner extent, and past a few hundred hides a product in fewer digits. Classes of error that
    cut operands, or add them up first, are not asked.
    """
    assume(implementation.precision not in INEXACT)
    k = data.draw(st.sampled_from([1, 2, 5, 17, 33, 65, 129, 257, 513, 1025, 4097]), label="k")
    most = max(1, implementation.most // (60 * k))
    m, n = (data.draw(st.sampled_from([size for size in (1, 2, 17, 18) if size <= most]), label=name) for name in "mn")
    case = data.draw(draws.calls(implementation, {"m": m, "k": k, "n": n}, among=draws.is_inexact), label="case")
    a, b = case.arrays["a"], case.arrays["b"]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of what is picked"))
    whole = k <= 17 and data.draw(st.booleans(), label="all are picked, in order")
    columns, rows = (np.arange(k),) * 2 if whole else (rng.integers(k, size=size) for size in (n, m))
    for picked, arrays in ((a[:, columns], {"a": a, "b": _units(columns, k, a).T}), (b[rows], {"a": _units(rows, k, b), "b": b})):
        result = implementation.call(implementation.note(replace(case, arrays=arrays)))
        require((result == picked).all(), "what was picked lost digits")
        require(not any(np.shares_memory(result, array) for array in arrays.values()), "the result shares memory with an operand")


def propagates_special_values_as_ieee(implementation: Implementation, data: st.DataObject) -> None:
    """As `relations` has it; a fast product adds rows and columns up before it multiplies, so "normwise" is not asked."""
    assume(implementation.precision != "normwise")
    relations.propagates_special_values_as_ieee(implementation, data)


def _units(chosen: Array, k: int, like: Array) -> Array:
    """Return those rows of the identity."""
    rows = np.zeros((len(chosen), k), like.dtype)
    rows[np.arange(len(chosen)), chosen] = 1
    return rows


PROPERTIES = (is_exact_on_small_integers, keeps_the_digits_of_what_it_picks, propagates_special_values_as_ieee)

SHARES = {keeps_the_digits_of_what_it_picks: 0.6}
