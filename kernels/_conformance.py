"""The referee: properties that every implementation of an operation must have, and how a function is held to them.

The properties here are general; an operation brings its own, and the strategy that draws its calls, in
`kernels/<operation>/_properties.py`:

cases(dtypes, most)
    A Hypothesis strategy for `Case`; `most` bounds the work of the definition, so that a slow kernel can be asked too.
    Where variants have limits it takes these too, as the keyword `limits`, and draws within them.
PROPERTIES
    Further properties, functions of a `Subject` and a drawn `hypothesis.strategies.DataObject`.
REFUSED
    Calls that must be refused: pairs of keyword arguments and the expected error.

Arrays are filled by NumPy from a drawn seed: drawing them entry by entry is some thirty times slower.
"""

from __future__ import annotations

import functools
import importlib
import math
import threading
import time
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
from kernels._numerics import Agreement, compare, precision_of
from registry import ConformanceError, Variant

if TYPE_CHECKING:
    from registry import Zoo

# Shapes that find bugs straddle the tiles of blocked kernels.
EXTENTS = (1, 2, 3, 0, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
TILES = EXTENTS[-9:]
SMALL, LARGE = 20_000, 1_000_000  # bounds on the work of a case: a second at most for three loops in Python
VACUOUS = 0.05  # the share of entries whose bound may say nothing before a property counts as untested
THREADS, REPEATS = 8, 12


@dataclass(frozen=True)
class Case:
    """One drawn call: named arrays, in NumPy whatever the working dtype, and the operation's other arguments."""

    arrays: dict[str, np.ndarray[Any, Any]]
    parameters: dict[str, Any]
    dtype: str
    layouts: dict[str, str] = field(default_factory=dict)  # how each array lies in memory, by a name of LAYOUTS

    def __repr__(self) -> str:
        return f"Case({self.code()})"

    def code(self) -> str:
        """Return the call's arguments as Python that rebuilds them, layouts included."""
        arrays = []
        for name, array in self.arrays.items():
            text, layout = _literal(array, self.dtype), self.layouts.get(name)
            arrays.append(f"{name}={f'LAYOUTS[{layout!r}]({text})' if layout else text}")
        return ", ".join(arrays + [f"{key}={value!r}" for key, value in self.parameters.items()])


def _literal(array: np.ndarray[Any, Any], dtype: str) -> str:
    kind = "float32" if dtype == "bfloat16" else dtype
    text = f"np.array({array.tolist()!r}, dtype={kind!r}).reshape({array.shape})"
    text = text.replace("nan", "np.nan").replace("inf", "np.inf")
    return f"torch.tensor({text}).to(torch.bfloat16)" if dtype == "bfloat16" else text


@dataclass
class Record:
    """What a property saw of a subject: how much it asked, and how close it came."""

    examples: int = 0
    worst: float = 0.0
    entries: int = 0
    vacuous: float = 0.0
    largest: int = 0
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
    record: Record = field(default_factory=Record)

    def call(self, case: Case, kind: str = "numpy") -> np.ndarray[Any, Any]:
        """Call the function on a case's arrays as they lie, and return its result in NumPy."""
        given_arrays = {name: present(array, kind, case.dtype, self.device) for name, array in case.arrays.items()}
        result = self.function(**given_arrays, **case.parameters)
        first = next(iter(given_arrays.values()))
        assert type(result) is type(first) or np.ndim(result) == 0, (
            f"the result is a {type(result).__name__}, the arrays are {type(first).__name__}"
        )
        assert _arrays.dtype_name(result.dtype) == case.dtype, f"the result has dtype {result.dtype}, expected {case.dtype}"
        return values(result)

    def reference(self, case: Case) -> np.ndarray[Any, Any]:
        """Return the case's result in the reference's precision."""
        return np.asarray(self.contract.reference(**case.arrays, **case.parameters, dtype=case.dtype))

    def bound(self, case: Case) -> np.ndarray[Any, Any]:
        """Return how far a result of the claimed precision may be from the reference."""
        return np.asarray(self.contract.bound(**case.arrays, **case.parameters, dtype=case.dtype, precision=self.precision))

    def judge(self, case: Case, result: np.ndarray[Any, Any]) -> None:
        """Hold a result to the reference within the bound.

        Raises
        ------
        AssertionError
            With the worst entry, if one is outside its bound.
        """
        expected, bound = self.reference(case), self.bound(case)
        assert result.shape == expected.shape, f"the result has shape {result.shape}, expected {expected.shape}"
        agreement: Agreement = compare(result, expected, bound, self.contract.scale(**case.arrays, **case.parameters))
        self.record.worst = max(self.record.worst, agreement.share)
        self.record.entries += result.size
        self.record.vacuous += agreement.vacuous * result.size
        assert agreement.passes, (
            f"entry {agreement.worst} is {result[agreement.worst]}, expected {expected[agreement.worst]}: "
            f"off by {agreement.share:.3g} times the bound of {float(bound[agreement.worst]):.3g}"
        )

    def note(self, case: Case) -> Case:
        """Remember a case as the one under trial, so that a failure can show it."""
        self.record.case = case
        self.record.largest = max(self.record.largest, *(max(a.shape, default=0) for a in case.arrays.values()))
        return case


Property = Callable[[Subject, st.DataObject], None]


def present(array: np.ndarray[Any, Any], kind: str, dtype: str, device: str = "cpu") -> Any:
    """Return an array as a caller of some kind would bring it; torch where NumPy lacks the dtype or the device."""
    if kind == "torch" or dtype == "bfloat16" or device != "cpu":
        import torch

        tensor = _arrays.to_torch(array, device)
        return tensor.to(torch.bfloat16) if dtype == "bfloat16" else tensor
    if kind == "array_api_strict":
        import array_api_strict

        return array_api_strict.asarray(array)
    return array


def kinds_for(subject: Subject, dtype: str) -> list[str]:
    """Return the kinds of array that a subject is called with and that know a dtype."""
    return [kind for kind in subject.kinds if kind == "numpy" or hasattr(importlib.import_module(kind), dtype)]


def values(result: Any) -> np.ndarray[Any, Any]:
    """Return a result's values in NumPy, bfloat16 as float32."""
    if str(getattr(result, "dtype", "")) == "torch.bfloat16":
        result = result.float()
    return _arrays.to_numpy(result)


def extents(most: int, room: int) -> st.SearchStrategy[int]:
    """Draw an extent of at most `room`; a case of more than the small work is there to cross tiles in every direction."""
    return st.sampled_from([e for e in (EXTENTS if most <= SMALL else TILES) if e <= room] or [1])


# Memory layouts


def _bordered(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy inside a larger array of NaN (or the largest integer): what is read past its edge shows in the result."""
    border = np.nan if array.dtype.kind in "fc" else np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    around = np.full([extent + 2 for extent in array.shape], border, array.dtype)
    inside = around[(slice(1, -1),) * array.ndim]
    inside[...] = array
    return inside


def _every_other(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def _read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "contiguous": lambda a: a.copy(),
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "reversed": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "reversed rows": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every other": _every_other,
    "bordered": _bordered,
    "read-only": _read_only,
    "0-stride": lambda a: np.broadcast_to(a[..., :1], a.shape) if a.shape[-1] else a,
}


def laid_out(case: Case, data: st.DataObject) -> Case:
    """Return the case with each array in a drawn layout; a 0-stride one repeats its first column, values and all."""
    return in_layouts(case, {name: data.draw(st.sampled_from(list(LAYOUTS)), label=f"layout of {name}") for name in case.arrays})


def in_layouts(case: Case, names: dict[str, str]) -> Case:
    """Return the case with each array in the layout of that name."""
    return replace(case, arrays={name: LAYOUTS[names[name]](array) for name, array in case.arrays.items()}, layouts=names)


def plain(case: Case) -> Case:
    """Return the case with its arrays copied to C order."""
    return replace(case, arrays={name: np.array(array, order="C") for name, array in case.arrays.items()}, layouts={})


# The general properties


def _draw(subject: Subject, data: st.DataObject, most: int = SMALL, label: str = "case") -> Case:
    return subject.note(data.draw(strategy_of(subject)(subject.dtypes, most), label=label))


def _poison(case: Case) -> None:
    """Leave NaN in the memory that an allocator is about to hand out, so that an entry never written shows."""
    for array in case.arrays.values():
        for size in (array.nbytes, 4 * array.nbytes):
            del_me = np.full(size // 8 + 1, np.nan)
            del del_me


def agrees_with_reference(subject: Subject, data: st.DataObject) -> None:
    """Each entry is within the derived bound of the reference, whatever the shape, layout, dtype, scale and kind of array."""
    case = subject.note(laid_out(_draw(subject, data), data))
    kind = data.draw(st.sampled_from(kinds_for(subject, case.dtype)), label="kind of array")
    _poison(case)
    subject.judge(plain(case), subject.call(case, kind))


def agrees_at_larger_sizes(subject: Subject, data: st.DataObject) -> None:
    """The same where several extents cross a tile at once."""
    case = _draw(subject, data, LARGE)
    _poison(case)
    subject.judge(case, subject.call(case))


def leaves_its_arguments_alone(subject: Subject, data: st.DataObject) -> None:
    """Inputs are untouched, results are fresh memory, and the same call gives the same bits, twelve times over."""
    case = subject.note(laid_out(_draw(subject, data), data))
    before = {name: (array.tobytes(), array.strides) for name, array in case.arrays.items()}
    results = [subject.call(case) for _ in range(data.draw(st.sampled_from([2, REPEATS]), label="calls"))]
    for name, array in case.arrays.items():
        assert (array.tobytes(), array.strides) == before[name], f"argument {name} was changed"
        assert not np.shares_memory(array, results[0]), f"the result shares memory with argument {name}"
    assert not np.shares_memory(results[0], results[1]), "two results share memory"
    if subject.deterministic:
        assert all(_same_bits(result, results[0]) for result in results), "the same call gave other bits"


def _same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.dtype.char in "gGO":  # padding bytes and pointers say nothing
        return bool((a == b).all())
    return a.tobytes() == b.tobytes()


def sees_fresh_contents(subject: Subject, data: st.DataObject) -> None:
    """New values at an old address are read anew: nothing is cached by identity, shape or pointer."""
    case = plain(_draw(subject, data))
    subject.call(case)
    for array in case.arrays.values():
        array[...] = array[::-1].copy() * array.dtype.type(1 if array.dtype.kind == "b" else 2)
    subject.judge(subject.note(case), subject.call(case))


def serves_eight_threads(subject: Subject, data: st.DataObject) -> None:
    """Eight threads with different inputs each get their own answer."""
    cases = [_draw(subject, data, label=f"case of thread {i}") for i in range(THREADS)]
    outcomes: list[Any] = [None] * THREADS
    together = threading.Barrier(THREADS)

    def serve(i: int) -> None:
        together.wait()
        try:
            outcomes[i] = subject.call(cases[i])
        except BaseException as error:
            outcomes[i] = error

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for case, outcome in zip(cases, outcomes, strict=True):
        subject.note(case)
        if isinstance(outcome, BaseException):
            raise outcome
        subject.judge(case, outcome)


def refuses_what_the_contract_refuses(subject: Subject, data: st.DataObject) -> None:
    """Bad arguments raise the contract's error, naming the operation, before any kernel runs."""
    arguments, error = data.draw(st.sampled_from(properties_of(subject).REFUSED), label="call")
    raised = None
    try:
        subject.function(**arguments)
    except error as refusal:
        raised = str(refusal)
    assert raised is not None, f"a call with {arguments} was not refused; expected {error.__name__}"
    assert raised.startswith(f"{subject.operation}:"), f"the error does not name the operation: {raised}"


GENERAL: tuple[Property, ...] = (
    agrees_with_reference,
    agrees_at_larger_sizes,
    leaves_its_arguments_alone,
    sees_fresh_contents,
    serves_eight_threads,
    refuses_what_the_contract_refuses,
)
# The share of the asked-for examples that a property gets: each of these does the work of many.
_SHARES: dict[Property, float] = {agrees_at_larger_sizes: 0.05, serves_eight_threads: 0.1, leaves_its_arguments_alone: 0.5}


# Running them


def properties_of(subject: Subject) -> Any:
    """Return the module with an operation's own properties and strategy."""
    return importlib.import_module(f"{subject.contract.__name__}._properties")


def strategy_of(subject: Subject) -> Callable[[tuple[str, ...], int], st.SearchStrategy[Case]]:
    """Return an operation's strategy for cases; that of a limited variant's takes the limits too."""
    strategy: Callable[..., st.SearchStrategy[Case]] = properties_of(subject).cases
    return functools.partial(strategy, limits=subject.limits) if subject.limits else strategy


def within(limits: Mapping[str, Any], key: str, values: Iterable[Any]) -> list[Any]:
    """Return those values of an argument, or of a quantity of the operation's `work`, that a variant's limits allow."""
    limit = limits.get(key, math.inf)
    return [value for value in values if key not in limits or (value in limit if isinstance(limit, tuple) else value <= limit)]


def all_properties(contract: ModuleType) -> tuple[Property, ...]:
    """Return the general properties and those of an operation."""
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

    @seeded(seed)
    @settings(
        max_examples=max(1, round(max_examples * _SHARES.get(property_, 1))),
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
                lines.append("(LAYOUTS is in kernels._conformance)")
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


def exactness(dtype: str) -> float:
    """Return the largest integer up to which sums in a dtype are exact: one over its unit roundoff."""
    working = precision_of(dtype)
    return math.inf if working is None else 1 / working.unit
