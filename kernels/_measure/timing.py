"""What becomes of each variant on an example: it is admitted if its result is right, and then timed, in turns with the others."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import registry
from kernels._definition.numerics import Agreement
from kernels._measure.environment import duration
from kernels._measure.trial import ROUNDS, SAMPLE_SECONDS, Runs, Trial
from registry import Variant

PAUSE_SECONDS = 0.05  # OpenMP teams and the BLAS go on spinning after their work, at the cost of whoever comes next
REFUSALS = (Exception, SystemExit)  # what a kernel may raise; it then counts as wrong


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
    def spread(self) -> float | None:
        """How far the middle half of the samples lies apart, as a share of the median; None of fewer than two samples."""
        if len(self.samples) < 2:
            return None
        lower, _, upper = statistics.quantiles(self.samples, n=4, method="inclusive")
        return (upper - lower) / self.median

    @property
    def rate(self) -> float:
        """Units of work a second."""
        return self.units / self.median

    def refuse(self, reason: str) -> None:
        """Count the variant as wrong, and forget its times."""
        self.status, self.reason, self.samples = "wrong", reason, []

    def judge(self, agreement: Agreement) -> None:
        """Remember the worst agreement; one that is outside its bound counts as wrong."""
        if self.agreement is None or not agreement.share <= self.agreement.share:
            self.agreement = agreement
        if not agreement.passes:
            during = "in a timed run, " if self.samples else ""
            self.refuse(f"{during}off by {agreement.share:.3g} times its bound at {agreement.worst} of the checked rows")


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def admit(
    trial: Trial,
    variants: Iterable[Variant],
    enough: float,
    watch: Callable[[Callable[..., Any]], Callable[..., Any]] = _as_it_is,
) -> Iterator[tuple[Measurement, Callable[..., Any] | None]]:
    """Check each variant on the example; one that cannot run, would take too long or is wrong says so and comes without function.

    `watch` wraps the function for the checks alone: nothing stands between the clock and a function that is timed.

    Raises
    ------
    TypeError, ValueError
        If the operation refuses the example whatever the variant.
    """
    operation = trial.contract.operation
    trial.refill()
    args, kwargs = trial.example.args, trial.example.kwargs
    for variant in variants:
        measurement, function = Measurement(variant, units=trial.work), None
        refusal = registry.explain(operation, *args, selector=variant.name, **kwargs).considered[0][1]
        try:
            if refusal:
                measurement.status, measurement.reason = "skipped" if variant.available else "unavailable", refusal
            else:
                function = registry.get(operation, variant.name)
                _judge(trial, measurement, watch(function), enough)
        except registry.VariantUnavailable:  # its file failed to import
            measurement.status, measurement.reason = "unavailable", str(variant.reason)
        except REFUSALS as error:
            measurement.refuse(describe(error, variant.file))
        yield measurement, function if measurement.status == "timed" else None


def _judge(trial: Trial, measurement: Measurement, function: Callable[..., Any], enough: float) -> None:
    """Check a function on the example, unless a run would take more seconds than are enough."""
    estimate = trial.estimate(function, enough)
    if estimate > enough:
        measurement.status = "skipped"
        measurement.reason = f"would take about {duration(estimate)} a run (the limit is {duration(enough)})"
        return
    measurement.judge(trial.check(function, measurement.variant.precision))


def describe(error: BaseException, file: str) -> str:
    """Write an error in one line, with the last line of a file that it came through, or nothing if it came through none."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{text} ({place})" if (place := place_of(error, file)) else text


def place_of(error: BaseException | None, file: str) -> str | None:
    """Return the last line of a file that an error, or what caused it, came through, as ``file:line``, or None."""
    place = None
    while error and not place:
        traceback = error.__traceback__
        while traceback:
            if os.path.realpath(traceback.tb_frame.f_code.co_filename) == os.path.realpath(file):
                place = f"{file}:{traceback.tb_lineno}"
            traceback = traceback.tb_next
        error = error.__cause__
    return place


class Turns:
    """The turns of one variant that was admitted: each takes a sample, and holds a result of it to the reference."""

    def __init__(self, trial: Trial, measurement: Measurement, function: Callable[..., Any]) -> None:
        self.trial = trial
        self.measurement = measurement
        self.function = function
        self.number, self.rounds = 0, ROUNDS[1]

    def take(self, turn: int) -> bool:
        """Take the sample of a turn; return whether there was one to take."""
        if self.measurement.status != "timed" or turn >= self.rounds:
            return False
        try:
            if not self.number:
                self.number, self.rounds = repetitions(self.trial, self.function)
            self._sample(last=turn == self.rounds - 1)
        except REFUSALS as error:
            self.measurement.refuse(f"in a timed run, {describe(error, self.measurement.variant.file)}")
        return True

    def _sample(self, last: bool) -> None:
        time.sleep(PAUSE_SECONDS)
        if self.rounds == ROUNDS[1]:  # a short run, which the waking of its own threads would lengthen
            Runs(self.trial, self.function).seconds(self.number)
        runs = Runs(self.trial, self.function, last)
        self.measurement.samples.append(runs.seconds(self.number))
        self.measurement.judge(runs.judge(self.measurement.variant.precision))


def time_in_turns(trial: Trial, admitted: list[tuple[Measurement, Callable[..., Any]]]) -> Iterator[Measurement]:
    """Sample the runs of all that passed in turns, yielding after each sample; the checked run was the warm-up."""
    turns = [Turns(trial, measurement, function) for measurement, function in admitted]
    for turn in range(ROUNDS[1]):
        for each in turns:
            if each.take(turn):
                yield each.measurement


def repetitions(trial: Trial, function: Callable[..., Any]) -> tuple[int, int]:
    """Return how many runs make a sample long enough to time, and how many samples to take."""
    once = Runs(trial, function).seconds(1)
    if once < SAMPLE_SECONDS:
        once = min(once, *(Runs(trial, function).seconds(1) for _ in range(2)))  # one run alone may have been held up
    once = max(once, 1e-7)
    number = max(1, round(SAMPLE_SECONDS / once))
    return number, round(min(max(1 / (once * number), ROUNDS[0]), ROUNDS[1]))


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
