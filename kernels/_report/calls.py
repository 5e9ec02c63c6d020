"""What was measured, call by call: who was right and finished, who wins, by how much, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kernels._costs.table import Entry, Table


@dataclass(frozen=True)
class Call:
    """One call of an operation, and what became of each variant.

    A variant that was wrong on one call of the operation, with whatever options, is in no call's lists but `wrong`.
    """

    operation: str
    dtype: str
    extents: Mapping[str, int]
    parameters: Mapping[str, Any]  # of which choices it is
    facts: Mapping[str, float]  # what is known of its contents
    runs: tuple[Entry, ...] = ()  # of each variant that was right and finished the fastest run, the fastest variant first
    abandoned: tuple[Entry, ...] = ()  # of variants that were given up as hopeless; the seconds are a lower bound
    wrong: tuple[Entry, ...] = ()  # of variants whose result was refused here

    @property
    def shape(self) -> str:
        """Its extents; a batch of one is not worth a word."""
        return ", ".join(f"{name} = {extent:,}" for name, extent in self.extents.items() if (name, extent) != ("batch", 1))

    @property
    def kind(self) -> str:
        """Its dtype and parameters."""
        return ", ".join([self.dtype, *(v if isinstance(v, str) else f"{name}={v}" for name, v in self.parameters.items())])

    @property
    def contents(self) -> str:
        """The facts of its contents."""
        return ", ".join(f"{name} {value:.3g}" for name, value in self.facts.items())

    @property
    def title(self) -> str:
        """All of it in one line."""
        return ", ".join(filter(None, (self.shape, self.kind, self.contents)))

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
    """Return the calls of a table, in the order of their operations, kinds and extents."""
    groups: dict[str, list[Entry]] = {}
    for entry in (*table.entries, *table.refused):
        groups.setdefault(entry.call, []).append(entry)
    wrong = {(entry.operation, entry.variant) for entry in table.refused}
    found = [_call(entries, wrong) for entries in groups.values()]
    return sorted(found, key=lambda c: (c.operation, c.kind, [*c.extents.values()], c.contents))


def _call(entries: list[Entry], wrong: set[tuple[str, str]]) -> Call:
    refused = tuple(entry for entry in entries if entry.wrong)
    right = [entry for entry in entries if (entry.operation, entry.variant) not in wrong]
    right.sort(key=lambda entry: entry.seconds)
    runs = _first_of_each(entry for entry in right if not entry.abandoned)
    finished = {entry.variant for entry in runs}
    abandoned = _first_of_each(entry for entry in right if entry.variant not in finished)
    first = entries[0]
    return Call(first.operation, first.dtype, first.extents, first.parameters, first.facts, runs, abandoned, refused)


def _first_of_each(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.variant, entry)
    return tuple(found.values())
