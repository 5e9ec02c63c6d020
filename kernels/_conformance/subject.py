"""A function on trial, what it claims, and what a property saw of it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import reject

from kernels import _arrays
from kernels._conformance.cases import LARGE, SMALL, Case, present, values
from kernels._conformance.draws import derived
from kernels._definition.numerics import Agreement, compare
from registry import Variant


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
    case, kind : Case or None, str
        The last call that was tried, and the kind of its arrays.
    left_out : bool
        Whether the function is called without what it has defaults for.
    before : Case or None
        The call before it, where the last result may hang on that.
    in_place : bool
        Whether the arrays of the call before are those of the last, with other contents.
    circumstances : list of str
        Further code that comes before the call.
    """

    examples: int = 0
    worst: float = 0.0
    entries: int = 0
    vacuous: float = 0.0
    largest: int = 0
    crossings: int = 0
    seconds: float = 0.0
    case: Case | None = None
    kind: str = "numpy"
    left_out: bool = False
    before: Case | None = None
    in_place: bool = False
    circumstances: list[str] = field(default_factory=list)

    @property
    def vacuous_share(self) -> float:
        """The share of compared entries whose bound said nothing."""
        return self.vacuous / self.entries if self.entries else 0.0


class Form:
    """A function that is not registered, called as dispatch calls a kernel, or as its author would.

    A kernel is given every argument. Its author leaves out what the function has defaults for; where `leaves_out` is set,
    so does this, wherever the default means the same call. A parameter that the function lacks is left out always, if its
    claims allow one value alone.
    """

    def __init__(
        self, variant: Variant, function: Callable[..., Any], operation: Callable[..., Any], keywords: Iterable[str]
    ) -> None:
        self.variant, self.function, self.leaves_out = variant, function, False
        self._operation, self._own = operation, inspect.signature(operation).parameters
        try:
            parameters = dict(inspect.signature(function).parameters)
        except (TypeError, ValueError):  # such as a function in C
            parameters = {"kwargs": inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)}
        keywords = [*keywords, *variant.options]  # of a normalised call
        empty = inspect.Parameter.empty
        own = {key: parameters[key].default for key in keywords if key in parameters}
        self.defaults = {key: default for key, default in own.items() if default is not empty}
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
        lacking = [key for key in keywords if not takes_any and key not in parameters and key in self._own]
        self.lacking = {key: self._own[key].default for key in lacking}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function with the arguments of a normalised call that it needs."""
        return self.function(*args, **self.kept(args, kwargs, self.leaves_out))

    def kept(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], leaves_out: bool) -> dict[str, Any]:
        """Return the keyword arguments that the function is given."""
        limits = self.variant.limits
        unknown = [key for key in self.lacking if isinstance(limits.get(key), tuple) and len(limits[key]) == 1]
        return {
            key: value
            for key, value in kwargs.items()
            if key not in unknown and not (leaves_out and self._goes_without_saying(key, args, kwargs))
        }

    def _goes_without_saying(self, key: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether the function's default for an argument means the value that a normalised call gives it."""
        if key not in self.defaults:
            return False
        value, default = kwargs[key], self.defaults[key]
        if key in self._own:
            own = {name: each for name, each in kwargs.items() if name in self._own}
            try:
                default = self._operation(*args, **{**own, key: default})[1].get(key)
            except (TypeError, ValueError):
                return False
        return default is value or (type(default) is type(value) and isinstance(value, str | int | float) and default == value)


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
    form: Form | None = None  # of a function that is not registered
    record: Record = field(default_factory=Record)

    def call(self, case: Case, kind: str = "numpy") -> np.ndarray[Any, Any]:
        """Call the function on a case's arrays as they lie, and return its result in NumPy; what it does not claim, reject."""
        if not self.claims(case):
            reject()
        self.record.kind = kind
        presented = {id(array): present(array, kind, case.dtype, self.device) for array in case.arrays.values()}
        given_arrays = {name: presented[id(array)] for name, array in case.arrays.items()}
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

    def claims(self, case: Case) -> bool:
        """Whether a call is within the subject's limits; data that is x itself counts as left out."""
        if not self.limits:
            return True
        signature = inspect.signature(self.contract.validate)
        given = signature.bind(**case.arrays, **case.parameters)
        given.apply_defaults()
        first = next(iter(case.arrays.values()))
        optional = {key: None for key in list(case.arrays)[1:] if case.arrays[key] is first}
        facts = {**self.contract.work(**case.arrays, **case.parameters), **given.arguments, **optional}
        return all(
            any(facts[key] is each or (np.ndim(facts[key]) == 0 and facts[key] == each) for each in limit)
            if isinstance(limit, tuple)
            else facts[key] <= limit
            for key, limit in self.limits.items()
        )

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
        expected, bound = self.contract.expected(**case.arrays, **case.parameters, dtype=case.dtype, precision=self.precision)
        self.hold(result, expected, bound, self.scale(case))

    def same(self, result: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], case: Case, factor: float, claim: str) -> None:
        """Hold a case's result to another call's times a power of two: bit for bit, from a subject that is deterministic."""
        expected = expected * expected.dtype.type(factor)
        if self.deterministic:
            require((result == expected).all(), claim)
        else:
            self.hold(result, expected, 2 * self.bound(case), self.scale(case), claim)

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


@functools.cache
def properties_of(contract: Any) -> Any:
    """Return the module with an operation's own properties and strategy, or what follows from its signature."""
    name = f"{contract.module.__name__}._properties"
    own = hasattr(contract.module, "__path__") and importlib.util.find_spec(name)
    return importlib.import_module(name) if own else derived(contract)
