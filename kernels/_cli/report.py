"""`kernel-zoo report`."""

from __future__ import annotations

import datetime
import shlex
from pathlib import Path
from typing import Any

import click

import registry
from kernels._cli.outputs import OUTPUT, atomic_write, require_writable
from kernels._cli.text import require

RESULTS = Path(registry.__file__).parent / "bench" / "results"


@click.command()
@click.option("--output", required=True, type=OUTPUT, help="What to write: FILE.html.")
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
    require_writable("--output", output, (".html", ".htm"))
    require("the page", "jinja2", "vl_convert")
    from kernels import _report
    from kernels._costs.table import current

    found = results or (RESULTS if RESULTS.is_dir() else None)
    text = _report.page(current(), found, registry.operations(), datetime.date.today(), repeat)
    with atomic_write(output) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    click.echo(f"wrote {output}", err=True)


def repeat(call: Any) -> str:
    """Return the command that measures a call of a page again: of the same shape, with contents of its own."""
    likes = registry.contract(call.operation).signature.same_extents()
    left_out = all(call.extents.get(mine) == call.extents.get(other) for mine, other in likes.items())
    said = {k: v for k, v in call.extents.items() if (k, v) != ("batch", 1) and not (left_out and k in likes)}
    words = ["kernel-zoo", "compare", call.operation, "--shape", ",".join(f"{k}={v}" for k, v in said.items())]
    words += ["--dtype", call.dtype]
    words += [word for name, value in call.parameters.items() for word in ("--set", f"{name}={value}")]
    return shlex.join(words)
