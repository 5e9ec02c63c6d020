"""The options that say which call of an operation a command is about."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import registry

LARGEST = 2**59  # entries of an array; beyond that its bytes have no address


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


SHAPE = click.option(
    "--shape", default="", metavar="EXTENTS", help="A call of this shape, whatever its arrays hold: m=256,k=64,n=256."
)


def example(
    operation: str,
    size: str | None,
    file: Path | None,
    columns: str,
    sample: int,
    dtype: str,
    changes: tuple[str, ...],
    shape: str = "",
) -> Any:
    """Return the call that the options ask for, as a `kernels._definition.examples.Example`."""
    contract: Any = registry.contract(operation)
    parameters = _parameters(contract, changes)
    if shape:
        from kernels._measure.plan import Planned

        extents, likes = _extents(contract, shape, size or file or columns)
        if 0 in extents.values():
            raise click.UsageError(f"--shape {shape}: expected extents of at least 1; in empty arrays there is nothing to time")
        try:
            return Planned(dtype, {"batch": 1} | extents | likes, parameters, left_out=bool(likes)).example(contract)
        except MemoryError as error:
            raise click.UsageError(f"--shape {shape}: memory lacks for such arrays ({error}); choose smaller extents") from None
    if columns and file is None:
        raise click.UsageError("--columns chooses among the columns of a file, and there is none")
    if file is not None:
        if size:
            raise click.UsageError("--size and --input exclude each other")
        if sample < 0:
            raise click.UsageError(f"--sample {sample}: expected a number of rows, or 0 for all")
        import numpy as np

        from kernels import _inputs

        arrays = _inputs.read(file, columns, tell=functools.partial(click.echo, err=True))
        try:
            with np.errstate(over="raise"):
                call = contract.from_file(arrays, sample=sample, dtype=dtype, **parameters)
        except FloatingPointError:
            raise click.UsageError(f"--input {file}: its numbers are beyond the range of {dtype}; rescale them") from None
        return call._replace(title=f"{file.name}, {call.title}")
    size = size or "lecture"
    if size not in contract.SIZES:
        raise click.UsageError(f"{operation}: no size {size!r} (there are: {', '.join(contract.SIZES)})")
    return contract.example(size, dtype=dtype, **parameters)


def of_shape(operation: str, shape: str, dtype: str, changes: tuple[str, ...], **others: Any) -> Any:
    """Return a call whose arrays have the extents that `--shape` names, and take the memory of one entry."""
    from kernels._costs import calls
    from kernels._definition.examples import Example

    contract: Any = registry.contract(operation)
    extents, likes = _extents(contract, shape, others["size"] or others["file"] or others["columns"])
    given = _parameters(contract, changes)
    stated = (*contract.DISCRETE, *contract.LEFT_OUT)
    discrete = {key: given.get(key, contract.signature.parameters[key].default) for key in stated}
    extents = {"batch": 1} | extents | likes
    args, kwargs = calls.stand_ins(contract, calls.Call(dtype, extents, discrete, {}))
    named = dict(zip(contract.signature.public.parameters, args, strict=False)) | kwargs | given
    args, kwargs = contract.signature.as_call(named)
    return Example(args, kwargs, ", ".join(f"{key}={value}" for key, value in extents.items() if (key, value) != ("batch", 1)))


def _extents(contract: Any, shape: str, excluded: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Return the extents that `--shape` names, and those of arrays that are left out, which are like others.

    What `--shape` excludes must be empty.
    """
    if excluded:
        raise click.UsageError("--shape stands for a call by itself: it excludes --size, --input and --columns")
    known = dict.fromkeys(extent for array in contract.signature.arrays.values() for extent in array.extents)
    if any(array.batch for array in contract.signature.arrays.values()):
        known["batch"] = None
    extents: dict[str, int] = {}
    for part in shape.split(","):
        key, _, value = part.strip().partition("=")
        if key not in known or not value.isdecimal():
            raise click.UsageError(
                f"--shape {shape}: expected whole numbers for {', '.join(known)}, such as {next(iter(known))}=64"
            )
        if key in extents:
            raise click.UsageError(f"--shape {shape}: {key} comes twice")
        extents[key] = int(value)
    lacking = [key for key in known if key not in extents and key != "batch"]
    same = contract.signature.same_extents()
    likes = {key: extents[same[key]] for key in lacking if same.get(key) in extents}
    if left := [key for key in lacking if key not in likes]:
        raise click.UsageError(f"--shape {shape}: {contract.operation} has further extents: {', '.join(left)}")
    sizes = {"batch": 1} | extents | likes
    for array in contract.signature.arrays.values():
        if math.prod(sizes.get(extent, 1) for extent in ("batch", *array.extents)) > LARGEST:
            raise click.UsageError(f"--shape {shape}: expected arrays of at most {LARGEST} entries")
    return extents, likes


def _parameters(contract: Any, changes: tuple[str, ...]) -> dict[str, float | str]:
    """Read the pairs of --set; refuse what the operation has no parameter for."""
    parameters: dict[str, float | str] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise click.UsageError(f"--set {change}: expected KEY=VALUE, such as bandwidth=8")
        if key not in contract.signature.parameters:
            raise click.UsageError(f"--set {change}: {contract.operation} has no parameter {key} to set")
        try:
            parameters[key] = float(value)
        except ValueError:
            parameters[key] = {"True": True, "False": False}.get(value, value)
    return parameters
