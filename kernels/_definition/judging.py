"""The verdict on a result that is not one floating array: indices that need not be unique, truth values, named tuples.

What the definition gives on arrays that carry a bound on their rounding says what is certain: a number has its error, a
comparison its certainty, and an index the other candidates that attain, within the bounds of both, what is asked for. An
operation whose answer is judged otherwise, such as labels in any order, states ``judge(call, result)``, which returns why a
result is wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kernels._definition.certain import Choice, Truth
from kernels._definition.numerics import Agreement, compare, reference_share

Array = np.ndarray[Any, Any]


class Verdict(NamedTuple):
    """What came of holding a result to its definition.

    Attributes
    ----------
    agreement : Agreement
        The worst part's largest error as a share of its bound.
    failure : str or None
        Why the result is wrong.
    """

    agreement: Agreement
    failure: str | None


class Call(NamedTuple):
    """A call whose result is judged: its arguments by name, and what its rounding leaves open.

    Attributes
    ----------
    contract : Contract
    arguments : dict
        Each argument, with what was not given filled in.
    dtype, precision : str
        The working dtype, and the class of error that is claimed.
    """

    contract: Any
    arguments: Mapping[str, Any]
    dtype: str
    precision: str

    def evaluate(self, expression: Callable[..., Any] | None = None) -> Any:
        """Return what an expression of the operation's arguments, or its definition, is on arrays that carry their rounding."""
        return self.contract.rounded(self.arguments, self.dtype, self.precision, expression)

    def verdict(self, result: Any) -> Verdict:
        """Hold a result to the definition, entry by entry."""
        verdict: Verdict = self.contract.entries(self.arguments, result, self.dtype, self.precision)
        return verdict


def size_of(exact: Array) -> float:
    """Return the size beyond which a bound says nothing: that of the largest number."""
    value = np.abs(exact) if exact.dtype.kind in "fc" else np.zeros(0)
    finite = value[np.isfinite(value)]
    return float(finite.max(initial=0.0)) if finite.size else np.inf


def error_of(exact: Array, known: Any, dtype: str) -> Array:
    """Return how far a result may be from the exact one; infinite where an index or a truth is not certain."""
    if isinstance(known, Choice):
        return np.where(np.count_nonzero(known.possible, axis=0) > 1, np.inf, 0.0)
    if isinstance(known, Truth):
        return np.where(known.certain, 0.0, np.inf)
    if not hasattr(known, "error"):
        return np.zeros(exact.shape)
    with np.errstate(invalid="ignore"):
        apart = np.abs(known.value - exact) if known.value is not exact else 0.0
    bound: Array = np.broadcast_to(known.error, exact.shape) * (1 + reference_share(dtype))
    return bound + np.where(np.isnan(apart), 0.0, apart)


def agreement_of(result: Array, exact: Array, known: Any, dtype: str) -> Agreement:
    """Hold one array of a result, of the right shape, to what is known of it.

    Parameters
    ----------
    result, exact : ndarray
        What a kernel gave, and what the definition gives without rounding.
    known : Rounded, Choice, Truth or ndarray
        What the claimed class of error makes of it.
    dtype : str
        The working dtype, whose reference adds its own rounding to a bound.
    """
    if isinstance(known, Choice):
        right = known.allows(result) if result.dtype.kind in "iu" else np.zeros(result.shape, bool)
        return _agreement(right, np.isinf(known.most) & (known.most > 0))
    if isinstance(known, Truth):
        return _agreement((result == known.value) | ~known.certain if result.dtype == bool else np.zeros(result.shape, bool))
    if not hasattr(known, "error"):
        right = np.asarray(result == exact) & (result.dtype.kind == exact.dtype.kind)
        return _agreement(np.broadcast_to(right, exact.shape))
    return compare(result, exact, error_of(exact, known, dtype), size_of(exact))


def _agreement(right: Array, open_: Any = False) -> Agreement:
    """Return the agreement of entries that are right or wrong; `open_`: of which nothing is known."""
    if not right.size:
        return Agreement(0.0, (), 0.0)
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmin(right)), right.shape))
    return Agreement(0.0 if right.all() else np.inf, worst, float(np.mean(open_)))


def worded(name: str, agreement: Agreement, result: Array, exact: Array, known: Any) -> str:
    """Say what is wrong with one array of a result."""
    where = "" if name == "return" else f"{name}: "
    if result.dtype.kind != exact.dtype.kind:
        return f"{where}the result has dtype {result.dtype}, expected {exact.dtype}"
    at: Any = agreement.worst
    said = f"{where}entry {at} is {result[at]}, expected {exact[at]}"
    if isinstance(known, Choice):
        allowed = np.flatnonzero(known.possible[(slice(None), *at)])
        shown = ", ".join(map(str, allowed[:8])) + (", ..." if len(allowed) > 8 else "")
        return f"{said}: rounding allows {shown}" if len(allowed) > 1 else f"{said}: no other is as near within the bounds"
    return f"{said}: off by {agreement.share:.3g} times its bound" if hasattr(known, "error") else said
