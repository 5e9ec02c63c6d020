"""What was measured, call by call: who was right and finished, who wins, by how much, and whether that is more than noise."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kernels._costs.table import Entry, Table


@dataclass(frozen=True)
class Call:
    """One call of an operation, and what became of each variant.

    Attributes
    ----------
    operation, dtype : str
    extents : mapping of int
    settings : mapping
        Its parameters and the facts of its contents.
    runs : tuple of Entry
        Of each variant that was right and finished the fastest run, the fastest variant first.
    abandoned : tuple of Entry
        Of variants that were given up as hopeless; the seconds are a lower bound.
    wrong : tuple of Entry
        Of variants whose result was refused here. A variant that was wrong on one call of the operation, with whatever options,
        is in no call's other lists.
    """

    operation: str
    dtype: str
    extents: Mapping[str, int]
    settings: Mapping[str, Any]
    runs: tuple[Entry, ...]
    abandoned: tuple[Entry, ...]
    wrong: tuple[Entry, ...]

    @property
    def shape(self) -> str:
        """Its extents; a batch of one is not worth a word."""
        return ", ".join(f"{name} = {extent:,}" for name, extent in self.extents.items() if (name, extent) != ("batch", 1))

    @property
    def about(self) -> str:
        """What else tells it from other calls: parameters and facts."""
        return ", ".join(value if isinstance(value, str) else f"{name} {value:.3g}" for name, value in self.settings.items())

    @property
    def title(self) -> str:
        """All of it in one line."""
        return ", ".join(filter(None, (self.shape, self.dtype, self.about)))

    @property
    def winner(self) -> Entry | None:
        """The fastest of those that were right and finished."""
        return self.runs[0] if self.runs else None

    @property
    def lead(self) -> float | None:
        """How much longer the second takes than the winner, as a share; None without a second."""
        return self.runs[1].seconds / self.runs[0].seconds - 1 if len(self.runs) > 1 else None

    @property
    def lead_text(self) -> str:
        """The lead in words, as a ratio."""
        return "no other finished" if self.lead is None else f"{1 + self.lead:.3g}× {self.runs[1].label}"

    @property
    def noise(self) -> float | None:
        """The noise of the winner or of the second, whichever is more; None where it was not kept."""
        return max((entry.noise for entry in self.runs[:2] if entry.noise is not None), default=None)

    @property
    def tied(self) -> bool:
        """Whether the winner's lead is within the noise."""
        return self.lead is not None and self.noise is not None and self.lead <= self.noise


def calls(table: Table) -> list[Call]:
    """Return the calls of a table, in the order of their operations, dtypes, settings and extents."""
    groups: dict[str, list[Entry]] = {}
    for entry in (*table.entries, *table.refused):
        groups.setdefault(entry.call, []).append(entry)
    wrong = {(entry.operation, entry.variant) for entry in table.refused}
    found = [_call(entries, wrong) for entries in groups.values()]
    return sorted(found, key=lambda c: (c.operation, c.dtype, c.about, [*c.extents.values()]))


def _call(entries: list[Entry], wrong: set[tuple[str, str]]) -> Call:
    refused = tuple(entry for entry in entries if entry.wrong)
    right = [entry for entry in entries if (entry.operation, entry.variant) not in wrong]
    right.sort(key=lambda entry: entry.seconds)
    runs = _first_of_each(entry for entry in right if not entry.abandoned)
    finished = {entry.variant for entry in runs}
    abandoned = _first_of_each(entry for entry in right if entry.variant not in finished)
    first = entries[0]
    return Call(first.operation, first.dtype, first.extents, {**first.parameters, **first.facts}, runs, abandoned, refused)


def _first_of_each(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.variant, entry)
    return tuple(found.values())


def series(found: list[Call]) -> dict[str, list[tuple[int, Call]]]:
    """Sort an operation's calls into series along which some extents grow alike, and nothing else changes.

    Returns
    -------
    dict
        For a series' title the growing extent with each call, in order; each call is in one, the longest come first.
    """
    possible: dict[str, dict[int, Call]] = {}
    names = [*dict.fromkeys(name for call in found for name in call.extents)]
    subsets = [some for count in range(len(names), 0, -1) for some in itertools.combinations(names, count)]
    for some, call in itertools.product(subsets, found):
        sizes = {call.extents.get(name) for name in some}
        size = sizes.pop()
        if not sizes and size is not None:
            fixed = {name: extent for name, extent in call.extents.items() if name not in some}
            rest = replace(call, extents=fixed)
            first = ", ".join(filter(None, (f"{' = '.join(some)} grows", rest.shape)))
            title = f"{first}; {', '.join(filter(None, (call.dtype, call.about)))}"
            possible.setdefault(title, {})[size] = call
    taken: dict[str, list[tuple[int, Call]]] = {}
    while possible:
        title = max(possible, key=lambda each: len(possible[each]))
        taken[title] = sorted(possible.pop(title).items())
        gone = {id(call) for _, call in taken[title]}
        left = {t: {size: c for size, c in some.items() if id(c) not in gone} for t, some in possible.items()}
        possible = {title: some for title, some in left.items() if some}
    return taken
