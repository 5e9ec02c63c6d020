"""`kernel-zoo check`."""

from __future__ import annotations

import ast
import functools
import sys
from contextlib import closing
from typing import Any

import click

import registry
from kernels._cli.child import TIMEOUT, Child, Died
from kernels._cli.text import JSON, OPERATION, dumps, require

FIRST = "answers_a_first_call"  # stands for the properties of a function that ends its process before any can be asked


@click.command()
@OPERATION
@click.argument("target")
@click.option("--device", type=click.Choice(list(registry.DEVICES)), help="Where a function claims to run; cpu if not given.")
@click.option("--dtype", "dtypes", multiple=True, help="A dtype a function claims to take (repeat for more).")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="WORD=VALUE",
    help="What else a function claims, as `register` takes it: arrays=torch, layout=C, precision=wide, deterministic=False, "
    'or \'limits={"kernel": ("flat",)}\' (repeat for more).',
)
@click.option(
    "--bare", is_flag=True, help="Call the function as it is, as a user of the operation would, refusals and all kinds included."
)
@click.option("--examples", default=100, show_default=True, type=click.IntRange(min=1), help="Examples drawn for each property.")
@click.option("--seed", default=0, show_default=True, help="The same seed draws the same examples.")
@click.option(
    "--stats", is_flag=True, help="Show how hard each property looked: time, largest extent, tiles crossed, vacuous bounds."
)
@click.option("--all", "ask_all", is_flag=True, help="Ask the other properties too after one has refused.")
@TIMEOUT
@JSON
def check(
    operation: str,
    target: str,
    device: str | None,
    dtypes: tuple[str, ...],
    claims: tuple[str, ...],
    bare: bool,
    examples: int,
    seed: int,
    stats: bool,
    ask_all: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Hold TARGET, a variant or package.module:function, to the operation's contract. Exits with 1 on refusal.

    The first property that refuses ends the check, unless --all is given: one cause may show under all of them.
    """
    require("check", "hypothesis")
    given = {"device": device, "dtypes": dtypes, "bare": bare}
    claimed = {word: value for word, value in given.items() if value} | _claimed(claims)
    if ":" not in target and claimed:
        what = "--device, --dtype, --claim and --bare are a function's"
        raise click.UsageError(f"{what} claims; what the variant {target} claims is registered")
    show = functools.partial(click.echo, err=as_json)
    session = {"operation": operation, "target": target, "claims": claimed, "examples": examples, "seed": seed}
    if ":" in target:
        show(f"{target} held to the contract of {operation}:")  # before its first call, which may hang
    rows, not_asked = [], []
    explained: set[str] = set()
    source, properties, notes, died = "", [FIRST], [], None
    with closing(Child("Checking", session, timeout)) as child:
        try:
            source = child.ask("load")
            properties, notes = child.ask("prepare", file=_file(source))
        except Died as error:
            died = error
        for i, name in enumerate(properties):
            show(f"{name:40} ", nl=False)
            row = _ask(child, operation, name, source, died)
            rows.append(row)
            show(_verdict(row, stats) if row["passed"] else f"refused\n{_failure(row, explained)}")
            if not row["passed"] and not ask_all:
                not_asked = properties[i + 1 :]
                break
    passed = all(row["passed"] for row in rows)
    for note in notes:
        show(f"note: {note}")
    if not_asked:
        show(f"{len(not_asked)} further properties were not asked; --all asks them too")
    if as_json:
        about = {
            "operation": operation,
            "target": target,
            "passed": passed,
            "properties": rows,
            "not_asked": not_asked,
            "notes": notes,
        }
        click.echo(dumps(about))
    show(f"{target}: {'conforms' if passed else 'REFUSED'}")
    if not passed:
        sys.exit(1)


def _claimed(claims: tuple[str, ...]) -> dict[str, Any]:
    """Read claims as a register line has them; a value that is no literal is a name."""
    read: dict[str, Any] = {}
    for claim in claims:
        word, equals, value = claim.partition("=")
        if not equals:
            raise click.UsageError(f"--claim {claim}: expected WORD=VALUE, such as layout=C")
        try:
            read[word] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            read[word] = value
    return read


def _ask(child: Child, operation: str, name: str, source: str, died: Died | None) -> dict[str, Any]:
    """Ask one property; a function that ends its process, or that did so before it could be asked, is refused by it."""
    try:
        if died:
            raise died
        answer: dict[str, Any] = child.ask("ask", name, file=_file(source))
    except Died as error:
        failure = f"{operation}: {name} failed: {error}"
        return {"property": name, "passed": False, "failure": failure, "place": error.place or source}
    return answer


def _file(source: str) -> str:
    """Return the file of a place that is written as ``file:line``."""
    return source.rpartition(":")[0]


def _failure(row: dict[str, Any], explained: set[str]) -> str:
    """Return the account of a failure; of one that was explained before, the first line."""
    failure: str = row["failure"]
    first, what = failure.splitlines()[0], failure.partition(" failed: ")[2].partition("\nsmallest failing example:")[0]
    text = first if what in explained else failure
    if what not in explained and row["place"] and row["place"] not in failure:
        text += f"\nat {row['place']}"
    explained.add(what)
    return text


def _verdict(row: dict[str, Any], stats: bool) -> str:
    if not row["examples"]:
        return "   no examples: about nothing that is claimed, or large calls, for which so few are too few"
    worst = row["worst_error_over_bound"]
    verdict = f"{row['examples']:5} examples, worst error {'   -' if worst is None else f'{worst:4.0%} of bound'}"
    if stats:
        verdict += f", {row['seconds']:5.1f} s, extents to {row['largest_extent']}, "
        verdict += f"{row['tile_crossings']} across tiles, {row['vacuous_share']:.1%} vacuous"
    return verdict
