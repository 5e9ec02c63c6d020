"""`kernel-zoo show`."""

from __future__ import annotations

import click

import registry
from kernels._cli.list import facts
from kernels._cli.text import JSON, OPERATION, dumps


@click.command()
@OPERATION
@click.argument("variant")
@JSON
def show(operation: str, variant: str, as_json: bool) -> None:
    """Show all about one variant, and time its first call in two new processes: imports and compilation, then from the cache."""
    from kernels import _measure

    chosen = registry.variant(operation, variant)
    about = facts(chosen)
    if not as_json:
        for key, value in about.items():
            text = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            click.echo(f"{key + ':':15}{'-' if text in (None, '', {}) else text}")
    times = _measure.first_calls(chosen) if chosen.available and chosen.module else None
    if as_json:
        click.echo(dumps({**about, "first_call_seconds": times}))
    elif times:
        once, again = map(_measure.duration, times)
        click.echo(f"{'first call:':15}{once} with its imports and whatever it compiles, {again} in the next process")
