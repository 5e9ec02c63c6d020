"""What the commands print: tables that fit any terminal, text in any encoding, and JSON that any parser reads."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table

import registry

OPERATION = click.argument("operation", metavar="OP")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
VARIANT = click.option(
    "--variant", default="auto", show_default=True, help="A variant of meanshift_step, a device (cpu, cuda), or auto."
)
SPELLINGS = {"µ": "u", "²": "2", "…": ".", "·": "*", "é": "e", "–": "-", "—": "-", "’": "'"}
UNWATCHED_COLUMNS = 200  # of a table that goes to a file or a pipe
WIDEST = 10_000  # columns: more than any table needs so that no word of it is broken


def require(what: str, *needed: str) -> None:
    """Refuse a command, or an option of one, that needs a package or a device which is not here."""
    for reason in filter(None, map(registry.missing, needed)):
        raise click.UsageError(f"{what} {reason}")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks in letters that it has, one for each, so that tables stay in line."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(SPELLINGS.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


codecs.register_error("kernel-zoo", _spelled)


def spell_out(*streams: TextIO) -> None:
    """Let streams that know few letters (ASCII, cp932) write others in those they know."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="kernel-zoo")


def console(stderr: bool = False) -> Console:
    """Return a console that takes names, paths and docstrings for what they are, not for Rich's markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_table(table: Table) -> None:
    """Print a table so that no name is cut: full width in a file, line by line on a terminal that is too narrow."""
    where = console()
    if not where.is_terminal:
        where.width = UNWATCHED_COLUMNS
    if where.measure(table, options=where.options.update_width(WIDEST)).minimum <= where.width:
        where.print(table)
        return
    if table.title:
        click.echo(table.title)
    headings = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        click.echo(row[0])
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            if cell:
                click.echo(f"  {heading}: {cell}")


def print_reasons(reasons: Iterable[tuple[str, str]]) -> None:
    """Print each reason once, after the names of all that it is given for."""
    names_for: dict[str, list[str]] = {}
    for name, reason in reasons:
        names_for.setdefault(reason, []).append(name)
    for reason, names in names_for.items():
        click.echo(f"{', '.join(names)}: {reason}")


def dumps(value: Any) -> str:
    """Write JSON as its standard has it, which knows neither NaN nor infinities: they become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
