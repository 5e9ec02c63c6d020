"""The properties that every implementation of every operation must have; an operation's own stand in its folder.

Each is a function of a `Subject` and of a `hypothesis.strategies.DataObject` that it draws its calls from.
"""

from __future__ import annotations

import functools
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance.cases import LARGE, SMALL, Case, laid_out, plain, present
from kernels._conformance.subject import Subject, kinds_for, properties_of, require
from kernels._definition.results import map_parts, parts

Property = Callable[[Subject, st.DataObject], None]

THREADS, REPEATS = 8, 12
RUSH = 0.04  # seconds that eight threads go on calling; a race needs some luck
GUARD = 64  # bytes on either side of what a kernel allocates; a multiple of any alignment
_one_guard = threading.Lock()  # NumPy is everyone's


def _draw(subject: Subject, data: st.DataObject, most: int = SMALL, label: str = "case") -> Case:
    return subject.note(data.draw(properties_of(subject.contract).cases(subject, min(most, subject.most)), label=label))


def _poison(subject: Subject, case: Case) -> None:
    """Leave NaN in the memory that an allocator is about to hand out, so that an entry never written shows."""
    subject.record.circumstances.append("# memory that is free was filled with NaN before the call")
    for array in case.arrays.values():
        for size in (array.nbytes, 4 * array.nbytes):
            del_me = np.full(size // 8 + 1, np.nan)
            del del_me


def agrees_with_reference(subject: Subject, data: st.DataObject) -> None:
    """Each entry is within the derived bound of the reference, whatever the shape, layout, dtype, scale and kind of array."""
    case = subject.note(laid_out(_draw(subject, data), data))
    kind = data.draw(st.sampled_from(kinds_for(subject, case.dtype)), label="kind of array")
    _poison(subject, case)
    subject.judge(plain(case), subject.call(case, kind))


def agrees_at_larger_sizes(subject: Subject, data: st.DataObject) -> None:
    """The same where several extents cross a tile at once."""
    case = _draw(subject, data, LARGE)
    _poison(subject, case)
    subject.judge(case, subject.call(case))


def stays_within_what_it_allocates(subject: Subject, data: st.DataObject) -> None:
    """Nothing is written before or after the arrays that a kernel gets from NumPy, and no entry of them is left unwritten.

    What compiled code or another library allocates for itself is out of reach. The first call lets Numba compile, which
    knows NumPy's functions by identity and cannot be handed others.
    """
    case = subject.note(laid_out(_draw(subject, data), data))
    subject.call(case)
    subject.record.circumstances.append("# np.empty and np.zeros gave arrays between guard bytes, filled with NaN if empty")
    with _guards() as blocks:
        result = subject.call(case)
    for block in blocks:
        require((np.delete(block, slice(GUARD, -GUARD)) == 0xFF).all(), "it wrote outside of an array it allocated")
    subject.judge(plain(case), result)


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


def leaves_its_arguments_alone(subject: Subject, data: st.DataObject) -> None:
    """Inputs are untouched, each result is fresh memory, and the same call gives the same bits, twelve times over."""
    case = subject.note(laid_out(_draw(subject, data), data))
    before = {name: (_owner(array).tobytes(), array.strides) for name, array in case.arrays.items()}
    results = [subject.call(case)]
    first = map_parts(np.copy, results[0])
    results += [subject.call(case) for _ in range(data.draw(st.sampled_from([2, REPEATS]), label="calls") - 1)]
    for name, array in case.arrays.items():
        if (_owner(array).tobytes(), array.strides) != before[name]:
            raise AssertionError(f"argument {name}, or memory round it, was changed")
        if any(np.shares_memory(array, part) for part in parts(results[0])):
            raise AssertionError(f"the result shares memory with argument {name}")
    arrays = [part for result in results for part in parts(result)]
    require(not any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2)), "two results share memory")
    require(_same_bits(results[0], first), "a later call wrote to an earlier result")
    if subject.deterministic:
        require(all(_same_bits(result, results[0]) for result in results), "the same call gave other bits")


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array whose memory this is a part of: with borders, where it has them."""
    return _owner(array.base) if isinstance(array.base, np.ndarray) else array


def _same_bits(a: Any, b: Any) -> bool:
    return all(map(_same, parts(a), parts(b)))


def _same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.dtype.char in "gGO":  # padding bytes and pointers say nothing
        return bool((a == b).all())
    return a.tobytes() == b.tobytes()


def sees_fresh_contents(subject: Subject, data: st.DataObject) -> None:
    """New values at an old address are read anew: nothing is cached by identity, shape, pointer, sample or checksum."""
    case = plain(_draw(subject, data))
    subject.call(case)
    subject.record.before, subject.record.in_place = plain(case), True
    change = data.draw(st.sampled_from(["all", "two entries swapped"]), label="what changes")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed of the change"))
    for name in data.draw(st.sampled_from([list(case.arrays), *([name] for name in case.arrays)]), label="arrays that change"):
        array = case.arrays[name]
        if change == "all":
            one = -array if array.dtype.kind in "fc" else ~array if array.dtype.kind == "b" else array  # an index stays one
            array[...] = np.roll(array[::-1], 1) if array.size > 1 else one
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
    assume(all(map(subject.claims, cases)))
    subject.record.circumstances.append(f"# {THREADS} threads were calling it at once; inputs: {inputs}")
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
            subject.record.circumstances.append(f"torch.set_default_dtype(torch.{default})")
        try:
            before = _shared_state()
            result = subject.call(case)
            after = _shared_state()
        finally:
            if torch:
                torch.set_default_dtype(usual)
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        raise AssertionError(f"it changed {', '.join(changed)} for the whole process")
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
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    arguments, error = data.draw(st.sampled_from(properties_of(subject.contract).refused(dtype)), label="call")
    own = np.dtype("float32" if dtype == "bfloat16" else dtype)
    raised = None
    try:
        subject.function(
            **{
                name: present(each, "numpy", dtype, subject.device) if type(each) is np.ndarray and each.dtype == own else each
                for name, each in arguments.items()
            }
        )
    except error as refusal:
        raised = str(refusal)
    if raised is None:
        raise AssertionError(f"a call with {arguments} was not refused; expected {error.__name__}")
    if not raised.startswith(f"{subject.operation}:"):
        raise AssertionError(f"the error does not name the operation: {raised}")


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
SHARES: dict[Property, float] = {
    agrees_at_larger_sizes: 0.05,
    serves_eight_threads: 0.1,
    leaves_the_process_as_it_was: 0.1,
    leaves_its_arguments_alone: 0.5,
    stays_within_what_it_allocates: 0.5,
}
