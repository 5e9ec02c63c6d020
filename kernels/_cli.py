"""The command `kernel-zoo`."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import registry
from registry import Variant

OPERATION = click.argument("operation", metavar="OP")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def main() -> None:
    """Run the command; whatever goes wrong is one clear line and an exit code: 1 refused, 2 misused, 130 interrupted."""
    try:
        sys.exit(cli.main(prog_name="kernel-zoo", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("kernel-zoo: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left: `kernel-zoo list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        # What refuses says what it refuses; anything else is known by its type.
        refusals = (
            registry.UnknownOperation,
            registry.UnknownVariant,
            ValueError,
            TypeError,
            RuntimeError,
            AssertionError,
            OSError,
        )
        kind = "" if isinstance(error, refusals) else f"{type(error).__name__}: "
        print(f"kernel-zoo: {kind}{error}", file=sys.stderr)
        sys.exit(1)


EXAMPLES = """\b
kernel-zoo list                            what there is
kernel-zoo compare matmul                  check and time every variant
kernel-zoo compare meanshift_step --input points.csv
kernel-zoo show matmul einsum              all about one variant
kernel-zoo explain matmul                  which variant get("matmul") would take, and why
kernel-zoo check matmul mypackage:matmul   hold your own function to the contract
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXAMPLES)
@click.version_option(registry.__version__, prog_name="kernel-zoo")
def cli() -> None:
    """Hold every implementation of an operation to one contract, and see which is fast here."""


def _print(table: Table) -> None:
    """Print a table as wide as it is where nobody watches, so that no name is cut."""
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(table)


def _facts(variant: Variant) -> dict[str, Any]:
    return {
        "operation": variant.operation,
        "name": variant.name,
        "device": variant.device,
        "framework": variant.framework,
        "arrays": variant.arrays,
        "layout": variant.layout,
        "available": variant.available,
        "reason": variant.reason,
        "simulated": _simulated(variant),
        "requires": list(variant.requires),
        "dtypes": list(variant.dtypes),
        "options": dict(variant.options),
        "precision": variant.precision,
        "deterministic": variant.deterministic,
        "rank": variant.rank,
        "limits": dict(variant.limits),
        "source": variant.source,
        "doc": variant.doc,
    }


def _simulated(variant: Variant) -> bool:
    """Whether the tests run it without its device: Numba's simulator and Triton's interpreter stand in for one."""
    return variant.device == "cuda" and not {"numba", "triton"}.isdisjoint(variant.requires)


@cli.command("list")
@click.argument("operation", metavar="[OP]", required=False)
@JSON
def list_(operation: str | None, as_json: bool) -> None:
    """List operations and variants by rank, the unavailable ones with the reason."""
    names = (operation,) if operation else registry.operations()
    found = {name: registry.variants(name) for name in names}
    if not operation:
        for name, reason in registry.broken_operations().items():
            click.echo(f"{name}: not an operation: {reason}", err=as_json)
    if as_json:
        click.echo(json.dumps([_facts(variant) for variants in found.values() for variant in variants], indent=2))
        return
    for name, variants in found.items():
        table = Table("variant", "device", "framework", "idea", title=f"{name}: {registry.summary(name)}", title_justify="left")
        for variant in variants:
            idea = (
                variant.doc.partition("\n")[0]
                if variant.available
                else f"unavailable{', tested by simulation' if _simulated(variant) else ''}: {variant.reason}"
            )
            table.add_row(variant.name, variant.device, variant.framework, idea, style=None if variant.available else "dim")
        _print(table)


@cli.command()
@OPERATION
@click.argument("variant")
@JSON
def show(operation: str, variant: str, as_json: bool) -> None:
    """Show all about one variant, and time its first call in two new processes: imports and compilation, then from the cache."""
    from kernels import _measure

    chosen = registry.variant(operation, variant)
    facts = _facts(chosen)
    if not as_json:
        for key, value in facts.items():
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"{key + ':':15}{'-' if text in (None, '', {}) else text}")
    times = _measure.first_calls(chosen) if chosen.available and chosen.module else None
    if as_json:
        click.echo(json.dumps({**facts, "first_call_seconds": times}, indent=2))
    elif times:
        once, again = map(_measure.duration, times)
        click.echo(f"{'first call:':15}{once} with its imports and whatever it compiles, {again} in the next process")


def _example_options(command: Callable[..., Any]) -> Callable[..., Any]:
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


def _example(
    operation: str, size: str | None, file: Path | None, columns: str, sample: int, dtype: str, changes: tuple[str, ...]
) -> Any:
    contract: Any = registry.contract(operation)
    parameters = _parameters(operation, contract.from_file if file else contract.example, changes)
    if columns and file is None:
        raise click.UsageError("--columns chooses among the columns of --input, and there is none")
    if file is not None:
        if size:
            raise click.UsageError("--size and --input exclude each other")
        if sample < 0:
            raise click.UsageError(f"--sample {sample}: expected a number of rows, or 0 for all")
        from kernels import _inputs

        arrays = _inputs.read(file, columns, tell=functools.partial(click.echo, err=True))
        example = contract.from_file(arrays, sample=sample, dtype=dtype, **parameters)
        return example._replace(title=f"{file.name}, {example.title}")
    size = size or "lecture"
    if size not in contract.SIZES:
        raise click.UsageError(f"{operation}: no size {size!r} (there are: {', '.join(contract.SIZES)})")
    return contract.example(size, dtype=dtype, **parameters)


def _parameters(operation: str, make: Callable[..., Any], changes: tuple[str, ...]) -> dict[str, float | str]:
    """Read the pairs of --set; refuse what the contract's `make` has no parameter for, or takes from another option."""
    accepted = inspect.signature(make).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    parameters: dict[str, float | str] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise click.UsageError(f"--set {change}: expected KEY=VALUE, such as bandwidth=8")
        if key in ("arrays", "size", "sample", "dtype", "seed") or not (takes_any or key in accepted):
            raise click.UsageError(f"--set {change}: {operation} has no parameter {key} to set")
        try:
            parameters[key] = float(value)
        except ValueError:
            parameters[key] = value
    return parameters


@cli.command()
@OPERATION
@_example_options
@click.option("--selector", default="auto", show_default=True, help="A variant, a device (cpu, cuda), or auto.")
@JSON
def explain(operation: str, selector: str, as_json: bool, **options: Any) -> None:
    """Say which variant a call would run, and why not the others."""
    example = _example(operation, **options)
    explanation = registry.explain(operation, *example.args, selector=selector, **example.kwargs)
    if as_json:
        considered = [{"variant": v.name, "rejected": reason} for v, reason in explanation.considered]
        chosen = explanation.chosen and explanation.chosen.name
        click.echo(
            json.dumps({"operation": operation, "selector": selector, "chosen": chosen, "considered": considered}, indent=2)
        )
    else:
        click.echo(f"{example.title}\n{explanation}")
    if explanation.chosen is None:
        sys.exit(1)


@cli.command()
@OPERATION
@_example_options
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the ladder: FILE.png or FILE.svg.")
@click.option(
    "--limit",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Skip a variant whose run would take more seconds than this.",
)
@JSON
def compare(operation: str, plot: Path | None, limit: float, as_json: bool, **options: Any) -> None:
    """Check every variant against the reference, then time those that pass, in turns.

    The ladder runs from the slowest to the fastest. "of bound" is the largest error as a share of what rounding
    allows: at most 100 % for a right result. Exits with 1 if a variant is wrong.
    """
    if plot and plot.suffix.lower() not in (".png", ".svg"):
        raise click.UsageError(f"--plot {plot}: expected a name that ends in .png or .svg")
    if plot and not plot.absolute().parent.is_dir():
        raise click.UsageError(f"--plot {plot}: there is no folder {plot.absolute().parent}")
    if plot and registry.missing("matplotlib"):
        raise click.UsageError(f"--plot {registry.missing('matplotlib')}")
    example = _example(operation, **options)
    from kernels import _measure

    trial = _measure.Trial(registry.contract(operation), example, options["dtype"])
    every = _measured(operation, trial, limit)
    timed = sorted((m for m in every if m.status == "timed"), key=lambda m: -m.median)
    untimed = [m for m in every if m.status != "timed"]
    title = f"{operation}, {example.title}, {trial.dtype}"
    if as_json:
        about = {"operation": operation, "example": example.title, "dtype": trial.dtype}
        about |= {"rows_checked": len(trial.checked), "rows_in_all": len(example.args[0])}
        rows = [_row(m, timed[0].median if timed else 0, trial.unit) for m in timed + untimed]
        click.echo(json.dumps(about | {"environment": _measure.environment(), "rows": rows}, indent=2))
    else:
        _show_ladder(timed, untimed, trial.unit, f"{title}; {len(trial.checked)} of {len(example.args[0])} rows checked")
    if plot and timed:
        from kernels import _plot

        _plot.ladder(timed, title, plot)
        click.echo(f"wrote {plot}", err=True)
    if any(m.status == "wrong" for m in every):
        sys.exit(1)


def _show_ladder(timed: list[Any], untimed: list[Any], unit: str, title: str) -> None:
    from kernels import _measure

    table = Table(title=title, title_justify="left")
    table.add_column("variant")
    for heading in ("median", "x slowest", "x before", "rate", "of bound"):
        table.add_column(heading, justify="right")
    for m, before in zip(timed, timed[:1] + timed, strict=False):
        table.add_row(
            m.variant.name,
            _measure.duration(m.median),
            f"{timed[0].median / m.median:,.4g}",
            f"{before.median / m.median:.3g}",
            _measure.rate(m.rate, unit),
            f"{m.agreement.share:.1%}",
        )
    names_for: dict[str, list[str]] = {}
    for m in untimed:
        if m.status == "wrong":
            table.add_row(m.variant.name, "WRONG", style="red")
        names_for.setdefault(f"{'WRONG' if m.status == 'wrong' else m.status}, {m.reason}", []).append(m.variant.name)
    _print(table)
    for reason, names in names_for.items():
        click.echo(f"{', '.join(names)}: {reason}")
    where = _measure.environment()
    packages = ", ".join(f"{name} {version}" for name, version in where["packages"].items() if version)
    click.echo(f"{where['processor']}, {where['cores']} cores, Python {where['python']}, {packages}, commit {where['commit']}")


def _measured(operation: str, trial: Any, limit: float) -> list[Any]:
    """Admit and time all variants behind a progress bar on standard error."""
    from rich.progress import Progress

    from kernels import _measure

    variants = registry.variants(operation)
    every, passed = [], []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        checking = progress.add_task("checking", total=len(variants))
        for measurement, function in _measure.admit(trial, variants, limit):
            every.append(measurement)
            if function:
                passed.append((measurement, function))
            progress.update(checking, advance=1, description=f"checked {measurement.variant.name}")
        timing = progress.add_task("timing", total=len(passed) * _measure.ROUNDS[1])
        for measurement in _measure.time_in_turns(trial, passed):
            progress.update(timing, advance=1, description=f"timing {measurement.variant.name}")
    return every


def _row(m: Any, slowest: float, unit: str) -> dict[str, Any]:
    row = {"variant": m.variant.name, "status": m.status, "reason": m.reason or None}
    if m.agreement is not None:
        row["error_over_bound"] = m.agreement.share
    if m.status == "timed":
        row |= {"median_seconds": m.median, "samples": m.samples, "speedup_over_slowest": slowest / m.median}
        row |= {"rate": m.rate, "rate_unit": f"{unit}/s"}
    return row


@cli.command()
@OPERATION
@click.argument("target")
@click.option("--device", type=click.Choice(list(registry.DEVICES)), help="Where a function claims to run; cpu if not given.")
@click.option("--dtype", "dtypes", multiple=True, help="A dtype a function claims to take (repeat for more).")
@click.option("--examples", default=100, show_default=True, type=click.IntRange(min=1), help="Examples drawn for each property.")
@click.option("--seed", default=0, show_default=True, help="The same seed draws the same examples.")
@click.option(
    "--stats", is_flag=True, help="Show how hard each property looked: time, largest extent, tiles crossed, vacuous bounds."
)
@JSON
def check(
    operation: str, target: str, device: str | None, dtypes: tuple[str, ...], examples: int, seed: int, stats: bool, as_json: bool
) -> None:
    """Hold TARGET, a variant or package.module:function, to the operation's contract. Exits with 1 on refusal."""
    if registry.missing("hypothesis"):
        raise click.UsageError(f"check {registry.missing('hypothesis')}")
    if ":" not in target and (device or dtypes):
        raise click.UsageError(f"--device and --dtype are a function's claims; what the variant {target} claims is registered")
    from kernels import _conformance, _targets

    show = functools.partial(click.echo, err=as_json)
    if ":" in target:
        show(f"{target} held to the contract of {operation}:")  # before its first call, which may hang
    with redirect_stdout(sys.stderr):
        subject = _targets.subject(operation, target, device or "cpu", dtypes or None)
    rows = []
    explained: set[str] = set()
    for property_ in _conformance.all_properties(subject.contract):
        show(f"{property_.__name__:40} ", nl=False)
        row: dict[str, Any] = {"property": property_.__name__, "passed": True, "failure": None}
        try:
            with redirect_stdout(sys.stderr):
                record = _conformance.run(property_, subject, examples, seed)
        except registry.ConformanceError as error:
            failure = str(error)
            row |= {"passed": False, "failure": failure}
            first, what = failure.splitlines()[0], failure.partition(" failed: ")[2].partition("\nsmallest failing example: ")[0]
            show(f"refused\n{first if what in explained else failure}")
            explained.add(what)
        else:
            row |= _seen(record)
            show(_verdict(record, stats))
        rows.append(row)
    passed = all(row["passed"] for row in rows)
    if as_json:
        click.echo(json.dumps({"operation": operation, "target": target, "passed": passed, "properties": rows}, indent=2))
    show(f"{target}: {'conforms' if passed else 'REFUSED'}")
    if not passed:
        sys.exit(1)


def _seen(record: Any) -> dict[str, Any]:
    return {
        "examples": record.examples,
        "worst_error_over_bound": record.worst if record.entries else None,
        "seconds": record.seconds,
        "largest_extent": record.largest,
        "tile_crossings": record.crossings,
        "vacuous_share": record.vacuous_share,
    }


def _verdict(record: Any, stats: bool) -> str:
    worst = f"{record.worst:4.0%} of bound" if record.entries else "   -"
    verdict = f"{record.examples:5} examples, worst error {worst}"
    if stats:
        verdict += f", {record.seconds:5.1f} s, extents to {record.largest}, "
        verdict += f"{record.crossings} across tiles, {record.vacuous_share:.1%} vacuous"
    return verdict
