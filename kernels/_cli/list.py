"""`kernel-zoo list`, and the facts of a variant that `show` prints too."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

import registry
from kernels._cli.text import JSON, dumps, print_reasons, print_table
from registry import Variant

FACTS = ("operation", "name", "device", "framework", "arrays", "layout", "available", "reason", "simulated", "requires", "dtypes",
         "options", "precision", "deterministic", "rank", "limits", "source", "doc")  # fmt: skip


def facts(variant: Variant) -> dict[str, Any]:
    """Return all that is declared of a variant, and whether it can run here."""
    return {name: _simulated(variant) if name == "simulated" else getattr(variant, name) for name in FACTS}


def _simulated(variant: Variant) -> bool:
    """Whether the tests run it without its device: Numba's simulator and Triton's interpreter stand in for one."""
    return variant.device == "cuda" and not {"numba", "triton"}.isdisjoint(variant.requires)


@click.command("list")
@click.argument("operation", metavar="[OP]", required=False)
@JSON
@click.option("--markdown", "as_markdown", is_flag=True, help="Print what is true on every machine, as Markdown.")
def list_(operation: str | None, as_json: bool, as_markdown: bool) -> None:
    """List operations and variants by rank, the unavailable ones with the reason."""
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    names = (operation,) if operation else registry.operations()
    found = {name: registry.variants(name) for name in names}
    if not operation:
        for name, reason in registry.broken_operations().items():
            click.echo(f"{name}: not an operation: {reason}", err=as_json or as_markdown)
    if as_json:
        click.echo(dumps([facts(variant) for variants in found.values() for variant in variants]))
        return
    if as_markdown:
        click.echo("\n\n".join(_markdown(name, variants) for name, variants in found.items()))
        return
    for name, variants in found.items():
        _show(f"{name}: {registry.summary(name)}", variants)


def _show(title: str, variants: tuple[Variant, ...]) -> None:
    """Print the ideas of all variants, then each reason why some cannot run here, once."""
    table = Table("variant", "device", "framework", "runs here", "idea", title=title, title_justify="left")
    for variant in variants:
        here = "yes" if not variant.reason else "simulated" if _simulated(variant) else "no"
        style = "dim" if variant.reason else None
        table.add_row(variant.name, variant.device, variant.framework, here, variant.doc.partition("\n")[0], style=style)
    print_table(table)
    print_reasons((variant.name, f"unavailable, {variant.reason}") for variant in variants if variant.reason)


def _markdown(operation: str, variants: tuple[Variant, ...]) -> str:
    """Return a section with a table of what is declared of each variant, by rank."""
    rows = [("variant", "device", "arrays", "precision", "idea"), ("---",) * 5]
    for v in variants:
        idea = v.doc.partition("\n")[0].removeprefix(operation).lstrip(" ,")
        rows.append((f"`{v.name}`", v.device, v.arrays, v.precision, idea))
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"### {operation}", "", registry.summary(operation), "", *table])
