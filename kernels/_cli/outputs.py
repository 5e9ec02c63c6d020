"""The files that commands write: refused before anything is computed, and written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from kernels._cli.text import console

OUTPUT = click.Path(path_type=Path, dir_okay=False)


def require_writable(option: str, output: Path, suffixes: tuple[str, ...], read: Path | None = None) -> None:
    """Refuse a name with another suffix, a folder that is not there or not to be written in, and the file that is `read`."""
    if output.suffix.lower() not in suffixes:
        wanted = (" or " if len(suffixes) == 2 else ", ").join(suffixes)
        raise click.UsageError(f"{option} {output}: expected a name that ends in {wanted}")
    folder = output.absolute().parent
    if not folder.is_dir():
        raise click.UsageError(f"{option} {output}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise click.UsageError(f"{option} {output}: no files may be written in the folder {folder}")
    if read is not None and output.exists() and output.samefile(read):
        raise click.UsageError(f"{option} {output}: this is the file that is read; choose another name")


@contextmanager
def atomic_write(output: Path) -> Iterator[Path]:
    """Give a name beside the output to write to; what is written there takes the output's name if nothing was raised."""
    unfinished = output.with_name(f".{output.name}.unfinished{output.suffix.lower()}")
    try:
        yield unfinished
        os.replace(unfinished, output)
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        unfinished.unlink(missing_ok=True)


def bars(clock: type[ProgressColumn] = TimeElapsedColumn) -> Progress:
    """Return bars on stderr, where somebody watches it; they disappear when they are done."""
    columns, where = (TextColumn("{task.description}", markup=False), BarColumn(), clock()), console(stderr=True)
    return Progress(*columns, console=where, transient=True, disable=not where.is_terminal)
