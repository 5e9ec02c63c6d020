"""`kernel-zoo tune`."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.progress import TimeRemainingColumn
from rich.table import Table as RichTable

import registry
from kernels._cli.child import TIMEOUT, Child, Died
from kernels._cli.limits import Seconds
from kernels._cli.outputs import OUTPUT, bars
from kernels._cli.text import JSON, dumps, print_table, require
from kernels._costs import machine, table

QUICK_SECONDS, FULL_SECONDS = 100.0, 1200.0


@click.command()
@click.argument("operations", metavar="[OP]...", nargs=-1)
@click.option("--quick", is_flag=True, help="For a first table: small calls, and a budget of 100 seconds.")
@click.option("--budget", type=Seconds(), help="Seconds to measure for, 1200 if not --quick.")
@click.option(
    "--device", default="cpu", show_default=True, type=click.Choice(registry.DEVICES), help="Whose variants to measure."
)
@click.option("--again", is_flag=True, help="Measure anew what this machine's table has already.")
@click.option(
    "--output", type=OUTPUT, help="Write to this file instead of this machine's table, which the choice of variants follows."
)
@TIMEOUT
@JSON
def tune(
    operations: tuple[str, ...],
    quick: bool,
    budget: float | None,
    device: str,
    again: bool,
    output: Path | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Measure the variants here, so that get(OP) chooses by what is fastest on this machine.

    Without OP all operations are measured, and share the time. Every call that is finished is in the table at once: an
    interrupted tune keeps it, and the next one goes on from there. The more time, the closer the calls that were measured lie. A
    result that is wrong is never timed; exits with 1 if there is one.
    """
    if device != "cpu":
        require(f"--device {device}", device)
    for name in operations:
        registry.variants(name)  # refuses what there is not
    from kernels import _measure
    from kernels._measure import tuning

    path, notes, busy = output or table.path_here(), table.current().notes, _measure.busy()
    say = [*(note for note in notes if output is None), *([busy] if busy else [])]
    for line in say:
        click.echo(line, err=True)
    session = {"device": device, "pace": tuning.QUICK if quick else tuning.FULL}
    run = Run(path, session, timeout, again)
    try:
        run.measure(operations or registry.operations(), budget or (QUICK_SECONDS if quick else FULL_SECONDS))
    except KeyboardInterrupt:
        run.interrupted = True
    table.forget()
    if as_json:
        click.echo(dumps(run.as_json() | {"environment": _measure.environment() | {"busy": busy}}))
    else:
        run.show()
    if run.interrupted:
        raise KeyboardInterrupt
    if any(progress.wrong for progress in run.operations.values()):
        sys.exit(1)


@dataclass
class Findings:
    """What a tune found of one operation."""

    calls: int = 0
    left_out: int = 0
    wins: Counter[str] = field(default_factory=Counter)
    changes: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, found: Any) -> None:
        """Count what was found on one call."""
        self.wrong += found.wrong
        if found.best is None:
            self.left_out += 1
            return
        self.calls += 1
        self.wins[found.best.label] += 1
        before = found.seconds(found.before)
        if found.before != found.best.variant and before is not None:
            self.changes.setdefault((found.before, found.best.variant), []).append(before / found.best.seconds)

    def changed(self) -> str:
        """Say what is faster than what was chosen before."""
        by_count = sorted(self.changes.items(), key=lambda item: -len(item[1]))
        return ", ".join(f"{a} → {b} {len(gains)} ({statistics.median(gains):.2f} x)" for (a, b), gains in by_count)


class Run:
    """One tune, whose measurements go to a file as they are made."""

    def __init__(self, path: Path, session: dict[str, Any], timeout: float, again: bool) -> None:
        self.path, self.session, self.timeout, self.again = path, session, timeout, again
        self.operations: dict[str, Findings] = {}
        self.interrupted = False
        self.table = table.add(path, machine.machine(), [])  # refuses at once what cannot be written to

    def measure(self, operations: Sequence[str], seconds: float) -> None:
        """Measure calls of these operations for so many seconds, each for its share of what is left."""
        from kernels._measure.plan import breadth

        weights = {operation: breadth(registry.contract(operation)) for operation in operations}
        self.started = time.monotonic()
        end = self.started + seconds
        with bars(TimeRemainingColumn) as self.bar, closing(Child("Tuning", self.session, self.timeout)) as self.child:
            self.task = self.bar.add_task("starting", total=seconds)
            for operation in operations:
                now, left = time.monotonic(), sum(weights.values())
                self._measure(operation, now + (end - now) * weights.pop(operation) / left)

    def _measure(self, operation: str, end: float) -> None:
        """Measure calls of an operation's plan, one after another, until its time is over."""
        known = [entry for entry in self.table.entries if entry.operation == operation]
        findings = self.operations[operation] = Findings()
        begun = False
        for index in itertools.count():
            if time.monotonic() >= end:
                return
            try:
                if not begun:
                    self.child.ask("begin", operation, known, self.again)
                    begun = True
                title, found, where = self.child.ask("measure", index)
            except Died as error:
                findings.wrong.append(f"call {index} of the plan: {error}")
                begun = False  # another process takes over
                continue
            self.bar.update(self.task, completed=time.monotonic() - self.started, description=f"{operation}: {title}")
            if found is not None:
                self.table = table.add(self.path, where, [*found.entries, *found.refused])
                known += found.entries
                findings.add(found)

    def as_json(self) -> dict[str, Any]:
        """Return all that was found, but for the entries, which are in the file."""
        return {
            "path": str(self.path),
            "interrupted": self.interrupted,
            "machine": self.table.machine,
            "entries": len(self.table.entries),
            "operations": {
                name: {
                    "calls": found.calls,
                    "left_out": found.left_out,
                    "fastest": found.wins,
                    "changes": [
                        {"before": before, "fastest": after, "calls": len(gains), "median_ratio": statistics.median(gains)}
                        for (before, after), gains in found.changes.items()
                    ],
                    "wrong": found.wrong,
                }
                for name, found in self.operations.items()
            },
        }

    def show(self) -> None:
        """Print what was found."""
        shown = RichTable(title="fastest here, by calls", title_justify="left")
        for heading in ("operation", "calls", "too long", "fastest", "faster than the choice before"):
            shown.add_column(heading, justify="right" if heading in ("calls", "too long") else "left")
        for name, found in self.operations.items():
            wins = ", ".join(f"{variant} {count}" for variant, count in found.wins.most_common())
            shown.add_row(name, str(found.calls), str(found.left_out), wins, found.changed())
        print_table(shown)
        for name, found in self.operations.items():
            for line in found.wrong:
                click.echo(f"{name}: WRONG, {line}")
        click.echo(f"{len(self.table.entries)} measurements in {self.path}")
