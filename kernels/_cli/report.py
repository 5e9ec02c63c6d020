"""`kernel-zoo report`."""

from __future__ import annotations

import datetime
import os
import shlex
from pathlib import Path
from typing import Any

import click

import registry
from kernels._cli.inputs import same_extents

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
    text = _report.page(current(), found, registry.operations(), datetime.date.today(), repeat)
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)
    click.echo(f"wrote {output}", err=True)


def repeat(call: Any) -> str:
    """Return the command that measures a call of a page again: of the same shape, with contents of its own."""
    likes = same_extents(registry.contract(call.operation))
    left_out = all(call.extents.get(mine) == call.extents.get(other) for mine, other in likes.items())
    said = {k: v for k, v in call.extents.items() if (k, v) != ("batch", 1) and not (left_out and k in likes)}
    words = ["kernel-zoo", "compare", call.operation, "--shape", ",".join(f"{k}={v}" for k, v in said.items())]
    words += ["--dtype", call.dtype]
    words += [word for name, value in call.parameters.items() for word in ("--set", f"{name}={value}")]
    return shlex.join(words)
