"""`kernel-zoo explain`."""

from __future__ import annotations

import sys
from typing import Any

import click

import registry
from kernels._cli.inputs import example, example_options
from kernels._cli.text import JSON, OPERATION, dumps


@click.command()
@OPERATION
@example_options
@click.option("--selector", default="auto", show_default=True, help="A variant, a device (cpu, cuda), or auto.")
@JSON
def explain(operation: str, selector: str, as_json: bool, **options: Any) -> None:
    """Say which variant a call would run, and why not the others."""
    call = example(operation, **options)
    explanation = registry.explain(operation, *call.args, selector=selector, **call.kwargs)
    if as_json:
        considered = [{"variant": v.name, "rejected": reason} for v, reason in explanation.considered]
        chosen = explanation.chosen and explanation.chosen.name
        click.echo(dumps({"operation": operation, "selector": selector, "chosen": chosen, "considered": considered}))
    else:
        click.echo(f"{call.title}\n{explanation}")
    if explanation.chosen is None:
        sys.exit(1)
