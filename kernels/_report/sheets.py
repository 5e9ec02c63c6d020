"""The tables of the page: a heading, its columns, and cells that know what they are sorted by."""

from __future__ import annotations

import datetime
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import registry
from kernels._costs.table import Table
from kernels._explanation import days_ago, duration
from kernels._report.calls import Call
from registry import Variant

# What a reader of the page need not know.
PLACES = {str(Path(registry.__file__).parent): "", sys.prefix: "", str(Path.home()): "~"}


class Cell(NamedTuple):
    """A cell: its text, what it is sorted by if not by its text, and how it looks: "number", "code", "wrong" or nothing."""

    text: str
    key: float | None = None
    look: str = ""


class Sheet(NamedTuple):
    """A table that can be sorted and filtered; the first cell of a row says what the row is about."""

    name: str
    headings: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


def public(text: str) -> str:
    """Return a text without the names of this machine's folders."""
    for place, name in PLACES.items():
        if place not in ("", "/"):
            text = text.replace(place + "/", name and name + "/").replace(place, name or ".")
    return text


def share(value: float | None) -> Cell:
    """Return a share as per cent, or a dash where it was not kept."""
    return Cell("–") if value is None else Cell(f"{value:.1%}", value, "number")


def seconds(value: float | None) -> Cell:
    """Return a time, or a dash."""
    return Cell("–") if value is None else Cell(duration(value), value, "number")


def age(day: str, today: datetime.date) -> Cell:
    """Return a day, and how long ago it was."""
    try:
        days = (today - datetime.date.fromisoformat(day[:10])).days
    except ValueError:
        return Cell(day)
    return Cell(f"{day[:10]} ({days_ago(days)})", days)


def ladder(variants: tuple[Variant, ...], found: list[Call]) -> tuple[Sheet, Call | None]:
    """Return every variant from the naive to the fast one, and the call they are timed on: the one that most of them finished."""
    call = max(found, key=lambda c: (len(c.runs), c.runs[-1].seconds / c.runs[0].seconds if c.runs else 0), default=None)
    timed = {entry.variant: entry for entry in call.runs} if call else {}
    wrong = {entry.variant: f"WRONG on {c.title}: {entry.wrong}" for c in found for entry in c.wrong}
    slowest = max((entry.seconds for entry in timed.values()), default=0.0)

    def order(variant: Variant) -> tuple[Any, ...]:
        return variant.name not in wrong, variant.name not in timed, -timed[variant.name].seconds if variant.name in timed else 0

    def row(v: Variant) -> tuple[Cell, ...]:
        entry = timed.get(v.name)
        wins = sum(c.winner is not None and c.winner.variant == v.name for c in found)
        here = Cell("available") if v.available else Cell(public(f"not available: {v.reason}"))
        if v.name in wrong:
            here = Cell(public(wrong[v.name]), None, "wrong")
        return (
            Cell(v.name, None, "code"),
            Cell(v.framework),
            Cell(v.device),
            Cell(v.precision),
            seconds(entry.seconds if entry else None),
            Cell(f"{slowest / entry.seconds:,.4g}×", slowest / entry.seconds, "number") if entry else Cell("–"),
            share(entry.of_bound if entry else None),
            Cell(str(wins), wins, "number"),
            here,
        )

    headings = ("variant", "written with", "device", "error", "time", "speed-up", "of bound", "wins", "here")
    return Sheet("ladder", headings, [row(v) for v in sorted(variants, key=order)]), call


def wins(found: list[Call], repeat: Callable[[Call], str], today: datetime.date) -> Sheet:
    """Return who wins each call. Calls with a wrong variant come first."""

    def row(c: Call) -> tuple[Cell, ...]:
        first = c.winner
        wrong = "; ".join(f"{entry.variant} WRONG: {public(entry.wrong)}" for entry in c.wrong)
        lead = Cell(c.lead_text, c.lead, "number")
        day = max(entry.measured for entry in (*c.runs, *c.abandoned, *c.wrong))
        return (
            Cell(c.shape, float(math.prod(c.extents.values()))),
            Cell(c.kind),
            Cell(c.contents),
            Cell(wrong or "none", None, "wrong" if wrong else ""),
            Cell(first.label + (" (tie)" if c.tied else ""), None, "code") if first else Cell("none"),
            seconds(first.seconds if first else None),
            lead,
            share(c.noise),
            share(first.of_bound if first else None),
            age(day, today),
            Cell(repeat(c), None, "code"),
        )

    headings = ("shape", "kind", "contents", "wrong", "fastest", "time", "lead", "A/A noise", "of bound", "measured", "repeat it")
    return Sheet("calls", headings, [row(c) for c in sorted(found, key=lambda c: not c.wrong)])


def refusals(kernels: dict[str, dict[str, Any]]) -> Sheet:
    """Return what refused each wrong kernel, from a kill table."""

    def row(name: str, about: dict[str, Any]) -> tuple[Cell, ...]:
        by = [one.replace("_", " ") for one in about["refused_by"]]
        said = "; ".join(by) or "none with five examples: it takes more"
        return Cell(name, None, "code"), Cell(about["is"]), Cell(str(len(by)), len(by), "number"), Cell(said)

    headings = ("wrong kernel", "what is wrong", "properties", "refused by")
    return Sheet("wrong kernels", headings, [row(name, about) for name, about in sorted(kernels.items())])


def regret(records: list[dict[str, Any]]) -> tuple[Sheet, Sheet]:
    """Return what the automatic choice costs with each table of measurements, and of each call what was chosen."""
    names = [*records[0]["ratio"]]

    def times(ratio: float) -> Cell:
        return Cell(f"{ratio:.2f}×", ratio, "number")

    def row(name: str) -> tuple[Cell, ...]:
        ratios = sorted(record["ratio"][name] for record in records)
        late = statistics.quantiles(ratios, n=20, method="inclusive")[-1] if len(ratios) > 1 else ratios[0]
        count = Cell(str(len(ratios)), len(ratios), "number")
        return Cell(name), count, times(statistics.median(ratios)), times(late), times(ratios[-1])

    def call(record: dict[str, Any]) -> tuple[Cell, ...]:
        about = Call(**{key: record[key] for key in ("operation", "dtype", "extents", "parameters", "facts")})
        chosen = [
            Cell(f"{record['ratio'][name]:.2f}× {record['chosen'][name]}", record["ratio"][name], "number") for name in names
        ]
        return Cell(about.title), Cell(record["best"], None, "code"), *chosen

    whole = Sheet("regret", ("table", "calls", "median", "95th percentile", "worst"), [row(name) for name in names])
    return whole, Sheet("chosen", ("call", "fastest", *names), [call(record) for record in records])


def origin(table: Table, operation: str) -> str:
    """Say where the figures of an operation are from, and what would measure them here."""
    if not table.entries and not table.refused:
        return f"Nothing was measured yet: kernel-zoo tune {operation} measures it."
    if table.origin == "tuned":
        return f"Measured on this machine, last on {table.dated}."
    made = f"{table.machine.get('processor', 'another machine')}, {table.dated}"
    return f"These figures came with the package, measured on {made}: kernel-zoo tune {operation} measures this machine."
