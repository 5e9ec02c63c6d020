"""The options that say which call of an operation a command is about."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

import registry


def example_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which arguments an operation is called with."""
    for option in reversed(
        (
            click.option(
                "--size", default=None, metavar="NAME", help="A named example: tiny, lecture (the default), medium, ..."
            ),
            click.option(
                "--input",
                "file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Your own data: .npy, .npz, a table (.csv, .csv.gz, .tsv, .parquet, ...), or a picture's pixels.",
            ),
            click.option(
                "--columns", default="", metavar="LIST", help="Columns of --input, by name or position from 1: height,3-5."
            ),
            click.option("--sample", default=2000, show_default=True, help="Rows taken at random from --input; 0 takes all."),
            click.option("--dtype", default="float32", show_default=True, type=click.Choice(["float32", "float64"])),
            click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A parameter, such as bandwidth=8."),
        )
    ):
        command = option(command)
    return command


def example(
    operation: str, size: str | None, file: Path | None, columns: str, sample: int, dtype: str, changes: tuple[str, ...]
) -> Any:
    """Return the call that the options ask for, as a `kernels._definition.examples.Example`."""
    contract: Any = registry.contract(operation)
    parameters = _parameters(operation, contract.signature.parameters, changes)
    if columns and file is None:
        raise click.UsageError("--columns chooses among the columns of --input, and there is none")
    if file is not None:
        if size:
            raise click.UsageError("--size and --input exclude each other")
        if sample < 0:
            raise click.UsageError(f"--sample {sample}: expected a number of rows, or 0 for all")
        from kernels import _inputs

        arrays = _inputs.read(file, columns, tell=functools.partial(click.echo, err=True))
        call = contract.from_file(arrays, sample=sample, dtype=dtype, **parameters)
        return call._replace(title=f"{file.name}, {call.title}")
    size = size or "lecture"
    if size not in contract.SIZES:
        raise click.UsageError(f"{operation}: no size {size!r} (there are: {', '.join(contract.SIZES)})")
    return contract.example(size, dtype=dtype, **parameters)


def _parameters(operation: str, known: Mapping[str, Any], changes: tuple[str, ...]) -> dict[str, float | str]:
    """Read the pairs of --set; refuse what the operation has no parameter for."""
    parameters: dict[str, float | str] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise click.UsageError(f"--set {change}: expected KEY=VALUE, such as bandwidth=8")
        if key not in known:
            raise click.UsageError(f"--set {change}: {operation} has no parameter {key} to set")
        try:
            parameters[key] = float(value)
        except ValueError:
            parameters[key] = value
    return parameters
