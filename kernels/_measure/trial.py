"""An example of an operation, ready to be run, checked and timed with any variant."""

from __future__ import annotations

import functools
import gc
import math
import random
import statistics
from collections.abc import Callable
from time import perf_counter  # taken before any kernel's file is imported, which may replace time.perf_counter
from types import ModuleType
from typing import Any

import numpy as np

from kernels._arrays import dtype_name
from kernels._definition.examples import Example
from kernels._definition.numerics import Agreement, compare, precision_of
from kernels._definition.results import map_parts, parts

GOLDEN = (5**0.5 - 1) / 2  # its multiples, modulo 1, stay apart from each other
CHECKED_ROWS = 256  # a large result is held to the reference on this many rows, drawn at random
TIMED_ROWS = 16  # and the result of a timed run on this many, so that the references do not take longer than the runs
SAMPLE_SECONDS = 2e-3  # what is faster is repeated until one sample takes this long
SAMPLES = (3, 15)  # the fewest and the most
CHANCE = random.SystemRandom()  # no kernel can foresee it, and it is not the generator that a kernel may seed


def host_clock(run: Callable[[], None], keep: Callable[[], None]) -> float:
    """Do a run, have its results kept, and return the seconds that the run took."""
    started = perf_counter()
    run()
    seconds = perf_counter() - started
    keep()
    return seconds


class Trial:
    """An example of an operation, ready to be run, checked and timed with any variant.

    This one runs on the example's own arrays and uses the clock of the host. `kernels._measure.device` has one for a GPU.

    Attributes
    ----------
    args : tuple
        The positional arguments that functions are given.
    rows : int
        The rows of a result that are computed apart; 1 where it is one whole.
    checked : ndarray of int
        The rows of a result that `check` holds to the reference.
    timed_rows : int
        On how many rows the result of a timed run is held to the reference.
    sample_seconds : float
        A run that is shorter is repeated until one sample takes this long.
    before_run : callable
        Called before each timed run, outside of what is timed.
    estimates : int
        How often an estimate above the limit is made before it is believed.
    """

    def __init__(self, contract: ModuleType, example: Example, dtype: str, rows: int = CHECKED_ROWS) -> None:
        self.contract = contract
        self.example = example
        self.dtype = dtype
        self.unit: str = contract.RATE
        self.args = example.args
        self.rows = contract.row_count(*example.args, **example.kwargs)
        rng = np.random.default_rng(0)
        self.checked = np.arange(self.rows) if self.rows <= rows else np.sort(rng.choice(self.rows, rows, replace=False))
        self.timed_rows = TIMED_ROWS
        self.sample_seconds = SAMPLE_SECONDS
        self.estimates = 2
        self.before_run: Callable[[], None] = lambda: None
        self.clock: Callable[[Callable[[], None], Callable[[], None]], float] = host_clock
        precision = precision_of(dtype)
        self._change = max(2.0**-10, 16 * precision.unit if precision else 0.0)
        self._place = CHANCE.random()
        self._expected: dict[str, tuple[Any, Any]] = {}
        self._units: dict[int, float] = {}  # of work, on so many rows
        self._drawn = [(memory, memory.copy()) for memory in _memory(example)]

    @functools.cached_property
    def work(self) -> float:
        """Units of work of one run."""
        return float(self.contract.work(*self.args, **self.example.kwargs)[self.unit]) * self.example.steps

    # What depends on where the arrays are

    def refill(self, factor: float = 1.0) -> None:
        """Write the example's contents, times a factor, to the addresses where its arrays are.

        With a factor near 1 every entry is new, and everything that a kernel's time hangs on stays: shapes, clusters, ties.
        """
        for memory, drawn in self._drawn:
            np.multiply(drawn, factor, out=memory)

    def materialise(self, result: Any) -> Any:
        """Return a step's result as a plain array; this is part of what is timed."""
        return np.asarray(result)

    def copy(self, result: Any) -> Any:
        """Return what a result holds now: what a thread writes later does not count."""
        return map_parts(np.array, result)

    def on_host(self, value: Any) -> Any:
        """Return an argument or a copy in NumPy."""
        return value

    # Checks

    def draw_factor(self) -> float:
        """Draw what to multiply the contents by: near 1, but far enough from it that the dtype tells every entry apart."""
        self._place = (self._place + GOLDEN) % 1  # of two draws by chance alone, some would be the same number
        return 1 - self._change * (1 + self._place) / 2

    def run(self, function: Callable[..., Any], each: Callable[[Any, Any], None] = lambda before, after: None) -> None:
        """Apply the operation as often as the example says, each time to the last result; `each` sees every step."""
        current, *rest = self.args
        for _ in range(self.example.steps):
            result = function(current, *rest, **self.example.kwargs)
            each(current, result)
            current = result

    def check(self, function: Callable[..., Any], precision: str) -> Agreement:
        """Hold every step of a run to the reference, on its own input, within the bound of a class of error.

        Raises
        ------
        TypeError, ValueError
            If a result is no array like the one it was made from, or has another dtype or shape than it must have.
        """
        agreements: list[Agreement] = []

        def each(before: Any, after: Any) -> None:
            self._require_like(before, after)
            agreements.append(self._agreement(self.copy(after), before, self.checked, precision))

        self.refill()
        self.run(function, each)
        return max(agreements, key=lambda agreement: agreement.share)

    def judge(self, factor: float, results: list[Any], copies: list[Any], precision: str) -> Agreement:
        """Hold a drawn step of a timed run to the reference, on drawn rows; raises as `check` does.

        The run had the contents times a factor. Its steps returned the results, which held the copies when it had just ended.
        """
        self.refill(factor)
        step = CHANCE.randrange(len(results))
        before = copies[step - 1] if step else self.args[0]
        self._require_like(before, results[step])
        total = self.contract.row_count(before, *self.args[1:], **self.example.kwargs)
        rows = np.array(sorted(CHANCE.sample(range(total), min(self.timed_rows, total))), dtype=np.intp)
        return self._agreement(copies[step], before, rows, precision)

    def _reference(self, rows: np.ndarray[Any, Any], before: Any, precision: str) -> tuple[Any, Any]:
        """Return what these rows of the result must be, and how far off each entry may be."""
        args, kwargs = self.contract.rows(rows, before, *self.args[1:], **self.example.kwargs)
        args = tuple(map(self.on_host, args))
        expected = self.contract.reference(*args, **kwargs, dtype=self.dtype)
        return expected, self.contract.bound(*args, **kwargs, dtype=self.dtype, precision=precision)

    def _agreement(self, copy: Any, before: Any, rows: np.ndarray[Any, Any], precision: str) -> Agreement:
        """Hold these rows of a result to the definition."""
        call = (before, *self.args[1:])
        for shape, part in zip(self.contract.shapes(*call, **self.example.kwargs), parts(copy), strict=True):
            if tuple(part.shape) != shape:
                raise ValueError(f"the result has shape {tuple(part.shape)}, expected {shape}")
        chosen = map_parts(self.on_host, self.contract.rows_of(copy, rows, *call, **self.example.kwargs))
        if not self.contract.by_entries:
            args, kwargs = self.contract.rows(rows, *call, **self.example.kwargs)
            args = tuple(map(self.on_host, args))
            agreement: Agreement = self.contract.verdict(chosen, *args, **kwargs, dtype=self.dtype, precision=precision).agreement
            return agreement
        if before is not self.args[0] or rows is not self.checked:
            return compare(chosen, *self._reference(rows, before, precision))
        if precision not in self._expected:  # every variant's first step has the same input, and the same reference
            self._expected[precision] = self._reference(rows, before, precision)
        return compare(chosen, *self._expected[precision])

    def _require_like(self, before: Any, after: Any) -> None:
        """Refuse what is no array of the kind and dtype that the operation was given."""
        if not self.contract.signature.uniform:
            return  # its parts were looked at when they were converted back
        scalar = isinstance(before, np.ndarray) and isinstance(after, np.generic)  # without dimensions
        if type(after) is not type(before) and not scalar:
            raise TypeError(f"the result has type {type(after).__name__}, expected {type(before).__name__}")
        if dtype_name(after.dtype) != self.dtype:
            raise TypeError(f"the result has dtype {dtype_name(after.dtype)}, expected {self.dtype}")

    # Estimates

    def estimate(self, function: Callable[..., Any], limit: float) -> float:
        """Estimate the seconds of one run from runs on a few rows.

        An estimate above the limit is made again: the first may have compiled, read files, or been held up.
        """
        self.refill()
        seconds = math.inf
        for _ in range(self.estimates):
            if seconds > limit:
                seconds = min(seconds, self._estimate(function, limit))
        return seconds

    def _estimate(self, function: Callable[..., Any], limit: float) -> float:
        """Estimate the seconds of one run once.

        More rows are taken until they take a good part of the limit, and what they add is no small part of that: the rest may
        be the fixed cost of sorting all data. Returns early with an upper estimate once that is within the limit.
        """
        total, steps = self.rows, self.example.steps
        self._time_rows(function, 1)  # compiles
        rows, (seconds, units) = 1, self._time_rows(function, 1)
        while True:
            upper = seconds * self.work / max(units, 1)
            if upper <= limit or rows >= total:
                return upper
            fewer = seconds, units
            rows = min(total, rows * (8 if seconds < limit / 32 else 2))
            seconds, units = self._time_rows(function, rows)
            if seconds > max(limit / 4, 1.5 * fewer[0]):
                seconds = min(seconds, self._time_rows(function, rows)[0])  # one run alone may have been held up
                added = seconds - fewer[0]
                if added > fewer[0] / 2:
                    return steps * (seconds + added / (units - fewer[1]) * (self.work / steps - units))

    def _time_rows(self, function: Callable[..., Any], rows: int) -> tuple[float, float]:
        """Return the seconds of a run on the first rows alone, and its units of work."""
        args, kwargs = self.contract.rows(np.arange(rows), *self.args, **self.example.kwargs)
        started = perf_counter()
        map_parts(self.materialise, function(*args, **kwargs))
        seconds = perf_counter() - started
        if rows not in self._units:
            self._units[rows] = self.contract.work(*args, **kwargs)[self.unit]
        return seconds, self._units[rows]


class Runs:
    """Timed runs of one function on a trial: call `fill`, then time a call of this object, then call `keep`, again and again.

    Each run reads contents of its own at the same addresses, so that an earlier result cannot stand in for a later one. A plain
    array is made of each step's result within the run. One run is kept, drawn by chance only after it has ended, so that a kernel
    can neither know which run counts nor behave differently in the runs that are timed.

    Attributes
    ----------
    last : bool
        Whether the run that is kept is the last one instead.
    """

    def __init__(self, trial: Trial, function: Callable[..., Any], last: bool = False) -> None:
        self._trial = trial
        self._function = function
        self._first, *self._rest = trial.args
        self._kwargs = trial.example.kwargs
        self._steps = range(trial.example.steps)
        several = trial.contract.signature.result_type is not None
        self._materialise = functools.partial(map_parts, trial.materialise) if several else trial.materialise
        self.last = last
        self._factor = 1.0
        self._results: list[Any] = []
        self._kept: tuple[float, list[Any], list[Any]] | None = None
        self._count = 0

    def fill(self) -> None:
        """Put new contents into the arrays."""
        self._results = []
        self._factor = self._trial.draw_factor()
        self._trial.refill(self._factor)
        self._trial.before_run()

    def __call__(self) -> None:
        """Do the run, and nothing else."""
        function, materialise, current = self._function, self._materialise, self._first
        for _ in self._steps:
            result = function(current, *self._rest, **self._kwargs)
            current = materialise(result)
            self._results.append(result)

    def keep(self) -> None:
        """Perhaps remember the run that has just ended: of all since the last judgement each with the same chance."""
        self._count += 1
        if self.last or not CHANCE.randrange(self._count):
            self._kept = self._factor, self._results, [self._trial.copy(result) for result in self._results]

    def judge(self, precision: str) -> Agreement:
        """Hold the remembered run to the reference; raises as `Trial.check` does."""
        if self._kept is None:
            raise RuntimeError("no run has ended yet")
        self._count = 0
        return self._trial.judge(*self._kept, precision)

    def seconds(self, number: int) -> float:
        """Return the median seconds of a number of runs, each timed on its own: a busy machine holds some up a thousandfold."""
        taken = []
        collects = gc.isenabled()
        gc.disable()
        try:
            for _ in range(number):
                self.fill()
                taken.append(self._trial.clock(self, self.keep))
        finally:
            if collects:
                gc.enable()
        return statistics.median(taken)


def _memory(example: Example) -> list[np.ndarray[Any, Any]]:
    """Return the arrays that own an example's floating-point memory, each once: two arguments may be views of one."""
    owners = [_owner(value) for value in (*example.args, *example.kwargs.values()) if isinstance(value, np.ndarray)]
    return list({id(owner): owner for owner in owners if owner.dtype.kind in "fc"}.values())


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return _owner(array.base) if isinstance(array.base, np.ndarray) else array
