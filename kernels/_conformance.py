"""The referee: a function on trial, what it claims, and how it is held to the properties of an operation.

The general properties stand in `kernels/_properties.py`; an operation brings its own, and the strategy that draws its calls,
in `kernels/<operation>/_properties.py`:

cases(subject, most)
    A Hypothesis strategy for a `Case` that a `Subject` takes; `most` bounds the work of the definition, so that a slow
    kernel can be asked too.
PROPERTIES
    Further properties, functions of a `Subject` and a drawn `hypothesis.strategies.DataObject`.
REFUSED
    Calls that must be refused: pairs of keyword arguments and the expected error.
SHARES
    Of the asked-for examples, for properties whose calls are large; 1 where it says nothing.
"""

from __future__ import annotations

import importlib
import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from kernels import _arrays, _dispatch
from kernels._cases import LARGE, SMALL, Case, present, values
from kernels._numerics import Agreement, compare
from registry import ConformanceError, Variant

if TYPE_CHECKING:
    from registry import Zoo

VACUOUS = 0.05  # the share of entries whose bound may say nothing before a property counts as untested


@dataclass
class Record:
    """What a property saw of a subject: how much it asked, and how close it came.

    Attributes
    ----------
    examples, entries : int
        Examples drawn, and entries of results compared.
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
        assert type(result) is type(first) or np.ndim(result) == 0, (
            f"the result is a {type(result).__name__}, the arrays are {type(first).__name__}"
        )
        assert _arrays.dtype_name(result.dtype) == case.dtype, f"the result has dtype {result.dtype}, expected {case.dtype}"
        result = values(result)
        assert kind != "numpy" or result.flags.writeable or not result.ndim, "the result cannot be written to"
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
        assert result.shape == expected.shape, f"the result has shape {result.shape}, expected {expected.shape}"
        if claim:
            assert np.isfinite(expected).all(), f"{claim}: one result is not finite"
            expected = expected.astype(np.result_type(expected, bound))
        bound = np.broadcast_to(bound, expected.shape)
        agreement: Agreement = compare(result, expected, bound, scale)
        self.record.worst = max(self.record.worst, agreement.share)
        self.record.entries += result.size
        self.record.vacuous += agreement.vacuous * result.size
        assert agreement.passes, (
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


Property = Callable[[Subject, st.DataObject], None]


def kinds_for(subject: Subject, dtype: str) -> list[str]:
    """Return the kinds of array that a subject is called with and that know a dtype."""
    return [kind for kind in subject.kinds if kind == "numpy" or hasattr(importlib.import_module(kind), dtype)]


def _share(property_: Property, subject: Subject) -> float:
    """Return a property's share of the examples, which an operation says of its own in SHARES."""
    from kernels._properties import SHARES

    own: dict[Property, float] = getattr(properties_of(subject), "SHARES", {})
    return (SHARES | own).get(property_, 1)


def properties_of(subject: Subject) -> Any:
    """Return the module with an operation's own properties and strategy."""
    return importlib.import_module(f"{subject.contract.__name__}._properties")


def all_properties(contract: ModuleType) -> tuple[Property, ...]:
    """Return the general properties and those of an operation."""
    from kernels._properties import GENERAL

    own: tuple[Property, ...] = importlib.import_module(f"{contract.__name__}._properties").PROPERTIES
    return GENERAL + own


def subject_of(zoo: Zoo, variant: Variant) -> Subject:
    """Put a registered variant on trial, called through the front desk with every kind of array."""
    return Subject(
        variant.operation,
        zoo.contract(variant.operation),
        zoo.get(variant.operation, variant.name),
        variant.dtypes,
        variant.precision,
        variant.deterministic,
        variant.device,
        ("numpy", *(package for package in ("torch", "array_api_strict") if not zoo.system.missing(package))),
        variant.limits,
    )


def function_subject(
    zoo: Zoo, operation: str, function: Callable[..., Any], device: str = "cpu", dtypes: tuple[str, ...] | None = None
) -> Subject:
    """Put any function on trial, behind the front desk's validation; one that refuses NumPy arrays gets tensors."""
    op = _dispatch.Operation(zoo, operation)
    name = getattr(function, "__name__", "function")
    variant = Variant(operation=operation, name=f"<{name}>", device=device, arrays="numpy" if device == "cpu" else "torch")
    if dtypes is not None:
        variant = replace(variant, dtypes=dtypes)
    if device == "cpu":
        example = op.contract.example("tiny")
        args, kwargs = op.function(*example.args, **example.kwargs)
        try:
            function(*args, **kwargs)
        except (TypeError, AttributeError):
            if not zoo.system.missing("torch"):
                variant = replace(variant, arrays="torch")
        except Exception:  # a failure of its own: the properties will show it
            pass
    return Subject(operation, op.contract, _dispatch.fixed(op, variant, function), variant.dtypes, device=device)


def run(property_: Property, subject: Subject, max_examples: int, seed: int = 0) -> Record:
    """Ask one property of a subject; the same seed asks the same questions.

    Returns
    -------
    Record
        What was asked, and how close it came.

    Raises
    ------
    ConformanceError
        With the property and the smallest failing example as code.
    """
    subject = replace(subject, record=Record())
    started = time.perf_counter()

    @seeded(seed + zlib.crc32(property_.__name__.encode()))  # or all properties would be asked about the same cases
    @settings(
        max_examples=max(1, round(max_examples * _share(property_, subject))),
        deadline=None,  # a first call may compile
        database=None,
        report_multiple_bugs=False,
        # Not Phase.target: it dwells on the examples with the largest share of a bound, and those are tiny.
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        subject.record.examples += 1
        property_(subject, data)

    with _naming(property_, subject):
        ask()
    subject.record.seconds = time.perf_counter() - started
    return subject.record


@contextmanager
def _naming(property_: Property, subject: Subject) -> Iterator[None]:
    try:
        yield
    except Exception as raised:
        error = raised
        while isinstance(error, ExceptionGroup):  # Hypothesis's word that an example failed now and then, as races do
            error = error.exceptions[0]
        what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        lines = [f"{subject.operation}: {property_.__name__} failed: {what}"]
        if subject.record.case is not None:
            lines.append(f"smallest failing example: {subject.operation}({subject.record.case.code()})")
            if subject.record.case.layouts:
                lines.append("(LAYOUTS is in kernels._cases)")
        raise ConformanceError("\n".join(lines)) from error


def check(
    zoo: Zoo, operation: str, function: Callable[..., Any], *, device: str, dtypes: tuple[str, ...] | None, max_examples: int
) -> None:
    """Hold any function to every property of an operation; see `registry.check`."""
    subject = function_subject(zoo, operation, function, device, dtypes)
    for property_ in all_properties(subject.contract):
        run(property_, subject, max_examples)


def conformance_test(
    zoo: Zoo, operation: str, function: Callable[..., Any], max_examples: int = 100, **claims: Any
) -> Callable[..., None]:
    """Return a pytest test that holds a function to every property, each under its own name; see `registry.conformance_test`."""
    import pytest

    subject = function_subject(zoo, operation, function, **claims)

    @pytest.mark.parametrize("property_", all_properties(subject.contract), ids=lambda property_: property_.__name__)
    def test(property_: Property) -> None:
        run(property_, subject, max_examples)

    return test
