"""A function on trial, what it claims, and what a property saw of it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from kernels import _arrays
from kernels._cases import LARGE, SMALL, Case, present, values
from kernels._numerics import Agreement, compare


def require(condition: Any, failure: str) -> None:
    """Raise AssertionError unless a condition holds; unlike the statement `assert`, also under `python -O`."""
    if not condition:
        raise AssertionError(failure)


@dataclass
class Record:
    """What a property saw of a subject: how much it asked, and how close it came.

    Attributes
    ----------
    examples, entries : int
        Examples completed, and entries of results compared.
    worst : float
        The largest error as a share of its bound.
    vacuous : float
        The number of entries whose bound said nothing.
    largest, crossings : int
        The largest extent of an array, and the calls in which one goes past a tile of 16 and ends inside another.
    seconds : float
        What it took.
    case : Case or None
        The last call that was tried.
    """

    examples: int = 0
    worst: float = 0.0
    entries: int = 0
    vacuous: float = 0.0
    largest: int = 0
    crossings: int = 0
    seconds: float = 0.0
    case: Case | None = None

    @property
    def vacuous_share(self) -> float:
        """The share of compared entries whose bound said nothing."""
        return self.vacuous / self.entries if self.entries else 0.0


@dataclass(frozen=True)
class Subject:
    """A function on trial, in the operation's public form, and what it claims."""

    operation: str
    contract: ModuleType
    function: Callable[..., Any]
    dtypes: tuple[str, ...] = ("float32", "float64")
    precision: str = "working"
    deterministic: bool = True
    device: str = "cpu"
    kinds: tuple[str, ...] = ("numpy",)
    limits: Mapping[str, Any] = field(default_factory=dict)
    most: int = LARGE  # bounds the work of a case further, for a subject that runs on a stand-in for its device
    record: Record = field(default_factory=Record)

    def call(self, case: Case, kind: str = "numpy") -> np.ndarray[Any, Any]:
        """Call the function on a case's arrays as they lie, and return its result in NumPy."""
        given_arrays = {name: present(array, kind, case.dtype, self.device) for name, array in case.arrays.items()}
        result = self.function(**given_arrays, **case.parameters)
        if case.dtype == "object" and np.ndim(result) == 0:
            result = np.asarray(result, dtype=object)  # NumPy hands out the object itself
        first = next(iter(given_arrays.values()))
        if not (type(result) is type(first) or np.ndim(result) == 0):
            raise AssertionError(f"the result is a {type(result).__name__}, the arrays are {type(first).__name__}")
        if _arrays.dtype_name(result.dtype) != case.dtype:
            raise AssertionError(f"the result has dtype {result.dtype}, expected {case.dtype}")
        result = values(result)
        require(kind != "numpy" or result.flags.writeable or not result.ndim, "the result cannot be written to")
        return result

    @property
    def small(self) -> int:
        """The most work of an ordinary case."""
        return min(SMALL, self.most)

    def within(self, key: str, choices: Iterable[Any]) -> list[Any]:
        """Return those choices for an argument, or a quantity of the operation's `work`, that the subject's limits allow."""
        limit = self.limits.get(key, math.inf)
        return [
            each for each in choices if key not in self.limits or (each in limit if isinstance(limit, tuple) else each <= limit)
        ]

    def reference(self, case: Case) -> np.ndarray[Any, Any]:
        """Return the case's result in the reference's precision."""
        return np.asarray(self.contract.reference(**case.arrays, **case.parameters, dtype=case.dtype))

    def bound(self, case: Case) -> np.ndarray[Any, Any]:
        """Return how far a result of the claimed precision may be from the reference."""
        return np.asarray(self.contract.bound(**case.arrays, **case.parameters, dtype=case.dtype, precision=self.precision))

    def judge(self, case: Case, result: np.ndarray[Any, Any]) -> None:
        """Hold a result to the reference within the bound; raise AssertionError with the worst entry if one is outside."""
        self.hold(result, self.reference(case), self.bound(case), self.scale(case))

    def scale(self, case: Case) -> Any:
        """Return the size beyond which a bound says nothing."""
        return self.contract.scale(**case.arrays, **case.parameters)

    def hold(self, result: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], bound: Any, scale: Any, claim: str = "") -> None:
        """Hold a result to what it must be within a bound, entry by entry.

        Without a claim that is the reference, in its own precision. A claim says why another result, which may be no
        wider than this one, must be the same: finite, and within what both may be off by.

        Raises
        ------
        AssertionError
            With the worst entry, if one is outside its bound.
        """
        if result.shape != expected.shape:
            raise AssertionError(f"the result has shape {result.shape}, expected {expected.shape}")
        if claim:
            if not np.isfinite(expected).all():
                raise AssertionError(f"{claim}: one result is not finite")
            expected = expected.astype(np.result_type(expected, bound))
        bound = np.broadcast_to(bound, expected.shape)
        agreement: Agreement = compare(result, expected, bound, scale)
        self.record.worst = max(self.record.worst, agreement.share)
        self.record.entries += result.size
        self.record.vacuous += agreement.vacuous * result.size
        if not agreement.passes:
            raise AssertionError(
                f"{claim}{': ' if claim else ''}entry {agreement.worst} is {result[agreement.worst]}, "
                f"expected {expected[agreement.worst]}: "
                f"off by {agreement.share:.3g} times the bound of {float(bound[agreement.worst]):.3g}"
            )

    def note(self, case: Case) -> Case:
        """Remember a case as the one under trial, so that a failure can show it."""
        extents = [extent for array in case.arrays.values() for extent in array.shape]
        self.record.case = case
        self.record.largest = max([self.record.largest, *extents])
        self.record.crossings += any(extent > 16 and extent % 16 for extent in extents)
        return case


def kinds_for(subject: Subject, dtype: str) -> list[str]:
    """Return the kinds of array that a subject is called with and that know a dtype."""
    return [kind for kind in subject.kinds if kind == "numpy" or hasattr(importlib.import_module(kind), dtype)]


def properties_of(contract: ModuleType) -> Any:
    """Return the module with an operation's own properties and strategy."""
    return importlib.import_module(f"{contract.__name__}._properties")
