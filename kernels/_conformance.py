"""The referee: properties that every implementation of an operation must have, and how a function is held to them.

The properties here are general; an operation brings its own, and the strategy that draws its calls, in
`kernels/<operation>/_properties.py`:

cases(subject, most)
    A Hypothesis strategy for a `Case` that a `Subject` takes; `most` bounds the work of the definition, so that a slow
    kernel can be asked too.
PROPERTIES
    Further properties, functions of a `Subject` and a drawn `hypothesis.strategies.DataObject`.
REFUSED
    Calls that must be refused: pairs of keyword arguments and the expected error.
SHARES
    Of the asked-for examples, for properties whose calls are large; 1 where it says nothing.

Arrays are filled by NumPy from a drawn seed: drawing them entry by entry is some thirty times slower.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import math
import random
import sys
import threading
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
from kernels._numerics import Agreement, compare, precision_of
from registry import ConformanceError, Variant

if TYPE_CHECKING:
    from registry import Zoo

# Shapes that find bugs straddle the tiles of blocked kernels.
EXTENTS = (1, 2, 3, 0, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
TILES = EXTENTS[-9:]
LONG_TILES = (256, 512, 1024, 2048, 4096)
SMALL, LARGE = 20_000, 1_000_000  # bounds on the work of a case: a second at most for three loops in Python
VACUOUS = 0.05  # the share of entries whose bound may say nothing before a property counts as untested
THREADS, REPEATS = 8, 12
RUSH = 0.04  # seconds that eight threads go on calling; a race needs some luck
GUARD = 64  # bytes on either side of what a kernel allocates; a multiple of any alignment


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
    """Draw an extent of at most `room`; a case of more than the small work is there to cross tiles in every direction.

    A third are any number up to the largest, for kernels that take six, twelve or fourteen rows at a time.
    """
    among = EXTENTS if most <= SMALL else TILES
    beside_tiles = st.sampled_from([e for e in among if e <= room] or [1])
    if room < min(among):
        return beside_tiles
    return st.one_of(beside_tiles, beside_tiles, st.integers(min(among), min(room, max(among))))


def lengths(subject: Subject) -> st.SearchStrategy[int]:
    """Draw an extent just past the tiles, batches and splits of fast kernels, as far as the subject's work allows."""
    tiles = [tile for tile in LONG_TILES if 4 * tile <= subject.most] or [64]
    return st.tuples(st.sampled_from(tiles), st.integers(-1, 15)).map(sum)


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


# Memory round what a kernel allocates

_one_guard = threading.Lock()


@contextmanager
def _guards() -> Iterator[list[np.ndarray[Any, Any]]]:
    """Let what is allocated by NumPy's `empty` and `zeros` lie between guard bytes; yield all of it, guards included.

    All bits are set in the guards and in what `empty` returns: NaN, so that an entry never written shows too.
    """
    blocks: list[np.ndarray[Any, Any]] = []
    own = {name: getattr(np, name) for name in ("empty", "zeros", "empty_like", "zeros_like")}

    def guarding(plain: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(plain)
        def allocate(*args: Any, **kwargs: Any) -> Any:
            array = plain(*args, **kwargs)
            order: Any = "C" if array.flags.c_contiguous else "F" if array.flags.f_contiguous else None
            if type(array) is not np.ndarray or array.dtype.hasobject or not array.nbytes or order is None:
                return array
            blocks.append(np.full(array.nbytes + 2 * GUARD, 0xFF, np.uint8))
            inside = blocks[-1][GUARD:-GUARD].view(array.dtype).reshape(array.shape, order=order)
            if plain.__name__.startswith("zeros"):
                inside[...] = 0
            return inside

        return allocate

    with _one_guard:
        for name, plain in own.items():
            setattr(np, name, guarding(plain))
        try:
            yield blocks
        finally:
            for name, plain in own.items():
                setattr(np, name, plain)


# The general properties


def _draw(subject: Subject, data: st.DataObject, most: int = SMALL, label: str = "case") -> Case:
    return subject.note(data.draw(properties_of(subject).cases(subject, min(most, subject.most)), label=label))


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


def stays_within_what_it_allocates(subject: Subject, data: st.DataObject) -> None:
    """Nothing is written before or after the arrays that a kernel gets from NumPy, and no entry of them is left unwritten.

    What compiled code or another library allocates for itself is out of reach. The first call lets Numba compile, which
    knows NumPy's functions by identity and cannot be handed others.
    """
    case = subject.note(laid_out(_draw(subject, data), data))
    subject.call(case)
    with _guards() as blocks:
        result = subject.call(case)
    for block in blocks:
        assert (np.delete(block, slice(GUARD, -GUARD)) == 0xFF).all(), "it wrote outside of an array it allocated"
    subject.judge(plain(case), result)


def leaves_its_arguments_alone(subject: Subject, data: st.DataObject) -> None:
    """Inputs are untouched, each result is fresh memory, and the same call gives the same bits, twelve times over."""
    case = subject.note(laid_out(_draw(subject, data), data))
    before = {name: (_owner(array).tobytes(), array.strides) for name, array in case.arrays.items()}
    results = [subject.call(case)]
    first = results[0].copy()
    results += [subject.call(case) for _ in range(data.draw(st.sampled_from([2, REPEATS]), label="calls") - 1)]
    for name, array in case.arrays.items():
        assert (_owner(array).tobytes(), array.strides) == before[name], f"argument {name}, or memory round it, was changed"
        assert not np.shares_memory(array, results[0]), f"the result shares memory with argument {name}"
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(results, 2)), "two results share memory"
    assert _same_bits(results[0], first), "a later call wrote to an earlier result"
    if subject.deterministic:
        assert all(_same_bits(result, results[0]) for result in results), "the same call gave other bits"


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array whose memory this is a part of: with borders, where it has them."""
    return _owner(array.base) if isinstance(array.base, np.ndarray) else array


def _same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.dtype.char in "gGO":  # padding bytes and pointers say nothing
        return bool((a == b).all())
    return a.tobytes() == b.tobytes()


def sees_fresh_contents(subject: Subject, data: st.DataObject) -> None:
    """New values at an old address are read anew: nothing is cached by identity, shape, pointer, sample or checksum."""
    case = plain(_draw(subject, data))
    subject.call(case)
    change = data.draw(st.sampled_from(["all", "two entries swapped"]), label="what changes")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the change"))
    for name in data.draw(st.sampled_from([list(case.arrays), *([name] for name in case.arrays)]), label="arrays that change"):
        array = case.arrays[name]
        if change == "all":
            array[...] = np.roll(array[::-1], 1) if array.size > 1 else -array if array.dtype.kind != "b" else ~array
        elif array.size:
            i, j = rng.integers(array.size, size=2)
            array.flat[[i, j]] = array.flat[[j, i]]
    subject.judge(subject.note(case), subject.call(case))


def serves_eight_threads(subject: Subject, data: st.DataObject) -> None:
    """Eight threads, with inputs of their own or of one shape or all with the same, each get their own answer, call by call.

    Threads take turns every few microseconds, so that one is stopped between any two steps of a kernel in Python.
    """
    inputs = data.draw(st.sampled_from(["their own", "of one shape", "the same"]), label="inputs")
    if inputs == "their own":
        cases = [_draw(subject, data, label=f"case of thread {i}") for i in range(THREADS)]
    else:
        cases = [_draw(subject, data, label="case of all threads")] * THREADS
    if inputs == "of one shape":
        cases = [replace(cases[0], arrays={k: np.roll(a, i) for k, a in cases[0].arrays.items()}) for i in range(THREADS)]
    outcomes: list[list[Any]] = [[] for _ in range(THREADS)]
    together = threading.Barrier(THREADS)

    def serve(i: int) -> None:
        together.wait()
        end = time.perf_counter() + RUSH
        while not outcomes[i] or time.perf_counter() < end:
            try:
                result = subject.call(cases[i])
            except BaseException as error:
                outcomes[i].append(error)
                return
            if not outcomes[i] or not _same_bits(result, outcomes[i][0]):
                outcomes[i].append(result)

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for case, results in zip(cases, outcomes, strict=True):
        subject.note(case)
        for result in results:
            if isinstance(result, BaseException):
                raise result
            subject.judge(case, result)


def leaves_the_process_as_it_was(subject: Subject, data: st.DataObject) -> None:
    """What a process shares changes no result and is left as it was: NumPy's error handling, generators, torch's defaults."""
    case = _draw(subject, data)
    torch: Any = sys.modules.get("torch")  # only once someone has imported it
    default = data.draw(st.sampled_from(["float32", "float64"]), label="torch's default dtype") if torch else ""
    random.random(), np.random.random()  # Hypothesis has just seeded both with 0, as a kernel may
    usual = torch and torch.get_default_dtype()
    with np.errstate(all="ignore"):
        if torch:
            torch.set_default_dtype(getattr(torch, default))
        try:
            before = _shared_state()
            result = subject.call(case)
            after = _shared_state()
        finally:
            if torch:
                torch.set_default_dtype(usual)
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"it changed {', '.join(changed)} for the whole process"
    subject.judge(case, result)


def _shared_state() -> dict[str, Any]:
    """Return what a kernel might set for everyone, by name."""
    state: dict[str, Any] = {
        "np.seterr": np.geterr(),
        "np.random": [part.tobytes() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        "random": random.getstate(),
        "how subnormal numbers are kept": float((np.full(1, np.finfo(float).tiny) / 2)[0]),
    }
    torch: Any = sys.modules.get("torch")
    if torch:
        state["torch's default dtype"] = torch.get_default_dtype()
        state["torch's threads"] = torch.get_num_threads()
        state["torch's random generator"] = torch.get_rng_state().numpy().tobytes()
        state["torch's gradients"] = torch.is_grad_enabled()
    return state


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
    stays_within_what_it_allocates,
    leaves_its_arguments_alone,
    sees_fresh_contents,
    serves_eight_threads,
    leaves_the_process_as_it_was,
    refuses_what_the_contract_refuses,
)
# The share of the asked-for examples that a property gets: each of these does the work of many.
_SHARES: dict[Property, float] = {
    agrees_at_larger_sizes: 0.05,
    serves_eight_threads: 0.1,
    leaves_the_process_as_it_was: 0.1,
    leaves_its_arguments_alone: 0.5,
    stays_within_what_it_allocates: 0.5,
}


def _share(property_: Property, subject: Subject) -> float:
    """Return a property's share of the examples, which an operation says of its own in SHARES."""
    own: dict[Property, float] = getattr(properties_of(subject), "SHARES", {})
    return (_SHARES | own).get(property_, 1)


# Running them


def properties_of(subject: Subject) -> Any:
    """Return the module with an operation's own properties and strategy."""
    return importlib.import_module(f"{subject.contract.__name__}._properties")


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
