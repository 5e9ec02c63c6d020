"""Check, then time: no figure exists for a result that did not pass.

Variants are timed in turns within one process, and the median is quoted: on a shared machine ratios of medians from
one run mean something, single times do not.
"""

from __future__ import annotations

import functools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import registry
from kernels._examples import Example
from kernels._numerics import Agreement, compare
from registry import Variant

CHECKED_ROWS = 256  # a large result is held to the reference on this many rows, drawn at random
SAMPLE_SECONDS = 2e-3  # what is faster is repeated until one sample takes this long
ROUNDS = (3, 15)
PAUSE_SECONDS = 0.05  # OpenMP teams and the BLAS go on spinning after their work, at the cost of whoever comes next


@dataclass
class Measurement:
    """One variant on one example.

    Attributes
    ----------
    variant : Variant
    status : {"timed", "wrong", "skipped", "unavailable"}
    reason : str
        Why it has no time.
    agreement : Agreement or None
        How its result compares with the reference.
    samples : list of float
        Seconds per run.
    rate : float
        Units of work a second: floating-point operations, or pairs.
    """

    variant: Variant
    status: str = "timed"
    reason: str = ""
    agreement: Agreement | None = None
    samples: list[float] = field(default_factory=list)
    units: float = 0.0

    @property
    def median(self) -> float:
        """Median seconds of a run."""
        return statistics.median(self.samples)

    @property
    def rate(self) -> float:
        """Units of work a second."""
        return self.units / self.median


class Trial:
    """An example of an operation, ready to be run, checked and timed with any variant."""

    def __init__(self, contract: ModuleType, example: Example, dtype: str, rows: int = CHECKED_ROWS) -> None:
        self.contract = contract
        self.example = example
        self.dtype = dtype
        self.unit: str = contract.RATE
        total = len(example.args[0])
        rng = np.random.default_rng(0)
        self.checked = np.arange(total) if total <= rows else np.sort(rng.choice(total, rows, replace=False))
        self._expected: dict[str, tuple[Any, Any]] = {}

    @property
    def work(self) -> float:
        """Units of work of one run."""
        return float(self.contract.work(*self.example.args, **self.example.kwargs)[self.unit]) * self.example.steps

    def run(self, function: Callable[..., Any], each: Callable[[Any, Any], None] = lambda before, after: None) -> None:
        """Apply the operation as often as the example says, each time to the last result; `each` sees every step."""
        current, *rest = self.example.args
        for _ in range(self.example.steps):
            result = function(current, *rest, **self.example.kwargs)
            each(current, result)
            current = result

    def check(self, function: Callable[..., Any], precision: str) -> Agreement:
        """Hold every step of a run to the reference, on its own input, within the bound of a class of error."""
        agreements: list[Agreement] = []
        self.run(function, lambda before, after: agreements.append(self._compare(before, after, precision)))
        return max(agreements, key=lambda agreement: agreement.share)

    def _compare(self, before: Any, after: Any, precision: str) -> Agreement:
        first = before is self.example.args[0]  # every variant's first step has the same input, and the same reference
        if not (first and precision in self._expected):
            args, kwargs = self.contract.rows(self.checked, before, *self.example.args[1:], **self.example.kwargs)
            expected = self.contract.reference(*args, **kwargs, dtype=self.dtype)
            bound = self.contract.bound(*args, **kwargs, dtype=self.dtype, precision=precision)
            if first:
                self._expected[precision] = expected, bound
        else:
            expected, bound = self._expected[precision]
        if np.shape(after) != (len(before), *expected.shape[1:]):
            raise ValueError(f"the result has shape {np.shape(after)}, expected {(len(before), *expected.shape[1:])}")
        return compare(np.asarray(after)[self.checked], expected, bound)

    def estimate(self, function: Callable[..., Any], enough: float) -> float:
        """Estimate the seconds of one run from runs on a few rows.

        More rows are taken until they take a good part of what is `enough`, and what they add is no small part of that: the
        rest may be the fixed cost of sorting all data. Returns early with an upper estimate once that is at most `enough`.
        """
        total, steps = len(self.example.args[0]), self.example.steps
        self._time_rows(function, 1)  # compiles
        rows, (seconds, units) = 1, self._time_rows(function, 1)
        while True:
            upper = seconds * self.work / max(units, 1)
            if upper <= enough or rows >= total:
                return upper
            fewer = seconds, units
            rows = min(total, rows * (8 if seconds < enough / 32 else 2))
            seconds, units = self._time_rows(function, rows)
            if seconds > max(enough / 4, 1.5 * fewer[0]):
                seconds = min(seconds, self._time_rows(function, rows)[0])  # one run alone may have been held up
                added = seconds - fewer[0]
                if added > fewer[0] / 2:
                    return steps * (seconds + added / (units - fewer[1]) * (self.work / steps - units))

    def _time_rows(self, function: Callable[..., Any], rows: int) -> tuple[float, float]:
        """Return the seconds of a run on the first rows alone, and its units of work."""
        args, kwargs = self.contract.rows(np.arange(rows), *self.example.args, **self.example.kwargs)
        started = time.perf_counter()
        function(*args, **kwargs)
        return time.perf_counter() - started, self.contract.work(*args, **kwargs)[self.unit]


def admit(trial: Trial, variants: Iterable[Variant], enough: float) -> Iterator[tuple[Measurement, Callable[..., Any] | None]]:
    """Check each variant on the example; one that cannot run, would take too long or is wrong says so and comes without function.

    Raises
    ------
    TypeError, ValueError
        If the operation refuses the example whatever the variant.
    """
    operation = trial.contract.operation
    args, kwargs = trial.example.args, trial.example.kwargs
    for variant in variants:
        measurement, function = Measurement(variant, units=trial.work), None
        refusal = registry.explain(operation, *args, selector=variant.name, **kwargs).considered[0][1]
        try:
            if refusal:
                measurement.status, measurement.reason = "skipped" if variant.available else "unavailable", refusal
            else:
                function = registry.get(operation, variant.name)
                _judge(trial, measurement, function, enough)
        except registry.VariantUnavailable:  # its file failed to import
            measurement.status, measurement.reason = "unavailable", str(variant.reason)
        except (Exception, SystemExit) as error:
            measurement.status, measurement.reason = "wrong", f"{type(error).__name__}: {error}"
        yield measurement, function if measurement.status == "timed" else None


def _judge(trial: Trial, measurement: Measurement, function: Callable[..., Any], enough: float) -> None:
    """Check a function on the example, unless a run would take more seconds than are enough."""
    estimate = trial.estimate(function, enough)
    if estimate > enough:
        measurement.status = "skipped"
        measurement.reason = f"would take about {duration(estimate)} a run (the limit is {duration(enough)})"
        return
    measurement.agreement = trial.check(function, measurement.variant.precision)
    if not measurement.agreement.passes:
        share, worst = measurement.agreement.share, measurement.agreement.worst
        measurement.status = "wrong"
        measurement.reason = f"off by {share:.3g} times its bound at {worst} of the checked rows"


def time_in_turns(trial: Trial, admitted: list[tuple[Measurement, Callable[..., Any]]]) -> Iterator[Measurement]:
    """Sample the runs of all that passed in turns, yielding after each sample; the checked run was the warm-up."""
    turns = []
    for measurement, function in admitted:
        turns.append((measurement, timeit.Timer(functools.partial(trial.run, function)), *repetitions(trial, function)))
    for turn in range(ROUNDS[1]):
        for measurement, timer, number, rounds in turns:
            if turn < rounds:
                time.sleep(PAUSE_SECONDS)
                if rounds == ROUNDS[1]:  # a short run, which the waking of its own threads would lengthen
                    timer.timeit(number)
                measurement.samples.append(timer.timeit(number) / number)
                yield measurement


def repetitions(trial: Trial, function: Callable[..., Any]) -> tuple[int, int]:
    """Return how many runs make a sample long enough to time, and how many samples to take."""
    once = max(timeit.Timer(functools.partial(trial.run, function)).timeit(1), 1e-7)
    number = max(1, round(SAMPLE_SECONDS / once))
    return number, round(min(max(1 / (once * number), ROUNDS[0]), ROUNDS[1]))


def first_calls(variant: Variant) -> tuple[float, float]:
    """Return the seconds of a variant's first call on the tiny example in a new process, and in the next one after that.

    Numba's cache is empty for the first and holds what it compiled for the second.
    """
    code = (
        "import sys, time, registry\n"
        "operation, name = sys.argv[1:]\n"
        "example = registry.contract(operation).example('tiny')\n"
        "start = time.perf_counter()\n"
        "registry.get(operation, name)(*example.args, **example.kwargs)\n"
        "print(time.perf_counter() - start)\n"
    )
    path = os.pathsep.join(filter(None, [str(Path(registry.__file__).parent), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-c", code, variant.operation, variant.name]
        once, again = (subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2))
    return float(once.stdout), float(again.stdout)


def duration(seconds: float) -> str:
    """Write a time with three digits and a unit a person would use."""
    for size, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def rate(units: float, unit: str) -> str:
    """Write a rate in the unit that the field uses: GFLOP/s, or pairs a second."""
    if unit == "flops":
        return f"{units / 1e9:.3g} GFLOP/s"
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if units >= size:
            return f"{units / size:.3g} {prefix}{unit}/s"
    return f"{units:.3g} {unit}/s"


def environment() -> dict[str, Any]:
    """Return the machine, the versions and the commit that a figure belongs to."""
    packages: dict[str, str | None] = {}
    for name in ("numpy", "torch", "numba"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": packages,
        "kernel-zoo": registry.__version__,
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def _commit() -> str | None:
    """The commit of the checkout this file is in, marked if files differ from it; None for an installed copy."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
