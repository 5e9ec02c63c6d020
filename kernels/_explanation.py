"""What the registry returns to people who ask: the variants of an operation, and why a call is served by one of them.

Loads the standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kernels._variant import Variant


class Cost(NamedTuple):
    """What a variant is expected to take for a call.

    Attributes
    ----------
    seconds : float
        Infinite for a variant that was given up as hopeless.
    origin : str
        ``"measured"`` for such a call on this machine, ``"interpolated"`` from other calls on this machine, ``"shipped"`` for
        measurements that came with the package, ``"estimated"`` from counted work, on no machine.
    dated : str
        The day of the latest measurement it follows from, as ISO 8601 writes it.
    options : mapping
        The variant's options with which it takes that long, where they are not the defaults.
    at_most : bool
        Whether it depends on the arrays' contents, which were not looked at: then `seconds` is for the worst contents.
    """

    seconds: float
    origin: str
    dated: str = ""
    options: Mapping[str, Any] = {}
    at_most: bool = False

    def __str__(self) -> str:
        age = f", {_age(self.dated)}" if self.dated and self.origin != "estimated" else ""
        options = "".join(f", with {key}={value!r}" for key, value in self.options.items())
        return f"{'at most ' * self.at_most}{duration(self.seconds)} ({self.origin}{age}{options})"


def duration(seconds: float) -> str:
    """Write a time with three digits and a unit a person would use."""
    if math.isinf(seconds):
        return "hopelessly long"
    for size, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def days_ago(days: int) -> str:
    """Write how many days ago something was."""
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days} days ago"


def _age(dated: str) -> str:
    import datetime

    return days_ago((datetime.date.today() - datetime.date.fromisoformat(dated)).days)


@dataclass(frozen=True)
class Explanation:
    """What dispatch made of one call: the variants it considered, best first, and the one it chose.

    Attributes
    ----------
    operation, selector : str
        What was asked for.
    considered : tuple of (Variant, str or None)
        Each variant with the reason it was rejected; None for one that can serve.
    chosen : Variant or None
        The one that runs.
    costs : tuple of (Cost or None)
        What each of them is expected to take; None where nothing is known, and the rank decides.
    notes : tuple of str
        On what the choice rests, and how to measure, one line each.
    """

    operation: str
    selector: str
    considered: tuple[tuple[Variant, str | None], ...]
    chosen: Variant | None
    costs: tuple[Cost | None, ...] = ()
    notes: tuple[str, ...] = ()

    def rows(self) -> list[tuple[Variant, str, Cost | None]]:
        """Return each variant with the verdict on it, and what it is expected to take."""

        def verdict(variant: Variant, reason: str | None) -> str:
            return "runs" if variant == self.chosen else f"rejected: {reason}" if reason else "could serve"

        costs = self.costs or (None,) * len(self.considered)
        return [(v, verdict(v, reason), cost) for (v, reason), cost in zip(self.considered, costs, strict=True)]

    def __str__(self) -> str:
        def line(variant: Variant, said: str, cost: Cost | None) -> str:
            told = f", {cost}" if cost else f", by its rank {variant.rank}" if not said.startswith("rejected") else ""
            return f"  {variant.name}: {said}{told}"

        return "\n".join([f"{self.operation}, selector {self.selector!r}:", *(line(*row) for row in self.rows()), *self.notes])

    def _repr_html_(self) -> str:
        rows = [(v.name, v.device, said, cost or "") for v, said, cost in self.rows()]
        title = f"{self.operation}, selector {self.selector!r}"
        return _table(title, ("variant", "device", "verdict", "expected time"), rows, self.notes)


class Variants(tuple[Variant, ...]):
    """The variants of an operation: a tuple, which a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [(v.name, v.device, v.framework, v.precision, v.rank, v.reason or "available") for v in self]
        title = self[0].operation if self else "no variants"
        return _table(title, ("variant", "device", "framework", "precision", "rank", "here"), rows)


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = ()) -> str:
    """Write a table in HTML, with a paragraph below it for each note."""
    from html import escape  # only a notebook needs it

    def cells(values: Sequence[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(str(value))}</{tag}>' for value in values)}</tr>"

    body = "".join(cells(row, "td") for row in rows)
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<table><caption>{escape(title)}</caption>{cells(headings, 'th')}{body}</table>{below}"
