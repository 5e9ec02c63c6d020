"""`kernel-zoo check`."""

from __future__ import annotations

import ast
import functools
import sys
import tempfile
from typing import Any

import click

import registry
from kernels._cli.child import Child, Died
from kernels._cli.compare import TIMEOUT
from kernels._cli.text import JSON, OPERATION, dumps


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
    if registry.missing("hypothesis"):
        raise click.UsageError(f"check {registry.missing('hypothesis')}")
    if ":" not in target and (device or dtypes or claims or bare):
        what = "--device, --dtype, --claim and --bare are a function's"
        raise click.UsageError(f"{what} claims; what the variant {target} claims is registered")
    show = functools.partial(click.echo, err=as_json)
    claimed = ({"device": device} if device else {}) | ({"dtypes": dtypes} if dtypes else {}) | _claimed(claims)
    claimed |= {"bare": True} if bare else {}
    session = {"operation": operation, "target": target, "claims": claimed, "examples": examples, "seed": seed}
    if ":" in target:
        show(f"{target} held to the contract of {operation}:")  # before its first call, which may hang
    rows, not_asked = [], []
    explained: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch, Questions({**session, "scratch": scratch}, timeout) as questions:
        for i, name in enumerate(questions.properties):
            show(f"{name:40} ", nl=False)
            row = questions.ask(name)
            rows.append(row)
            show(_verdict(row, stats) if row["passed"] else f"refused\n{_failure(row, explained)}")
            if not row["passed"] and not ask_all:
                not_asked = questions.properties[i + 1 :]
                break
        notes = questions.notes
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


class Questions:
    """A function on trial in a process of its own, which is started anew when the function has ended it; a context ends it."""

    FIRST = "answers_a_first_call"  # stands for the properties of a function that ends its process before any can be asked

    def __init__(self, session: dict[str, Any], timeout: float) -> None:
        self.session = session
        self.timeout = timeout
        self.child: Child | None = None
        self.source = ""
        self.properties: list[str] = []
        self.notes: list[str] = []
        self.died: Died | None = None

    def __enter__(self) -> Questions:
        try:
            self._start()
        except Died as error:
            self.__exit__()
            self.properties, self.died = [self.FIRST], error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.child:
            self.child.close()
            self.child = None

    def ask(self, name: str) -> dict[str, Any]:
        """Ask one property; a function that ends its process is refused by it."""
        try:
            if self.died:
                raise self.died
            answer: dict[str, Any] = (self.child or self._start()).ask("ask", name, file=self._file)
        except Died as error:
            self.__exit__()
            failure = f"{self.session['operation']}: {name} failed: {error}"
            return {"property": name, "passed": False, "failure": failure, "place": error.place or self.source}
        return answer

    @property
    def _file(self) -> str:
        file, _, _ = self.source.rpartition(":")
        return file

    def _start(self) -> Child:
        self.child = Child("Checking", self.session, self.timeout)
        self.source = str(self.child.ask("load"))
        self.properties, self.notes = self.child.ask("prepare", file=self._file)
        return self.child


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
