"""The properties that every implementation of every operation must have; those of one operation are in its folder.

Each is a function of an `Implementation` and of a `hypothesis.strategies.DataObject` that it draws its calls from.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import array_api_compat
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance.cases import SMALL, Case, laid_out, plain, present
from kernels._conformance.draws import drawn, properties_of
from kernels._conformance.forms import Bare
from kernels._conformance.implementation import Implementation, kinds_for, require, same_bits
from kernels._conformance.sizes import agrees_at_every_length, agrees_at_ordinary_sizes
from kernels._conformance.state import circumstances, watched
from kernels._definition.results import map_parts, parts

Property = Callable[[Implementation, st.DataObject], None]

THREADS = 8
# How many calls, and the most work of each: 130 calls go round any ring of reused buffers. Hypothesis always tries the first.
CALLS = ((130, 200), *((20, SMALL),) * 3, *((2, SMALL),) * 28)
RACE_SECONDS = 0.04  # that eight threads go on calling: the longer, the more likely a race shows
STOPS = 100  # lines of a call before which a thread lets the others run
GUARD = 64  # bytes on either side of what a kernel allocates; a multiple of any alignment
# How the paths of code begin that stands between a call and the kernel.
BETWEEN = (
    os.path.join(Path(__file__).parent.parent, "_"),
    *(str(Path(str(module.__file__)).parent) for module in (array_api_compat, np, os)),
    "<",
)
_one_tracer = threading.Lock()  # Python lets one thread at a time install its own
_one_guard = threading.Lock()  # NumPy's functions are replaced for all threads, so by one of them at a time


def _poison(implementation: Implementation, case: Case) -> None:
    """Leave NaN in the memory that an allocator is about to hand out, so that an entry never written shows."""
    implementation.record.trial.circumstances.append("# memory that is free was filled with NaN before the call")
    for array in case.arrays.values():
        for size in (array.nbytes, 4 * array.nbytes):
            np.full(size // 8 + 1, np.nan)  # which is freed at once


def agrees_with_reference(implementation: Implementation, data: st.DataObject) -> None:
    """Each entry is within the derived bound of the reference, whatever the shape, layout, dtype, scale and kind of array."""
    case = implementation.note(laid_out(drawn(implementation, data), data))
    kind = data.draw(st.sampled_from(kinds_for(implementation, case.dtype)), label="kind of array")
    _poison(implementation, case)
    implementation.judge(plain(case), implementation.call(case, kind))


def stays_within_what_it_allocates(implementation: Implementation, data: st.DataObject) -> None:
    """Nothing is written before or after the arrays that a kernel gets from NumPy, and no entry of them is left unwritten.

    What compiled code or another library allocates for itself is out of reach. The first call lets Numba compile, which
    knows NumPy's functions by identity and cannot be handed others.
    """
    case = implementation.note(laid_out(drawn(implementation, data), data))
    implementation.call(case)
    implementation.record.trial.circumstances.append(
        "# np.empty and np.zeros gave arrays between guard bytes, filled with NaN if empty"
    )
    with _guards() as blocks:
        result = implementation.call(case)
    for block in blocks:
        require((np.delete(block, slice(GUARD, -GUARD)) == 0xFF).all(), "it wrote outside of an array it allocated")
    implementation.judge(plain(case), result)


@contextmanager
def _guards() -> Iterator[list[np.ndarray[Any, Any]]]:
    """Let what is allocated by NumPy's `empty` and `zeros` lie between guard bytes; yield all of it, guards included.

    All bits are set in the guards and in what `empty` returns: NaN, so that an entry never written shows too.
    """
    blocks: list[np.ndarray[Any, Any]] = []
    originals = {name: getattr(np, name) for name in ("empty", "zeros", "empty_like", "zeros_like")}

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
        for name, plain in originals.items():
            setattr(np, name, guarding(plain))
        try:
            yield blocks
        finally:
            for name, plain in originals.items():
                setattr(np, name, plain)


def leaves_its_arguments_alone(implementation: Implementation, data: st.DataObject) -> None:
    """Inputs are untouched, each result is fresh memory, and the same call gives the same bits, over and over."""
    calls, most = data.draw(st.sampled_from(CALLS), label="calls, and the most work of one")
    case = implementation.note(laid_out(drawn(implementation, data, most), data))
    before = {name: (_owner(array).tobytes(), array.strides) for name, array in case.arrays.items()}
    results = [implementation.call(case)]
    first = map_parts(np.copy, results[0])
    results += [implementation.call(case) for _ in range(calls - 1)]
    for name, array in case.arrays.items():
        unchanged = (_owner(array).tobytes(), array.strides) == before[name]
        require(unchanged, f"argument {name}, or memory round it, was changed")
        shares = any(np.shares_memory(array, part) for part in parts(results[0]))
        require(not shares, f"the result shares memory with argument {name}")
    require(not _any_share_memory([part for result in results for part in parts(result)]), "two results share memory")
    require(same_bits(results[0], first), "a later call wrote to an earlier result")
    if implementation.deterministic:
        require(all(same_bits(result, results[0]) for result in results), "the same call gave other bits")


def _any_share_memory(arrays: list[np.ndarray[Any, Any]]) -> bool:
    spans = sorted(np.lib.array_utils.byte_bounds(array) for array in arrays if array.size)
    if all(end <= start for (_, end), (start, _) in itertools.pairwise(spans)):
        return False
    return any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2))


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array whose memory this is a part of: with borders, where it has them."""
    return _owner(array.base) if isinstance(array.base, np.ndarray) else array


def sees_fresh_contents(implementation: Implementation, data: st.DataObject) -> None:
    """New values at an old address are read anew: nothing is cached by identity, shape, pointer, sample or checksum."""
    case = plain(drawn(implementation, data))
    implementation.call(case)
    trial = implementation.record.trial
    trial.before, trial.in_place = plain(case), True
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
    implementation.judge(implementation.note(case), implementation.call(case))


def serves_eight_threads(implementation: Implementation, data: st.DataObject) -> None:
    """Eight threads, with inputs of their own or of one shape or all with the same, each get their own answer, call by call.

    A thread lets the others run before each of the first lines of a kernel in Python, so that one is stopped between any two.
    """
    inputs = data.draw(st.sampled_from(["their own", "of one shape", "the same"]), label="inputs")
    if inputs == "their own":
        cases = [drawn(implementation, data, label=f"case of thread {i}") for i in range(THREADS)]
    else:
        cases = [drawn(implementation, data, label="case of all threads")] * THREADS
    if inputs == "of one shape":
        cases = [replace(cases[0], arrays={k: np.roll(a, i) for k, a in cases[0].arrays.items()}) for i in range(THREADS)]
    assume(all(map(implementation.claims, cases)))
    implementation.record.trial.circumstances.append(f"# {THREADS} threads were calling it at once; inputs: {inputs}")
    outcomes: list[list[Any]] = [[] for _ in range(THREADS)]
    together = threading.Barrier(THREADS)

    def serve(i: int) -> None:
        with _one_tracer:
            sys.settrace(stops := _Stops())  # of this thread alone
        together.wait()
        end = time.perf_counter() + RACE_SECONDS
        while not outcomes[i] or time.perf_counter() < end:
            stops.left = STOPS
            try:
                result = implementation.call(cases[i])
            except BaseException as error:
                outcomes[i].append(error)
                return
            if not outcomes[i] or not same_bits(result, outcomes[i][0]):
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
        implementation.note(case)
        for result in results:
            if isinstance(result, BaseException):
                raise result
            implementation.judge(case, result)


class _Stops:
    """A trace function that lets other threads run before the first lines of a call, but for those before the kernel's own."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if not self.left or frame.f_code.co_filename.startswith(BETWEEN):
            return None
        if event == "line":
            self.left -= 1
            time.sleep(1e-6)  # with 0 it would often go on itself
        return self


def leaves_the_process_as_it_was(implementation: Implementation, data: st.DataObject) -> None:
    """What a process shares changes no result and is left as it was, whether it is as usual or not, at the first call too."""
    case = drawn(implementation, data)
    for unusual in (False, True):
        implementation.record.trial.circumstances = circumstances() if unusual else []
        with watched(unusual=unusual, dispatched=not implementation.bare) as changed:
            result = implementation.call(case)
        require(not changed, f"it changed {', '.join(changed)} for the whole process")
        at_first = implementation.first.changed
        require(not at_first, f"its first call changed {', '.join(at_first)} for the whole process")
        implementation.judge(case, result)


def refuses_what_the_contract_refuses(implementation: Implementation, data: st.DataObject) -> None:
    """Bad arguments raise the contract's error, naming the operation, before any kernel runs."""
    dtype = data.draw(st.sampled_from(implementation.dtypes), label="dtype")
    kind = data.draw(st.sampled_from(kinds_for(implementation, dtype)), label="kind of array") if implementation.bare else "numpy"
    calls = properties_of(implementation.contract).refused(dtype)
    if isinstance(implementation.form, Bare):
        asked = [(_claimed(implementation, implementation.form, bad, kind), error) for bad, error in calls]
        calls = [(call, error) for call, error in asked if call is not None]
    arguments, error = data.draw(st.sampled_from(calls), label="call")
    working = np.dtype("float32" if dtype == "bfloat16" else dtype)
    presented = {
        name: present(each, kind, dtype if each.dtype == working else "", implementation.device)
        if type(each) is np.ndarray and (each.dtype == working or kind != "numpy")
        else each
        for name, each in arguments.items()
    }
    raised = None
    try:
        implementation.first.of(implementation.function, not implementation.bare)(**presented)
    except error as refusal:
        raised = str(refusal)
    except Exception as other:
        if not implementation.bare:
            raise
        raise AssertionError(f"a call with {arguments} raised {type(other).__name__}, expected {error.__name__}") from other
    if raised is None:
        raise AssertionError(f"a call with {arguments} was not refused; expected {error.__name__}")
    names_it = implementation.bare or raised.startswith(f"{implementation.operation}:")
    require(names_it, f"the error does not name the operation: {raised}")


def _claimed(implementation: Implementation, form: Bare, arguments: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """Return a call that must be refused as a function may be asked it, or None if it is about what the function does not claim.

    That is an argument that it goes without or whose value is not among those it claims, and arrays of a kind, or of another
    floating dtype, than it claims.
    """
    floating = {"float32" if dtype == "bfloat16" else dtype for dtype in implementation.dtypes}
    for name, each in arguments.items():
        limit = implementation.limits.get(name)
        if name in form.without or (isinstance(limit, tuple) and not isinstance(each, np.ndarray) and each not in limit):
            return None
        if isinstance(each, np.ndarray) and each.dtype.kind == "f" and each.dtype.name not in floating:
            return None
        if kind != "numpy" and isinstance(each, np.ndarray) and (type(each) is not np.ndarray or each.dtype.kind not in "biufc"):
            return None
    chosen = {
        key: limit[0]
        for key, limit in implementation.limits.items()
        if isinstance(limit, tuple) and key not in form.without and key in implementation.contract.signature.parameters
    }
    return chosen | arguments


GENERAL: tuple[Property, ...] = (
    agrees_with_reference,
    leaves_the_process_as_it_was,  # soon, since what a kernel sets may show in the others as something else
    agrees_at_every_length,
    agrees_at_ordinary_sizes,
    stays_within_what_it_allocates,
    leaves_its_arguments_alone,
    sees_fresh_contents,
    serves_eight_threads,
    refuses_what_the_contract_refuses,
)

# The share of the asked-for examples that a property gets: each of these does the work of many.
SHARES: dict[Property, float] = {
    serves_eight_threads: 0.1,
    leaves_the_process_as_it_was: 0.1,
    leaves_its_arguments_alone: 0.5,
    stays_within_what_it_allocates: 0.5,
}
