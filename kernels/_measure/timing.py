"""What becomes of each variant on an example: it qualifies if its result is right, and then it is timed."""

from __future__ import annotations

import functools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import registry
from kernels._definition.numerics import Agreement
from kernels._explanation import duration
from kernels._measure.trial import SAMPLES, Runs, Trial
from registry import Variant, Zoo

# OpenMP teams and the BLAS go on spinning after their work, at the cost of whoever comes next: OpenBLAS for 2**28 cycles. They
PAUSE_SECONDS = 0.15  # are waited for, no longer than this,
NAP_SECONDS = 1e-3  # in naps
SPREAD_SECONDS = 0.2  # threads that wake up may share a core for so long,
SHARED, SPREAD = 0.95, 1.1  # as the processor's seconds tell: of the caller's own share, and for each that passes
DEALS = 100  # of the samples of one variant into two halves
ERRORS = (Exception, SystemExit)  # what a kernel may raise; it then counts as wrong


@dataclass
class Measurement:
    """One variant on one example."""

    variant: Variant
    status: str = "timed"  # or "wrong", "skipped" or "unavailable"
    reason: str = ""  # why it has no time
    agreement: Agreement | None = None  # how its result compares with the reference
    samples: list[float] = field(default_factory=list)  # seconds a run
    units: float = 0.0  # the work of a run: floating-point operations, or pairs
    options: Mapping[str, Any] = field(default_factory=dict)  # the variant's own keyword arguments that are not the defaults
    estimate: float = 0.0  # the seconds of a run, as estimated before the check; 0 if it did not come to that

    @property
    def label(self) -> str:
        """The variant's name, and the options if there are any."""
        return ", ".join([self.variant.name, *(f"{key}={value}" for key, value in self.options.items())])

    @property
    def median(self) -> float:
        """Median seconds of a run."""
        return statistics.median(self.samples)

    @property
    def least(self) -> float:
        """The least of the samples: what else the machine does only ever adds to a time."""
        return min(self.samples)

    @property
    def spread(self) -> float | None:
        """How far the middle half of the samples lies apart, as a share of the median; None of fewer than two samples."""
        if len(self.samples) < 2:
            return None
        lower, _, upper = statistics.quantiles(self.samples, n=4, method="inclusive")
        return (upper - lower) / self.median

    @property
    def noise(self) -> float | None:
        """An A/A run: how far apart two medians of this same variant lie, as a share of the lesser.

        The samples are dealt into two halves by chance, again and again, as if they were those of two variants; in 95 of 100
        deals the medians of the halves lie no further apart than this. None of fewer than four samples.
        """
        if len(self.samples) < 4:
            return None
        deal, ratios = random.Random(0), []
        for _ in range(DEALS):
            dealt = deal.sample(self.samples, len(self.samples))
            halves = statistics.median(dealt[::2]), statistics.median(dealt[1::2])
            ratios.append(max(halves) / min(halves) - 1)
        return statistics.quantiles(ratios, n=20, method="inclusive")[-1]

    @property
    def rate(self) -> float:
        """Units of work a second."""
        return self.units / self.median

    def reject(self, reason: str) -> None:
        """Count the variant as wrong, and forget its times."""
        self.status, self.reason, self.samples = "wrong", reason, []

    def judge(self, agreement: Agreement) -> None:
        """Remember the worst agreement; one that is outside its bound counts as wrong."""
        if self.agreement is None or not agreement.share <= self.agreement.share:
            self.agreement = agreement
        if not agreement.passes:
            during = "in a timed run, " if self.samples else ""
            self.reject(f"{during}off by {agreement.share:.3g} times its bound at {agreement.worst} of the checked rows")


def qualify(
    trial: Trial,
    variant: Variant,
    limit: float,
    *,
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
    options: Mapping[str, Any] | None = None,
    zoo: Zoo | None = None,
) -> tuple[Measurement, Callable[..., Any] | None]:
    """Check a variant on the example; return its measurement, and its function if it may be timed.

    A variant does not qualify if it cannot run here, if a run would take more seconds than the limit, or if its result is wrong.

    Parameters
    ----------
    trial, variant, limit
    wrap : callable
        Wraps the function for the checks alone: nothing stands between the clock and a function that is timed.
    options : mapping, optional
        Keyword arguments of the variant's own, such as ``batch_size``.
    zoo : Zoo, optional
        The catalogue that the variant is in.

    Raises
    ------
    TypeError, ValueError
        If the operation refuses the example whatever the variant.
    """
    operation, zoo, options = trial.contract.operation, zoo or registry.zoo(), options or {}
    trial.refill()
    measurement, function = Measurement(variant, units=trial.work, options=options), None
    rejection = zoo.explain(operation, *trial.args, selector=variant.name, **trial.example.kwargs).considered[0][1]
    try:
        if rejection:
            measurement.status, measurement.reason = "skipped" if variant.available else "unavailable", rejection
        else:
            function = zoo.get(operation, variant.name)
            if options:
                function = functools.partial(function, **options)
            _judge(trial, measurement, wrap(function), limit)
    except registry.VariantUnavailable:  # its file failed to import
        measurement.status, measurement.reason = "unavailable", str(variant.reason)
    except ERRORS as error:
        measurement.reject(describe(error, variant.file))
    return measurement, function if measurement.status == "timed" else None


def _judge(trial: Trial, measurement: Measurement, function: Callable[..., Any], limit: float) -> None:
    """Check a function on the example, unless a run would take more seconds than the limit."""
    estimate = measurement.estimate = trial.estimate(function, limit)
    if estimate <= limit:
        measurement.judge(trial.check(function, measurement.variant.precision))
        return
    measurement.status = "skipped"
    measurement.reason = f"would take about {duration(estimate)} a run (the limit is {duration(limit)})"


def describe(error: BaseException, file: str) -> str:
    """Write an error in one line, with the last line of a file that it came through, or nothing if it came through none."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{text} ({place})" if (place := place_of(error, file)) else text


def place_of(error: BaseException | None, file: str) -> str | None:
    """Return the last line of a file that an error, or what caused it, came through, as ``file:line``, or None."""
    wanted = os.path.realpath(file)
    while error:
        walk = traceback.walk_tb(error.__traceback__)
        if lines := [line for frame, line in walk if os.path.realpath(frame.f_code.co_filename) == wanted]:
            return f"{file}:{lines[-1]}"
        error = error.__cause__
    return None


class Sampler:
    """Takes the samples of one variant that qualified, and holds a result of each sample to the reference."""

    def __init__(self, trial: Trial, measurement: Measurement, function: Callable[..., Any]) -> None:
        self.trial = trial
        self.measurement = measurement
        self.function = function
        self.runs, self.samples = 0, SAMPLES[1]

    def take(self, index: int) -> bool:
        """Take the sample of this index, from 0; return whether there was one to take."""
        if self.measurement.status != "timed" or index >= self.samples:
            return False
        try:
            if not self.runs:
                self.runs, self.samples = repetitions(self.trial, self.function)
            self._sample(last=index == self.samples - 1)
        except ERRORS as error:
            self.measurement.reject(f"in a timed run, {describe(error, self.measurement.variant.file)}")
        return True

    def _sample(self, last: bool) -> None:
        settle()
        if self.samples == SAMPLES[1]:  # a short run, which the waking of its own threads would lengthen
            Runs(self.trial, self.function).seconds(self.runs)
        runs = Runs(self.trial, self.function, last)
        self.measurement.samples.append(runs.seconds(self.runs))
        self.measurement.judge(runs.judge(self.measurement.variant.precision))


def settle() -> None:
    """Wait until this process's other threads rest, but not for ever."""
    for _ in range(round(PAUSE_SECONDS / NAP_SECONDS)):
        before = time.process_time()
        time.sleep(NAP_SECONDS)
        if time.process_time() - before < NAP_SECONDS / 4:
            return


def spread(trial: Trial, function: Callable[..., Any]) -> None:
    """Run a function until the threads that it wakes up have a core each, but not for ever."""
    end, together = time.perf_counter() + SPREAD_SECONDS, True
    while together and time.perf_counter() < end:
        passed, process, own = time.perf_counter(), time.process_time(), time.thread_time()
        Runs(trial, function).seconds(3)
        passed, process, own = time.perf_counter() - passed, time.process_time() - process, time.thread_time() - own
        together = own < SHARED * process and process < SPREAD * passed


def interleave(trial: Trial, checked: Iterable[tuple[Measurement, Callable[..., Any] | None]]) -> None:
    """Take the first sample of all that qualified, then the second of all, and so on; the run that was checked warmed them up."""
    samplers = [Sampler(trial, measurement, function) for measurement, function in checked if function]
    for index in range(SAMPLES[1]):
        for each in samplers:
            each.take(index)


def repetitions(trial: Trial, function: Callable[..., Any]) -> tuple[int, int]:
    """Return how many runs make a sample long enough to time, and how many samples to take."""
    once = Runs(trial, function).seconds(1)
    if once < trial.sample_seconds:
        once = min(once, *(Runs(trial, function).seconds(1) for _ in range(2)))  # one run alone may have been held up
    once = max(once, 1e-7)
    runs = max(1, round(trial.sample_seconds / once))
    return runs, round(min(max(1 / (once * runs), SAMPLES[0]), SAMPLES[1]))


def first_calls(variant: Variant) -> tuple[float, float]:
    """Return the seconds of a variant's first call on the tiny example in a new process, and in the next one after that.

    Numba's cache is empty for the first and holds what it compiled for the second.

    Raises
    ------
    RuntimeError
        If the call fails, or ends its process.
    """
    code = (
        "import sys, time, registry\n"
        "operation, name = sys.argv[1:]\n"
        "example = registry.contract(operation).example('tiny')\n"
        "start = time.perf_counter()\n"
        "registry.get(operation, name)(*example.args, **example.kwargs)\n"
        "print('', time.perf_counter() - start, sep='\\n')\n"
    )
    path = os.pathsep.join(filter(None, [str(Path(registry.__file__).parent), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-c", code, variant.operation, variant.name]
        return _first_call(command, environment, variant), _first_call(command, environment, variant)


def _first_call(command: list[str], environment: dict[str, str], variant: Variant) -> float:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    if done.returncode or not said:
        cause = (done.stderr.splitlines() or ["it says nothing"])[-1]
        raise RuntimeError(
            f"{variant.operation}: the first call of {variant.name} ends its process with code {done.returncode}: {cause} "
            f"({variant.source})"
        )
    return float(said[-1])  # a kernel may print before
