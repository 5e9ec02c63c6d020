"""What a call's result must be, computed once: a property asks a kernel the same call in several ways, and every kernel the same.

Calls are drawn alike for all kernels with the same claims, so that the reference and its bound, the most costly part of a test,
are there for the next one. The key is the call's contents, so a call whose array was changed in place is another call.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Hashable
from types import ModuleType
from typing import Any, NamedTuple

from kernels._conformance.cases import Case

REMEMBERED = 4096  # calls: more than the properties of an operation ask a kernel, with 100 examples of each


class Answer(NamedTuple):
    """The reference of a call, how far a result of a class of error may be from it, and beyond what size that says nothing."""

    reference: Any
    bound: Any
    scale: Any


_remembered: dict[Hashable, tuple[ModuleType, Any]] = {}


def _once(compute: Callable[..., Any], by_contents: bool = True) -> Callable[..., Any]:
    """Memoise a function: by everything that a call holds, or without `by_contents` by all but the contents of arrays."""

    @functools.wraps(compute)
    def remembered(contract: ModuleType, case: Case, *precision: str) -> Any:
        arrays = list(case.arrays.values())
        if by_contents and any(array.dtype.hasobject for array in arrays):  # whose bytes are addresses
            return compute(contract, case, *precision)
        facts = (
            id(contract),  # which is remembered too, so that no other gets its place
            compute,
            precision,
            case.dtype,
            repr(case.parameters),
            tuple(case.arrays),
            tuple([id(other) for other in arrays].index(id(array)) for array in arrays),  # one array given twice is one
            tuple((array.dtype.str, array.shape) for array in arrays),
            tuple(hashlib.sha256(array.tobytes()).digest() for array in arrays) if by_contents else None,
        )
        if facts not in _remembered:
            _remembered[facts] = contract, compute(contract, case, *precision)
            if len(_remembered) > REMEMBERED:
                del _remembered[next(iter(_remembered))]
        return _remembered[facts][1]

    return remembered


@_once
def expected(contract: ModuleType, case: Case, precision: str) -> Answer:
    """Return what an operation's contract expects of a case, within a class of error."""
    given = {**case.arrays, **case.parameters}
    reference, bound = contract.expected(**given, dtype=case.dtype, precision=precision)
    return Answer(reference, bound, contract.scale(reference, **given))


@_once
def reference(contract: ModuleType, case: Case) -> Any:
    """Return a case's result in the reference's precision."""
    return contract.reference(**case.arrays, **case.parameters, dtype=case.dtype)


@functools.partial(_once, by_contents=False)
def work(contract: ModuleType, case: Case) -> Any:
    """Return the work of a case, which depends on its shapes and parameters alone."""
    return contract.work(**case.arrays, **case.parameters)
