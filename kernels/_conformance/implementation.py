"""A function under test, what it claims, and what a property saw of it."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import reject

from kernels._conformance import answers
from kernels._conformance.cases import MOST_WORK, SMALL, Case, present, values
from kernels._conformance.forms import Bare, Form
from kernels._conformance.state import FirstCall
from kernels._definition import results
from kernels._definition.numerics import Agreement, compare
from kernels._variant import Variant
from kernels._zoo import Catalogue

LONG = 256  # entries of an extent, past which the same call is made twice
BRIEF = 0.1  # seconds of a processor: a call that took longer is not made twice


def require(condition: Any, failure: str) -> None:
    """Raise AssertionError unless a condition holds; unlike the statement `assert`, also under `python -O`."""
    if not condition:
        raise AssertionError(failure)


@dataclass
class Trial:
    """One example of a property: what a failure shows of it."""

    case: Case | None = None  # the last call that was tried
    kind: str = "numpy"  # the kind of arrays in the last call
    left_out: bool = False  # whether the last call leaves out what the function has defaults for
    before: Case | None = None  # the call before the last one, where the last result may depend on it
    in_place: bool = False  # whether the call before had the arrays of the last one, with other contents
    circumstances: list[str] = field(default_factory=list)  # further code that comes before the call
    # The last call that returned, the kind of its arrays, and its result.
    called: tuple[Case, str, np.ndarray[Any, Any]] | None = None
    brief: bool = True  # whether the last call that returned took little time


@dataclass
class Record:
    """What a property saw of an implementation: how much it asked, and how close it came."""

    examples: int = 0  # that were completed
    worst: float = 0.0  # the largest error as a share of its bound
    entries: int = 0  # of results that were compared
    vacuous: float = 0.0  # how many of them had a bound that said nothing
    largest: int = 0  # the largest extent of an array
    crossings: int = 0  # the calls in which an extent goes past a tile of 16 and ends inside another
    seconds: float = 0.0  # what all of it took
    changed: list[str] = field(default_factory=list)  # what the implementation changed for the whole process
    trial: Trial = field(default_factory=Trial)  # the example that is asked now

    def add(self, agreement: Agreement, entries: int) -> None:
        """Count the entries of a result that was compared."""
        self.worst = max(self.worst, agreement.share)
        self.entries += entries
        self.vacuous += agreement.vacuous * entries

    @property
    def vacuous_share(self) -> float:
        """The share of compared entries whose bound said nothing."""
        return self.vacuous / self.entries if self.entries else 0.0


@dataclass(frozen=True)
class Implementation:
    """A function under test, in the operation's public form, and what it claims."""

    operation: str
    contract: ModuleType
    function: Callable[..., Any]
    dtypes: tuple[str, ...] = ("float32", "float64")
    precision: str = "working"
    deterministic: bool = True
    device: str = "cpu"
    kinds: tuple[str, ...] = ("numpy",)
    limits: Mapping[str, Any] = field(default_factory=dict)
    most: int = MOST_WORK  # bounds the work of a case further, for an implementation that runs on a stand-in for its device
    form: Form | Bare | None = None  # of a function that is not registered
    first: FirstCall = field(default_factory=FirstCall)
    record: Record = field(default_factory=Record)

    def call(self, case: Case, kind: str | None = None) -> Any:
        """Call the function on a case's arrays as they lie, and return its result in NumPy; what it does not claim, reject."""
        kind = kind or self.kinds[0]
        if not self.claims(case):
            reject()
        trial = self.record.trial
        trial.kind = kind
        presented = {id(array): present(array, kind, case.dtype, self.device) for array in case.arrays.values()}
        given_arrays = {name: presented[id(array)] for name, array in case.arrays.items()}
        started = time.process_time()
        result = self.first.of(self.function, not self.bare)(**given_arrays, **case.parameters)
        seconds = time.process_time() - started
        signature, first = self.contract.signature, next(iter(given_arrays.values()))
        try:
            result = results.require(signature, result, signature.normal((), {**given_arrays, **case.parameters}))
        except TypeError as error:
            raise AssertionError(f"it {error}") from None
        result = results.map_parts(lambda part: _usable(part, first), result)
        trial.called, trial.brief = (case, kind, result), seconds < BRIEF
        return result

    def claims(self, case: Case) -> bool:
        """Whether a call is valid, and within the implementation's limits; an array that is its default counts as left out."""
        if self.contract.signature.custom:
            try:
                self.contract.validate(**case.arrays, **case.parameters)
            except (TypeError, ValueError):
                return False
        if not self.limits:
            return True
        given = self.contract.signature.public.bind(**case.arrays, **case.parameters)
        given.apply_defaults()
        default = {key: case.arrays.get(other) for key, other in self.contract.signature.defaults.items()}
        facts = dict(given.arguments)
        facts |= {key: None if array is default.get(key) else "an array" for key, array in case.arrays.items()}
        if not self.limits.keys() <= facts.keys():  # to count the work takes longer than many a call
            facts = {**answers.work(self.contract, case), **facts}
        return all(self.within(key, [facts[key]]) for key in self.limits)

    @property
    def bare(self) -> bool:
        """Whether the function is called as it is, without dispatch."""
        return isinstance(self.form, Bare)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the verdict leaves out, for whoever reads it."""
        if self.form is None or self.form.takes_read_only:
            return ()
        return (
            "it takes no arrays that are read-only, and was given writable copies of them: "
            "as a variant it must be registered with layout='C', which gives it copies that are C-contiguous too",
        )

    @property
    def stands_in(self) -> bool:
        """Whether it runs on a stand-in for its device, which takes long for the smallest call."""
        return self.most < MOST_WORK

    @property
    def small(self) -> int:
        """The most work of an ordinary case."""
        return min(SMALL, self.most)

    def within(self, key: str, choices: Iterable[Any]) -> list[Any]:
        """Return the choices for an argument, or for a quantity of the operation's `work`, that the limits allow."""
        if key not in self.limits:
            return list(choices)
        limit = self.limits[key]
        return [each for each in choices if (each in limit if isinstance(limit, tuple) else each <= limit)]

    def reference(self, case: Case) -> np.ndarray[Any, Any]:
        """Return the case's result in the reference's precision."""
        return np.asarray(answers.reference(self.contract, case))

    def bound(self, case: Case) -> np.ndarray[Any, Any]:
        """Return how far a result of the claimed precision may be from the reference."""
        return np.asarray(self.expected(case).bound)

    def expected(self, case: Case) -> answers.Answer:
        """Return the case's result in the reference's precision, and how far one of the claimed precision may be from it."""
        answer: answers.Answer = answers.expected(self.contract, case, self.precision)
        return answer

    def judge(self, case: Case, result: np.ndarray[Any, Any]) -> None:
        """Hold a result to the reference within the bound; raise AssertionError with the worst entry if one is outside.

        A call with an extent of more than 256, unless it takes long, is made again, and must give the same bits if the
        implementation is deterministic: some kernels split long sums alone, and what splits them is fast.
        """
        if not self.contract.by_entries:
            given = {**case.arrays, **case.parameters}
            verdict = self.contract.verdict(result, **given, dtype=case.dtype, precision=self.precision)
            self.record.add(verdict.agreement, sum(part.size for part in results.parts(result)))
            require(verdict.failure is None, str(verdict.failure))
            return
        self.require_close(result, *self.expected(case))
        trial = self.record.trial
        if self.deterministic and trial.brief and trial.called and trial.called[2] is result:
            asked, kind, _ = trial.called
            if max(extent for array in asked.arrays.values() for extent in (0, *array.shape)) > LONG:
                require(same_bits(self.call(asked, kind), result), "the same call gave other bits")

    def same(self, result: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], case: Case, factor: float, claim: str) -> None:
        """Hold a case's result to another call's times a power of two: bit for bit, if the implementation is deterministic."""
        expected = expected * expected.dtype.type(factor)
        if self.deterministic:
            require((result == expected).all(), claim)
        else:
            self.require_close(result, expected, 2 * self.bound(case), self.scale(case), claim)

    def scale(self, case: Case) -> Any:
        """Return the size beyond which a bound says nothing."""
        return self.expected(case).scale

    def require_close(
        self, result: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], bound: Any, scale: Any, claim: str = ""
    ) -> None:
        """Hold a result to what it must be within a bound, entry by entry.

        Without a claim that is the reference, in its own precision. A claim says why another result, which may be no
        wider than this one, must be the same: finite, and within what both may be off by.

        Raises
        ------
        AssertionError
            With the worst entry, if one is outside its bound.
        """
        require(result.shape == expected.shape, f"the result has shape {result.shape}, expected {expected.shape}")
        if claim:
            require(np.isfinite(expected).all(), f"{claim}: one result is not finite")
            expected = expected.astype(np.result_type(expected, bound))
        bound = np.broadcast_to(bound, expected.shape)
        agreement: Agreement = compare(result, expected, bound, scale)
        self.record.add(agreement, result.size)
        if not agreement.passes:
            raise AssertionError(
                f"{claim}{': ' if claim else ''}entry {agreement.worst} is {result[agreement.worst]}, "
                f"expected {expected[agreement.worst]}: "
                f"off by {agreement.share:.3g} times the bound of {float(bound[agreement.worst]):.3g}"
            )

    def note(self, case: Case) -> Case:
        """Remember a case as the one under test, so that a failure can show it."""
        extents = [extent for array in case.arrays.values() for extent in array.shape]
        self.record.trial.case = case
        self.record.largest = max([self.record.largest, *extents])
        self.record.crossings += any(extent > 16 and extent % 16 for extent in extents)
        return case


def under_test(variant: Variant, contract: ModuleType, function: Callable[..., Any], **more: Any) -> Implementation:
    """Return a function under test with the claims of a variant."""
    claims = {key: getattr(variant, key) for key in ("dtypes", "precision", "deterministic", "device", "limits")}
    return Implementation(variant.operation, contract, function, **claims, **more)


def kinds_here(zoo: Catalogue) -> tuple[str, ...]:
    """Return the kinds of array that can be brought here."""
    return ("numpy", *(package for package in ("torch", "array_api_strict") if not zoo.system.missing(package)))


def _usable(result: Any, like: Any) -> np.ndarray[Any, Any]:
    """Return the values of an array that a function made, once its memory is usable."""
    array = values(result)
    if isinstance(like, np.ndarray):
        require(array.flags.writeable or not array.ndim, "the result cannot be written to")
    require(array.flags.aligned, "the result is misaligned in memory")
    require(not _overlaps_itself(array), "entries of the result share memory")
    return array


def _overlaps_itself(array: np.ndarray[Any, Any]) -> bool:
    reach = array.itemsize if array.size else 0
    for stride, extent in sorted((abs(stride), extent) for stride, extent in zip(array.strides, array.shape, strict=True)):
        if extent > 1 and stride < reach:
            return True
        reach += stride * (extent - 1) if reach else 0
    return False


def same_bits(a: Any, b: Any) -> bool:
    """Whether two results are the same, bit for bit."""
    if isinstance(a, tuple):
        return all(map(same_bits, a, b))
    if a.dtype.char in "gGO":  # padding bytes and pointers say nothing
        return bool((a == b).all())
    return bool(a.tobytes() == b.tobytes())


def kinds_for(implementation: Implementation, dtype: str) -> list[str]:
    """Return the kinds of array that an implementation is called with and that know a dtype."""
    return [kind for kind in implementation.kinds if kind == "numpy" or hasattr(importlib.import_module(kind), dtype)]
