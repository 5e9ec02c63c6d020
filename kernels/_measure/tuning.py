"""Measures the variants of an operation on one call after another, for the tables that the choice of a variant follows.

A variant is held to the reference before it is timed. It is given up as hopeless as soon as a run would take `HOPELESS` times as
long as the best variant's. Those that come near the best are timed again and again, interleaved; the others only twice, because
how far behind they are does not matter much.

What a variant takes is the least of its samples, each of which is the median of some runs: what else the machine does only ever
adds to a time, for many runs in a row, and it does not add the same in the next tune.
"""

from __future__ import annotations

import datetime
import functools
import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import registry
from kernels._costs import calls
from kernels._costs.table import Entry
from kernels._definition.examples import Example
from kernels._measure.timing import ERRORS, SPREAD_SECONDS, Measurement, describe, qualify, settle, spread
from kernels._measure.trial import Runs, Trial, host_clock
from registry import Variant, Zoo

HOPELESS = 20.0  # times the best variant's time
WITNESSES = 3  # a variant that was hopeless on all of so many long calls is not run on larger ones
TRIES = 3  # a call is left out when so many variants, the likely best first, take longer than the limit
LONG_SECONDS = 1e-3  # runs that take longer are work, not overhead
SHORT_SECONDS = 1e-4  # runs that take less tell what a conversion takes
HELD_UP_SECONDS = 5e-3  # so long may a busy machine hold up one run; what takes no longer is not given up
NEAR = 1.5  # times the best variant's time: who comes so near is timed in full,
CONVERSION_SECONDS = 5e-6  # and who does so once tensors, or arrays, need no conversion
HELD_UP, SURE = 2.0, 3  # a busy machine takes so many times as long for some samples on end; so many are enough to drop one
SAME, LONGER = 1.05, 3  # a sample that takes so many times the least confirms it; who has none is timed up to so much longer
SAMPLE_SECONDS = 5e-4  # what is faster is repeated until one sample takes this long,
MOST_RUNS = 64  # or so often
CALL_SECONDS = 0.5  # what the samples of one variant take together, once there are two
CHECKED_ROWS = (4, 32)  # of each result are held to the reference, the fewest and the most
CHECKED_WORK = 2**20  # the operations that all of them take, if that leaves the fewest
FACTORS = (1 / 4, 4)  # by which an option that counts something is changed to look for a better one


class Pace(NamedTuple):
    """How thoroughly to measure."""

    limit: float  # what takes more seconds a run is left out
    samples: int  # how many are taken of the variants that come near the best
    entries: int  # how many an array has at most
    paired: int = 0  # how many calls are made with tensors too


QUICK, FULL = Pace(0.1, 5, 2**18, 3), Pace(0.5, 7, 2**22, 10)


@dataclass
class Measured:
    """What was measured on one call."""

    entries: list[Entry] = field(default_factory=list)  # none if no variant takes the call within the limit
    refused: list[Entry] = field(default_factory=list)  # of the variants that gave a wrong result
    before: str | None = None  # the variant that served such a call until now
    wrong: list[str] = field(default_factory=list)  # variants that gave a wrong result, each with what was wrong

    @property
    def best(self) -> Entry | None:
        """The fastest."""
        return min((entry for entry in self.entries if not entry.abandoned), key=lambda entry: entry.seconds, default=None)

    def seconds(self, variant: str | None) -> float | None:
        """Return what a variant took without options, None if it was not timed."""
        found = (e.seconds for e in self.entries if e.variant == variant and not (e.options or e.abandoned))
        return next(found, None)


def described(contract: Any, example: Example, dtype: str, *, looks: bool = True) -> calls.Call:
    """Return what a call's cost may hang on; with `looks`, by a look at its contents too."""
    return calls.describe(contract, np.dtype(dtype), *contract.validate(*example.args, **example.kwargs), looks=looks)


def shape_of(call: calls.Call | Entry) -> str:
    """Return what is the same of two calls whose contents alone differ; a plan has no such call twice."""
    return json.dumps([call.dtype, call.extents, call.parameters], sort_keys=True)


class Tuner:
    """Measures the variants of one operation.

    Parameters
    ----------
    operation : str
    zoo : Zoo, optional
    device : str
    arrays : {"numpy", "torch"}
        What calls on the processor are made with.
    pace : Pace
    known : iterable of Entry
        What was measured before; it says which variants are hopeless.
    wrap : callable
        Wraps functions for the checks; see `qualify`.
    before_run : callable
        Called before each timed run.
    """

    def __init__(
        self,
        operation: str,
        *,
        zoo: Zoo | None = None,
        device: str = "cpu",
        arrays: str = "numpy",
        pace: Pace = FULL,
        known: Iterable[Entry] = (),
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
        before_run: Callable[[], None] = lambda: None,
    ) -> None:
        self.operation, self.zoo, self.device, self.arrays = operation, zoo or registry.zoo(), device, arrays
        self.contract = self.zoo.contract(operation)
        self.limit, self.samples, self.wrap, self.before_run = pace.limit, pace.samples, wrap, before_run
        self._paired = pace.paired if (device, arrays) == ("cpu", "numpy") else 0
        self._ratios: dict[str, list[float]] = {}  # of each variant, on long calls, to the best
        together: dict[str, list[Entry]] = {}
        for entry in known:
            if entry.operation == operation:
                self._paired -= entry.as_tensors is not None and self.zoo.variant(operation, entry.variant).arrays == "torch"
                together.setdefault(entry.call, []).append(entry)
        for entries in together.values():
            self._witness(entries)

    def measure(self, example: Example, dtype: str) -> Measured:
        """Check and time the variants on a call."""
        trial = self.trial(example, dtype)
        explained = self.zoo.explain(self.operation, *trial.args, **example.kwargs)
        found = Measured(before=explained.chosen.name if explained.chosen else None)
        call = described(self.contract, example, dtype)
        entry = functools.partial(Entry, self.operation, measured=datetime.date.today().isoformat(), **call._asdict())

        def add(variant: str, seconds: float, spread: float = 0.0, **more: Any) -> None:
            made = entry(variant=variant, seconds=rounded(seconds), spread=rounded(spread, 2), **({"options": {}} | more))
            found.entries.append(made)

        self._checked: list[tuple[Measurement, Callable[..., Any] | None]] = []
        given_up: dict[str, float] = {}
        for variant in sorted(self.candidates(dtype), key=lambda variant: variant.name != found.before):
            if not self._timed and len(given_up) >= TRIES:
                break  # what was likely to be the fastest takes too long
            if self._best() < self.limit and self._hopeless(variant):
                given_up[variant.name] = HOPELESS * self._best()
                continue
            trial.estimates = 1 if min(self._ratios.get(variant.name, [0.0])) >= HOPELESS else 2
            measurement = self._qualify(trial, variant)
            if measurement.status == "skipped" and measurement.estimate:
                given_up[variant.name] = min(measurement.estimate, self._limit())
        for measurement, _ in self._timed:
            if measurement.least < 2 * self._best():
                self._try_options(trial, measurement.variant)
        race(trial, self._timed, self.samples)
        with_tensors = self._with_tensors(example, dtype)
        for measurement, _ in self._timed:
            of_bound, noise = measurement.agreement and rounded(measurement.agreement.share, 2), measurement.noise
            more = {"of_bound": of_bound, "noise": noise and rounded(noise, 2), "options": measurement.options}
            more |= {"as_tensors": with_tensors.get(measurement.label)}
            add(measurement.variant.name, measurement.least, measurement.spread or 0.0, **more)
        if self._timed:
            for name, seconds in given_up.items():
                add(name, seconds, abandoned=True)
        for each in (measurement for measurement, _ in self._checked if measurement.status == "wrong"):
            found.wrong.append(f"{each.label} on {example.title}, {dtype}: {each.reason}")
            refused = entry(variant=each.variant.name, options=each.options, seconds=math.inf, spread=0.0, wrong=each.reason)
            found.refused.append(refused)
        self._witness(found.entries)
        return found

    def _with_tensors(self, example: Example, dtype: str) -> dict[str, float]:
        """Return the seconds of a short call with tensors, of the fastest variant for each kind of arrays.

        They tell what a conversion takes. As soon as some such calls were made, none is.
        """
        by_time = sorted(self._timed, key=lambda each: -each[0].least)
        fastest = {each.variant.arrays: each.variant for each, _ in by_time if not each.options and each.least < SHORT_SECONDS}
        of_arrays = any(isinstance(each, np.ndarray) for each in example.kwargs.values())
        if self._paired <= 0 or of_arrays or not {"numpy", "torch"} <= fastest.keys():
            return {}
        trial = self.trial(example, dtype, "torch")
        racing = []
        for kind in ("numpy", "torch"):
            measurement, function = qualify(trial, fastest[kind], self.limit, wrap=self.wrap, zoo=self.zoo)
            if function:
                sample(trial, measurement, function, 3)
                racing.append((measurement, function))
        race(trial, racing, self.samples, near=math.inf)
        self._paired -= len(racing) == 2
        return {measurement.label: rounded(measurement.least) for measurement, _ in racing if measurement.samples}

    def trial(self, example: Example, dtype: str, arrays: str | None = None) -> Trial:
        """Return a call, ready to be run and timed."""
        if self.device == "cuda":
            from kernels._measure.device import DeviceTrial, EventClock

            trial: Trial = DeviceTrial(self.contract, example, dtype, EventClock())
        elif (arrays or self.arrays) == "torch":
            from kernels._measure.device import DeviceTrial

            trial = DeviceTrial(self.contract, example, dtype, host_clock, "cpu")
            trial.sample_seconds = SAMPLE_SECONDS
        else:
            rows = self.contract.row_count(*example.args, **example.kwargs)
            row = self.contract.work(*example.args, **example.kwargs)["flops"] / max(1, rows)
            trial = Trial(self.contract, example, dtype, int(np.clip(CHECKED_WORK / max(1, row), *CHECKED_ROWS)))
            trial.sample_seconds = SAMPLE_SECONDS
        trial.before_run = self.before_run
        return trial

    def candidates(self, dtype: str) -> list[Variant]:
        """Return the variants for a dtype, the likely best first."""
        here = [v for v in self.zoo.variants(self.operation) if v.available and v.device == self.device and dtype in v.dtypes]
        every = [v for v in here if v.arrays != "dask"]  # those serve dask arrays alone, and a lazy call takes no time

        def order(variant: Variant) -> tuple[float, int]:
            ratios = self._ratios.get(variant.name)
            return statistics.median(ratios) if ratios else 2.0, -variant.rank

        return sorted(every, key=order)

    @property
    def _timed(self) -> list[tuple[Measurement, Callable[..., Any]]]:
        return [(measurement, function) for measurement, function in self._checked if function and measurement.samples]

    def _best(self) -> float:
        return min((measurement.least for measurement, _ in self._timed), default=float("inf"))

    def _limit(self) -> float:
        """Return how many seconds a run may take."""
        return min(self.limit, max(HOPELESS * self._best(), HELD_UP_SECONDS))

    def _hopeless(self, variant: Variant) -> bool:
        """Whether a variant took too many times the best's time on all long calls, and this is one."""
        ratios = self._ratios.get(variant.name, ())
        return len(ratios) >= WITNESSES and min(ratios) >= HOPELESS and self._best() >= LONG_SECONDS / 4

    def _witness(self, entries: list[Entry]) -> None:
        best = min((entry.seconds for entry in entries if not entry.abandoned), default=0.0)
        for entry in entries:
            if best and entry.seconds >= LONG_SECONDS and not entry.options:
                self._ratios.setdefault(entry.variant, []).append(max(entry.seconds / best, HOPELESS * entry.abandoned))

    def _qualify(self, trial: Trial, variant: Variant, **options: Any) -> Measurement:
        """Check a variant, and time it for the first time if it is right and not hopeless."""
        measurement, function = qualify(trial, variant, self._limit(), wrap=self.wrap, options=options, zoo=self.zoo)
        self._checked.append((measurement, function))
        if function:
            sample(trial, measurement, function, 1 if measurement.estimate > HELD_UP_SECONDS else 3)
        return measurement

    def _try_options(self, trial: Trial, variant: Variant) -> None:
        """Time a variant with other values of its options that count something."""
        for key, value in variant.options.items():
            for factor in FACTORS if type(value) is int else ():
                if value * factor >= 1:
                    self._qualify(trial, variant, **{key: int(value * factor)})


def race(trial: Trial, contenders: Sequence[tuple[Measurement, Callable[..., Any]]], samples: int, near: float = NEAR) -> None:
    """Take samples, interleaved, of what was timed once; after the first, of those alone that come near the best.

    The race goes on, up to `LONGER` times as long, while the least sample of one of these is alone: then the others may have been
    held up all the time, and with them all samples of another.
    """
    for index in range(LONGER * samples):
        running = [(measurement, function) for measurement, function in contenders if measurement.samples]
        if not running:
            return
        best = min((measurement for measurement, _ in running), key=lambda measurement: measurement.least)
        reach = (near * best.least + CONVERSION_SECONDS) * (HELD_UP if index < SURE or not confirmed(best) else 1)
        if index >= samples and all(confirmed(measurement) or measurement.least > reach for measurement, _ in running):
            return
        for measurement, function in running:
            once = measurement.least
            if index and (once > reach or (index > 1 and (index + 1) * once > CALL_SECONDS)):
                continue
            settle()
            runs = round(min(max(trial.sample_seconds / max(once, 1e-7), 1), MOST_RUNS))
            sample(trial, measurement, function, runs, wake=once < LONG_SECONDS, twice=index == 1 and once < SPREAD_SECONDS)


def confirmed(measurement: Measurement) -> bool:
    """Whether another sample comes near the least."""
    return len(measurement.samples) > 1 and sorted(measurement.samples)[1] <= SAME * measurement.least


def sample(
    trial: Trial, measurement: Measurement, function: Callable[..., Any], runs: int, wake: bool = False, twice: bool = False
) -> None:
    """Take a sample of some runs, after some that wake up what waited; a function that raises then is wrong.

    With `twice`, take two, after so many runs that its threads have a core each: the second confirms the first.
    """
    try:
        if twice:
            spread(trial, function)
            measurement.samples.append(Runs(trial, function).seconds(runs))
        elif wake:
            Runs(trial, function).seconds(3)
        measurement.samples.append(Runs(trial, function).seconds(runs))
    except ERRORS as error:
        measurement.reject(f"in a timed run, {describe(error, measurement.variant.file)}")


def rounded(number: float, digits: int = 4) -> float:
    """Return a number with a few digits: a measurement has no more."""
    return float(f"{number:.{digits}g}")
