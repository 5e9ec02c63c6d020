"""`kernel-zoo compare`."""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress
from rich.table import Table

import registry
from kernels._cli.child import TIMEOUT, Child, Died
from kernels._cli.inputs import SHAPE, example_options
from kernels._cli.limits import Seconds
from kernels._cli.outputs import OUTPUT, atomic_write, bars, require_writable
from kernels._cli.text import JSON, OPERATION, dumps, print_reasons, print_table, require
from registry import Variant


@click.command()
@OPERATION
@example_options
@SHAPE
@click.option("--plot", type=OUTPUT, help="Draw the ladder: FILE.png or FILE.svg.")
@click.option(
    "--limit",
    default=10.0,
    show_default=True,
    type=Seconds(),
    help="Skip a variant whose run would take more seconds than this.",
)
@TIMEOUT
@JSON
def compare(operation: str, plot: Path | None, limit: float, timeout: float, as_json: bool, **options: Any) -> None:
    """Check every variant against the reference, then time those that pass, their samples interleaved.

    The ladder runs from the slowest to the fastest. "spread" is how far the middle half of the samples lies apart, as a share
    of the median. "of bound" is the largest error as a share of what rounding allows: at most 100 % for a right result, and
    results of the timed runs count. Exits with 1 if a variant is wrong.
    """
    if plot:
        require_writable("--plot", plot, (".png", ".svg"), options["file"])
        require("--plot", "matplotlib")
    from kernels import _measure

    variants, busy = registry.variants(operation), _measure.busy()
    with closing(Comparison(operation, options, limit, timeout)) as comparison:
        about = comparison.about()
        comparison.measure(variants)
    every = comparison.measurements
    timed = sorted((m for m in every if m.status == "timed"), key=lambda m: -m.median)
    untimed = [m for m in every if m.status != "timed"]
    title = f"{operation}, {about['example']}, {about['dtype']}"
    unit = about.pop("unit")
    where = _measure.environment() | {"busy": busy}
    if as_json:
        rows = [_row(m, timed[0].median if timed else 0, unit) for m in timed + untimed]
        click.echo(dumps(about | {"interrupted": comparison.interrupted, "environment": where, "rows": rows}))
    elif timed or not comparison.interrupted:
        _show_ladder(timed, untimed, unit, f"{title}; {about['rows_checked']} of {about['rows_in_all']} rows checked")
        _show_environment(where)
    if comparison.interrupted:
        raise KeyboardInterrupt
    if plot and timed:
        from kernels._measure import plots

        with atomic_write(plot) as unfinished:
            plots.ladder(timed, title, unfinished)
        click.echo(f"wrote {plot}", err=True)
    if any(m.status == "wrong" for m in every):
        sys.exit(1)


class Comparison:
    """The measurements of all variants, made in processes of their own, which `close` ends.

    The variants of one file outside of the zoo share a process, and so do all of the zoo's own. A process that dies costs the
    variant that it was asked about; for the others another process takes over.
    """

    def __init__(self, operation: str, options: dict[str, Any], limit: float, timeout: float) -> None:
        session = {"operation": operation, "options": options}
        self.children = defaultdict[str, Child](lambda: Child("Comparing", session, timeout))
        self.limit = limit
        self.measurements: list[Any] = []
        self.interrupted = False

    def close(self) -> None:
        """End the processes."""
        for child in self.children.values():
            child.close()

    def about(self) -> dict[str, Any]:
        """Return what the comparison is on."""
        about: dict[str, Any] = self.children[""].ask("about")
        return about

    def measure(self, variants: tuple[Variant, ...]) -> None:
        """Check and time the variants behind a progress bar on standard error; Ctrl-C leaves what was measured until then."""
        try:
            with bars() as progress:
                self._measure(variants, progress)
        except KeyboardInterrupt:
            self.interrupted = True
        for m in self.measurements:
            if m.status == "timed" and not m.samples:
                m.status, m.reason = "skipped", "interrupted before it was timed"

    def _measure(self, variants: tuple[Variant, ...], progress: Progress) -> None:
        from kernels._measure import SAMPLES

        checking = progress.add_task("checking", total=len(variants))
        for variant in variants:
            progress.update(checking, description=f"checking {variant.name}")
            self.measurements.append(self._qualify(variant))
            progress.advance(checking)
        passed = [i for i, m in enumerate(self.measurements) if m.status == "timed"]
        timing = progress.add_task("timing", total=len(passed) * SAMPLES[1])
        for index in range(SAMPLES[1]):
            for i in passed:
                progress.update(timing, advance=1, description=f"timing {self.measurements[i].variant.name}")
                self._take(i, index)

    def _qualify(self, variant: Variant) -> Any:
        from kernels._measure import Measurement

        if variant.reason:
            return Measurement(variant, "unavailable", variant.reason)
        try:
            return self._ask(variant, "qualify", variant.name, self.limit)
        except Died as error:
            return Measurement(variant, "wrong", str(error))

    def _take(self, i: int, index: int) -> None:
        measurement = self.measurements[i]
        if measurement.status == "timed":
            try:
                self.measurements[i] = self._ask(measurement.variant, "take", measurement, index) or measurement
            except Died as error:
                measurement.reject(f"in a timed run, {error}")

    def _ask(self, variant: Variant, method: str, *args: Any) -> Any:
        try:
            return self.children[_group(variant)].ask(method, *args, file=variant.file)
        except Died as error:
            raise error if error.place else Died(str(error), variant.source) from None


def _group(variant: Variant) -> str:
    """Return what the variants that share a process have in common."""
    return "" if Path(variant.file).is_relative_to(Path(registry.__file__).parent / "kernels") else variant.file


def _show_ladder(timed: list[Any], untimed: list[Any], unit: str, title: str) -> None:
    from kernels import _measure

    table = Table(title=title, title_justify="left")
    table.add_column("variant")
    for heading in ("median", "spread", "x slowest", "x before", "rate", "of bound"):
        table.add_column(heading, justify="right")
    for m, before in zip(timed, timed[:1] + timed, strict=False):
        table.add_row(
            m.variant.name,
            _measure.duration(m.median),
            "" if m.spread is None else f"{m.spread:.0%}",
            f"{timed[0].median / m.median:,.4g}",
            f"{before.median / m.median:.3g}",
            _measure.rate(m.rate, unit),
            f"{m.agreement.share:.1%}",
        )
    for m in untimed:
        if m.status == "wrong":
            table.add_row(m.variant.name, "WRONG", style="red")
    print_table(table)
    print_reasons((m.variant.name, f"{'WRONG' if m.status == 'wrong' else m.status}, {m.reason}") for m in untimed)


def _show_environment(where: dict[str, Any]) -> None:
    packages = [f"{name} {version}" for name, version in where["packages"].items() if version]
    commit = [f"commit {where['commit']}"] if where["commit"] else []
    click.echo(", ".join([where["processor"], f"{where['cores']} cores", f"Python {where['python']}", *packages, *commit]))
    if where["busy"]:
        click.echo(where["busy"])


def _row(m: Any, slowest: float, unit: str) -> dict[str, Any]:
    row = {"variant": m.variant.name, "status": m.status, "reason": m.reason or None}
    if m.agreement is not None:
        row["error_over_bound"] = m.agreement.share
    if m.status == "timed":
        row |= {"median_seconds": m.median, "spread": m.spread, "samples": m.samples, "speedup_over_slowest": slowest / m.median}
        row |= {"rate": m.rate, "rate_unit": f"{unit}/s"}
    return row
