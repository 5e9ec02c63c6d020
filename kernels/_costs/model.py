"""What a variant will take for a call, from what it took for others.

A variant takes

    log seconds = log(overhead + rate count) + r                                                                           (1)

where `count` is its work (`calls.count`), which knows how its time grows. Overhead and rate are read off the measurements, and
r, what these leave unexplained, is smoothed between the measured calls: it is a sum of distances in the logarithms of the extents
and of the count, which along one extent is a line with a corner at each measurement, and beyond the last one stays as it is, so
that the time follows the counted work. It does not pass through the measurements, because each of them has noise: those that lie
within `SMOOTH` of each other count together, so that one that was disturbed makes no other choice than its neighbours do. A call
that was measured takes what was measured.

Measurements of this machine refine those that came with the package: where there are both, the model of the latter takes the
place of overhead + rate count. So a short tune corrects what is known already, by how much faster this machine is in that
neighbourhood, and two short tunes start from the same knowledge.

No unit of work is expected to take less time than the fastest that was measured, and no call less than the shortest, unless it
does less work than each that was measured. A call that was given up is no measurement, but a lower bound: where the model expects
less of that call, it is as if the bound had been measured; elsewhere it says nothing.

References
----------
Buhmann 2003, Radial basis functions, chapter 2: the linear interpolant exists for any distinct points, and is unique.
Wahba 1990, Spline models for observational data, chapter 1: smoothing adds the ratio of noise to signal to the diagonal.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from kernels._costs.calls import Call, count
from kernels._explanation import Cost

APART = 1.0  # how far off another dtype or another parameter is, in logarithms of an extent
SINGLE = 4.0  # how far off an extent of 1 is from 2: without a loop over it other code runs, and memory is read in one stretch
SMOOTH = 0.5  # the distance over which times differ as much as two measurements of one call do
REFINED = 1.0  # the same for how much slower a machine is than another: that varies less, and is measured with the same noise
MOST = 4096  # answers that are remembered
NOISE = 0.97  # options other than the defaults must take less than this share of their time

Points = Mapping[tuple[float, ...], float]


class Fit:
    """The expected time of one variant, with one set of options.

    Parameters
    ----------
    measured : mapping
        From each measured call, as the logarithms of its extents and, last, of its count, to the logarithm of its seconds.
    bounds : mapping, optional
        The same of calls that take longer than so many seconds.
    law : Fit, optional
        What the measurements refine, in place of overhead + rate count.
    """

    def __init__(self, measured: Points, bounds: Points | None = None, law: Fit | None = None) -> None:
        self.measured = dict(sorted(measured.items()))
        places, taken = np.array([*self.measured]), np.array([*self.measured.values()])
        counts = places[:, -1]
        self.law = law
        self.overhead = taken.min()
        working = taken > self.overhead + math.log(2)  # where the work takes longer than the overhead
        if not working.any():
            working = counts == counts.max()
        self.rate = float(np.median(taken[working] - counts[working]))
        self.fastest: float = min(float((taken - counts).min()), law.fastest if law else math.inf)
        self.shortest, self.smallest = float(taken.min()), float(counts.min())
        self._solve(places, taken)
        self.bounds = dict(sorted((bounds or {}).items()))
        if below := {place: bound for place, bound in self.bounds.items() if self.smoothed(place) < bound}:
            self._solve(np.array([*places, *below]), np.array([*taken, *below.values()]))

    def _solve(self, places: Any, taken: Any) -> None:
        """Find the weights of the distances, which sum to 0: that keeps what lies far away from growing."""
        n = len(taken)
        self.places = places
        system = np.ones((n + 1, n + 1))
        system[:n, :n], system[n, n] = self._distances(places) - (SMOOTH if self.law is None else REFINED) * np.eye(n), 0
        solved = np.linalg.solve(system, np.append(taken - self._explained(places), 0))
        self.weights, self.level = solved[:-1], solved[-1]

    def _explained(self, places: Any) -> Any:
        if self.law is not None:
            return np.array([self.law.smoothed(place) for place in places])
        return np.logaddexp(self.overhead, self.rate + places[:, -1])

    def _distances(self, places: Any) -> Any:
        return np.sqrt(((places[:, None] - self.places) ** 2).sum(axis=-1))

    def smoothed(self, place: Sequence[float]) -> float:
        """Return the logarithm of the seconds that the measurements together lead to."""
        there = np.array([place])
        expected = float(self._explained(there)[0] + (self._distances(there) @ self.weights)[0] + self.level)
        least = self.shortest if place[-1] >= self.smallest else -math.inf
        return max(expected, self.fastest + place[-1], least)

    def __call__(self, place: Sequence[float]) -> float:
        """Return the logarithm of the expected seconds."""
        found = self.measured.get(tuple(place))
        return max(self.smoothed(place), self.bounds.get(tuple(place), -math.inf)) if found is None else found

    def knows(self, place: Sequence[float]) -> bool:
        """Whether such a call was measured: its extents, and its count within the width of a bucket of facts."""
        close = np.abs(np.array([*self.measured]) - place) <= [*[1e-9] * (len(place) - 1), math.log(2) / 2]
        return bool(close.all(axis=1).any())


class Costs:
    """The expected times of one operation's variants.

    Parameters
    ----------
    contract : Contract
    tables : sequence of Table
        Measurements of this operation. Each refines those after it; estimates serve variants without measurements alone.
    """

    def __init__(self, contract: Any, tables: Sequence[Any]) -> None:
        self.contract, self.tables = contract, tables
        self._fits: dict[Any, tuple[Fit, tuple[str, ...], tuple[str, ...]]] = {}
        self._answers: dict[tuple[str, str], Cost | None] = {}

    @cached_property
    def refused(self) -> dict[str, str]:
        """The variants whose result was wrong when they were measured, each with what was wrong."""
        return {entry.variant: f"kernel-zoo tune found it wrong: {entry.wrong}"
                for table in self.tables for entry in table.refused
                if self._layers.get(entry.variant, [(table.origin,)])[0][0] == table.origin}  # fmt: skip

    @cached_property
    def _layers(self) -> dict[str, list[tuple[str, list[Any]]]]:
        """The entries of each variant, table by table, each with where they come from."""
        found: dict[str, list[tuple[str, list[Any]]]] = {}
        for table in self.tables:
            own: dict[str, list[Any]] = {}
            for entry in table.entries:
                own.setdefault(entry.variant, []).append(entry)
            for name, entries in own.items():
                if table.origin != "estimated" or name not in found:
                    found.setdefault(name, []).append((table.origin, entries))
        return found

    @cached_property
    def measured(self) -> dict[str, list[int]]:
        """The measured values of each extent, in ascending order."""
        values: dict[str, set[int]] = {}
        for (_, entries), *_ in self._layers.values():
            for entry in entries:
                for key, value in entry.extents.items():
                    values.setdefault(key, set()).add(value)
        return {key: sorted(them) for key, them in values.items()}

    def of_tensors(self, variants: Iterable[str]) -> float:
        """Return how many seconds longer some variants take with tensors than with arrays; 0 if that was not measured."""
        names = {*variants}
        for table in self.tables:
            entries = [entry for entry in table.entries if entry.variant in names and entry.as_tensors is not None]
            longer: list[float] = [entry.as_tensors - entry.seconds for entry in entries]
            if longer:
                return statistics.median(longer)
        return 0.0

    def of(self, variant: str, call: Call, options: Mapping[str, Any]) -> Cost | None:
        """Return what a variant will take at best, by the options that were measured; None if nothing was.

        Parameters
        ----------
        variant : str
        call : Call
        options : mapping
            Those that the caller asks for. Others may be chosen.
        """
        if variant not in self._layers:
            return None
        asked = variant, repr((call, sorted(options.items())))  # a decision asks for the same many times
        if asked not in self._answers:
            if len(self._answers) >= MOST:
                self._answers.clear()
            self._answers[asked] = self._best(variant, call, options)
        return self._answers[asked]

    def _best(self, variant: str, call: Call, options: Mapping[str, Any]) -> Cost | None:
        best = None
        for chosen in self._chosen(self._layers[variant][0][1], options):
            cost = self._cost(variant, call, chosen)
            if best is None or cost.seconds < best.seconds * (1 if best.options else NOISE):
                best = cost
        return best

    def _chosen(self, entries: list[Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the options that may be chosen, the defaults first."""
        fitting: dict[str, dict[str, Any]] = {"[]": {}}
        for entry in entries:
            if all(options.get(key, value) == value for key, value in entry.options.items()):
                fitting[repr(sorted(entry.options.items()))] = dict(entry.options)
        return [fitting[key] for key in sorted(fitting, key=lambda key: (key != "[]", key))]

    def _cost(self, variant: str, call: Call, options: dict[str, Any]) -> Cost:
        """Return what a variant will take, from its measurements with the same options, or else with any.

        Those with other options refine those with the defaults: they are few, and lie where the variant was near the best.
        """
        (origin, first), *_ = layers = self._layers[variant]
        same = [(each, [entry for entry in entries if entry.options == options]) for each, entries in layers]
        defaults = [(each, [entry for entry in entries if not entry.options]) for each, entries in layers if options]
        layers = [layer for layer in (*same, *defaults) if layer[1]] or layers[:1]
        dated = max(entry.measured for entry in first)
        timed = [entries for _, entries in layers if not all(entry.abandoned for entry in entries)]
        if not timed:
            return Cost(math.inf, "measured" if origin == "tuned" else origin, dated, options)
        kind = variant, repr(options)
        if kind not in self._fits:
            self._fits[kind] = self._fitted(variant, timed)
        fit, names, marks = self._fits[kind]
        place = self._place(variant, call, names, marks)
        if origin == "tuned":
            origin = "measured" if same[0][1] and fit.knows(place) else "interpolated"
        return Cost(math.exp(fit(place)), origin, dated, options)

    def _fitted(self, variant: str, layers: Sequence[list[Any]]) -> tuple[Fit, tuple[str, ...], tuple[str, ...]]:
        """Return a fit of entries, each layer refining the next, with the extents and the marks that make a place."""
        names = tuple(sorted({key for entries in layers for entry in entries for key in entry.extents}))
        marks = tuple(sorted({mark for entries in layers for entry in entries for mark in _marks(entry)}))
        fit: Any = None
        for entries in reversed(layers):
            points: tuple[dict[tuple[float, ...], list[float]], ...] = {}, {}
            for entry in entries:
                place = self._place(variant, _as_call(entry), names, marks)
                points[entry.abandoned].setdefault(place, []).append(math.log(entry.seconds))
            measured, bounds = ({place: math.fsum(them) / len(them) for place, them in each.items()} for each in points)
            fit = Fit(measured, bounds, fit)
        return fit, names, marks

    def _place(self, variant: str, call: Call, names: Sequence[str], marks: Sequence[str]) -> tuple[float, ...]:
        """Return where a call lies among those that were measured: another dtype, or another kernel, is some way off."""
        sizes = [max(1, call.extents.get(name, 1)) for name in names]
        extents = [math.log(size) + SINGLE * (size > 1) for size in sizes]
        own = set(_marks(call))
        return (*extents, *(APART * (mark in own) for mark in marks), math.log(max(1.0, count(self.contract, variant, call))))


def _marks(call: Any) -> list[str]:
    """Return the dtype and the parameters of a call or an entry, each as text."""
    return [call.dtype, *(f"{key}={value!r}" for key, value in call.parameters.items())]


def _as_call(entry: Any) -> Call:
    return Call(entry.dtype, entry.extents, entry.parameters, entry.facts)
