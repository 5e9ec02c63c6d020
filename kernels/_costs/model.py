"""What a variant will take for a call, from what it took for others.

A variant takes

    log seconds = log(overhead + rate count) + r                                                                           (1)

where `count` is its work (`calls.count`), which knows how its time grows. Overhead and rate are read off the measurements, and
r, what these leave unexplained, is interpolated between the measured calls by the linear radial basis function, a sum of
distances in the logarithms of the extents and of the count. Along one extent that is the straight line between the nearest
two measurements, and beyond the last one r stays as it is, so that the time follows the counted work. Along several it may fall
on, so no unit of work is expected to take less time than the fastest that was measured. A call that was given up is no
measurement, but a lower bound of calls like it that are no smaller.

References
----------
Buhmann 2003, Radial basis functions, chapter 2: the interpolant exists for any distinct points, and is unique.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from kernels._costs.calls import Call, count
from kernels._explanation import Cost

APART = 1.0  # how far off another dtype or another parameter is, in logarithms of an extent
MOST = 4096  # answers that are remembered
NOISE = 0.97  # options other than the defaults must take less than this share of their time


class Fit:
    """The expected time of one variant, with one set of options, for calls of one dtype and one choice of parameters.

    Parameters
    ----------
    points : iterable of (sequence of float, float)
        Of each measured call the logarithms of its extents and, last, of its count; and the logarithm of its seconds. Of a
        call that was measured several times, the mean counts.
    """

    def __init__(self, points: Iterable[tuple[Sequence[float], float]]) -> None:
        measured: dict[tuple[float, ...], list[float]] = {}
        for place, seconds in points:
            measured.setdefault(tuple(place), []).append(seconds)
        self.places = np.array(sorted(measured))
        taken: Any = np.array([math.fsum(them) / len(them) for _, them in sorted(measured.items())])
        counts = self.places[:, -1]
        self.overhead = taken.min()
        working = taken > self.overhead + math.log(2)  # where the work takes longer than the overhead
        if not working.any():
            working = counts == counts.max()
        self.rate = float(np.median(taken[working] - counts[working]))
        self.fastest = float((taken - counts).min())
        unexplained: Any = taken - self._explained(counts)
        # The weights of the distances sum to 0, which keeps what lies far away from growing.
        n = len(taken)
        system = np.ones((n + 1, n + 1))
        system[:n, :n], system[n, n] = self._distances(self.places), 0
        solved: Any = np.linalg.solve(system, np.append(unexplained, 0)) if n > 1 else np.array([0.0, unexplained[0]])
        self.weights, self.level = solved[:-1], solved[-1]

    def _explained(self, counts: Any) -> Any:
        return np.logaddexp(self.overhead, self.rate + counts)

    def _distances(self, places: Any) -> Any:
        return np.sqrt(((places[:, None] - self.places) ** 2).sum(axis=-1))

    def __call__(self, place: Sequence[float]) -> float:
        """Return the logarithm of the expected seconds."""
        there = np.array([place])
        expected = float(self._explained(there[0, -1]) + (self._distances(there) @ self.weights)[0] + self.level)
        return max(expected, self.fastest + place[-1])

    def knows(self, place: Sequence[float]) -> bool:
        """Whether such a call was measured: its extents, and its count within the width of a bucket of facts."""
        close = np.abs(self.places - place) <= [*[1e-9] * (len(place) - 1), math.log(2) / 2]
        return bool(close.all(axis=1).any())


class Costs:
    """The expected times of one operation's variants.

    Parameters
    ----------
    contract : Contract
    tables : sequence of Table
        Measurements of this operation; a variant's come from the first table that has any.
    """

    def __init__(self, contract: Any, tables: Sequence[Any]) -> None:
        self.contract, self.tables = contract, tables
        self._fits: dict[Any, tuple[Fit, tuple[str, ...], tuple[str, ...]]] = {}
        self._answers: dict[tuple[str, str], Cost | None] = {}

    @cached_property
    def refused(self) -> dict[str, str]:
        """The variants whose result was wrong when they were measured, each with what was wrong."""
        return {
            entry.variant: f"kernel-zoo tune found it wrong: {entry.wrong}" for table in self.tables for entry in table.refused
        }

    @cached_property
    def _entries(self) -> dict[str, tuple[str, list[Any]]]:
        """The entries of each variant, and where they come from."""
        found: dict[str, tuple[str, list[Any]]] = {}
        for table in self.tables:
            own: dict[str, list[Any]] = {}
            for entry in table.entries:
                own.setdefault(entry.variant, []).append(entry)
            found |= {name: (table.origin, entries) for name, entries in own.items() if name not in found}
        return found

    @cached_property
    def measured(self) -> dict[str, list[int]]:
        """The measured values of each extent, in ascending order."""
        values: dict[str, set[int]] = {}
        for _, entries in self._entries.values():
            for entry in entries:
                for key, value in entry.extents.items():
                    values.setdefault(key, set()).add(value)
        return {key: sorted(them) for key, them in values.items()}

    def least(self, variants: Iterable[str]) -> float | None:
        """Return the shortest time that was measured of any of some variants; None if none was."""
        entries = (entry for name in variants for entry in self._entries.get(name, ("", []))[1])
        return min((entry.seconds for entry in entries if not entry.abandoned), default=None)

    def of(self, variant: str, call: Call, options: Mapping[str, Any]) -> Cost | None:
        """Return what a variant will take at best, by the options that were measured; None if nothing was.

        Parameters
        ----------
        variant : str
        call : Call
        options : mapping
            Those that the caller asks for. Others may be chosen.
        """
        origin, entries = self._entries.get(variant, ("", []))
        if not entries:
            return None
        asked = variant, repr((call, sorted(options.items())))  # a decision asks for the same many times
        if asked not in self._answers:
            if len(self._answers) >= MOST:
                self._answers.clear()
            self._answers[asked] = self._best(variant, call, options, origin, entries)
        return self._answers[asked]

    def _best(self, variant: str, call: Call, options: Mapping[str, Any], origin: str, entries: list[Any]) -> Cost | None:
        best = None
        for chosen in self._chosen(entries, options):
            cost = self._cost(variant, call, chosen, origin, entries)
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

    def _cost(self, variant: str, call: Call, options: dict[str, Any], origin: str, entries: list[Any]) -> Cost:
        """Return what a variant will take, from its measurements with the same options, or else with any."""
        same = [entry for entry in entries if entry.options == options]
        entries = same or entries
        dated = max(entry.measured for entry in entries)
        timed = [entry for entry in entries if not entry.abandoned]
        if not timed:
            return Cost(math.inf, "measured" if origin == "tuned" else origin, dated, options)
        kind = variant, repr(options)
        if kind not in self._fits:
            names = tuple(sorted({key for entry in timed for key in entry.extents}))
            marks = tuple(sorted({mark for entry in timed for mark in _marks(entry)}))
            points = [(self._place(variant, _as_call(e), names, marks), math.log(e.seconds)) for e in timed]
            self._fits[kind] = Fit(points), names, marks
        fit, names, marks = self._fits[kind]
        place = self._place(variant, call, names, marks)
        if origin == "tuned":
            origin = "measured" if same and fit.knows(place) else "interpolated"
        bounds = (e.seconds for e in entries if e.abandoned and self._no_smaller(variant, call, e))
        return Cost(max(math.exp(fit(place)), *bounds, 0.0), origin, dated, options)

    def _no_smaller(self, variant: str, call: Call, entry: Any) -> bool:
        """Whether a call is like the one of an entry, and neither smaller nor less work."""
        alike = call.dtype == entry.dtype and dict(call.parameters) == dict(entry.parameters)
        large = all(call.extents.get(name, 1) >= extent for name, extent in entry.extents.items())
        return alike and large and count(self.contract, variant, call) >= count(self.contract, variant, _as_call(entry))

    def _place(self, variant: str, call: Call, names: Sequence[str], marks: Sequence[str]) -> list[float]:
        """Return where a call lies among those that were measured: another dtype, or another kernel, is some way off."""
        extents = [math.log(max(1, call.extents.get(name, 1))) for name in names]
        own = set(_marks(call))
        return [*extents, *(APART * (mark in own) for mark in marks), math.log(max(1.0, count(self.contract, variant, call)))]


def _marks(call: Any) -> list[str]:
    """Return the dtype and the parameters of a call or an entry, each as text."""
    return [call.dtype, *(f"{key}={value!r}" for key, value in call.parameters.items())]


def _as_call(entry: Any) -> Call:
    return Call(entry.dtype, entry.extents, entry.parameters, entry.facts)
