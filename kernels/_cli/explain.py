"""`kernel-zoo explain`."""

from __future__ import annotations

import sys
from typing import Any

import click

import registry
from kernels._cli.inputs import SHAPE, example, example_options, of_shape
from kernels._cli.text import JSON, OPERATION, dumps


@click.command()
@OPERATION
@example_options
@SHAPE
@click.option("--selector", default="auto", show_default=True, help="A variant, a device (cpu, cuda), or auto.")
@click.option("--precision", default=None, metavar="CLASS", help="The weakest class of error that will do, such as working.")
@JSON
def explain(operation: str, shape: str, selector: str, precision: str | None, as_json: bool, **options: Any) -> None:
    """Say which variant a call would run, what each would take, and why not the others; nothing runs."""
    from kernels import _dispatch  # loads NumPy, which the list of commands does without

    call = of_shape(operation, shape, **options) if shape else example(operation, **options)
    explanation = _dispatch.explain(
        registry.zoo(), operation, selector, call.args, call.kwargs, precision=precision, looks=not shape
    )
    if as_json:
        considered: list[dict[str, Any]] = [{"variant": v.name, "rejected": reason} for v, reason in explanation.considered]
        for row, cost in zip(considered, explanation.costs, strict=True):
            row |= cost._asdict() if cost else {}
        chosen = explanation.chosen and explanation.chosen.name
        facts = {"operation": operation, "selector": selector, "chosen": chosen, "considered": considered}
        click.echo(dumps({**facts, "notes": explanation.notes}))
    else:
        click.echo(f"{call.title}\n{explanation}")
    if explanation.chosen is None:
        sys.exit(1)
