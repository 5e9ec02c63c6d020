"""`kernel-zoo report`."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import click

import registry

RESULTS = Path(registry.__file__).parent / "bench" / "results"


@click.command()
@click.option("--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="What to write: FILE.html.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of what was recorded in a checkout (kill table, regret, rooflines); bench/results where there is one.",
)
def report(output: Path, results: Path | None) -> None:
    """Write what was measured here as one page of HTML, fit to be put on a web server.

    Nothing is measured: kernel-zoo tune does that. The page stands alone: it asks no server for anything, and holds no name of
    this machine or of a folder on it.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--output {output}: expected a name that ends in .html")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    for package in ("jinja2", "vl_convert"):
        if reason := registry.missing(package):
            raise click.UsageError(f"the page {reason}")
    from kernels import _report
    from kernels._costs.table import current

    found = results or (RESULTS if RESULTS.is_dir() else None)
    text = _report.page(current(), found, registry.operations(), datetime.date.today())
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)
    click.echo(f"wrote {output}", err=True)
