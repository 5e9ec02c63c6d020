"""The page, put together: the data as tables and charts, the template, and the library that draws the charts."""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import registry
from kernels._costs import calls as costs
from kernels._costs.table import Table
from kernels._report import charts, sheets
from kernels._report.calls import Call, calls

HERE = Path(__file__).parent
KILL_TABLE = "wrong_kernels.json"
REGRET = "regret.json"


def page(
    table: Table, results: Path | None, operations: tuple[str, ...], today: datetime.date, repeat: Callable[[Call], str]
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    table : Table
        The measurements.
    results : Path or None
        A folder of what the scripts of `bench` and the tests recorded: a kill table, regret, rooflines. What is not there is
        absent from the page, which says what would record it.
    operations : tuple of str
        What the page is about.
    today : date
        From which ages are counted.
    repeat : callable
        Returns the command that measures a call again.

    Raises
    ------
    ValueError
        If a file of results is broken; the one line names it.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    library, script = _library(), (HERE / "page.js").read_text()
    recorded = {path: _read(path) for path in sorted(results.glob("*.json"))} if results else {}
    return environment.get_template("page.html.jinja").render(
        operations=[_operation(name, table.of(name), recorded, today, repeat) for name in operations],
        facts=_facts(table),
        notes=[sheets.public(note) for note in table.notes],
        today=today.isoformat(),
        version=registry.__version__,
        licences=(HERE / "page.licences.txt").read_text(),
        style=(HERE / "page.css").read_text(),
        library=library,
        script=script,
        hashes=" ".join(f"'sha256-{_digest(text)}'" for text in (library, script)),
    )


@functools.cache
def _library() -> str:
    """Return the script of Vega, Vega-Lite and Vega-Embed; it takes a second or two to put together."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed")
    return script


def _digest(script: str) -> str:
    """Return what the page's policy knows a script by: no other one runs."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON: {error}; record it again, or name another folder with --results") from None


def _facts(table: Table) -> list[tuple[str, str]]:
    """Return what the machine is that the figures belong to, line by line; no name of a host or a person is among them."""
    machine = dict(table.machine)
    versions = machine.pop("versions", {})
    allowed = machine.pop("threads allowed", {})
    lines = [(name, str(value)) for name, value in machine.items() if value is not None]
    lines += [("threads allowed", ", ".join(f"{name}={value}" for name, value in allowed.items()))] if allowed else []
    return [*lines, ("versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version))]


def _operation(
    name: str, table: Table, recorded: dict[Path, Any], today: datetime.date, repeat: Callable[[Call], str]
) -> dict[str, Any]:
    """Return what the template shows of an operation."""
    contract: Any = registry.contract(name)
    found = calls(table)
    sizes = [{**c.extents, contract.RATE: _work(contract, c)} for c in found]
    ladder, on = sheets.ladder(registry.variants(name), found)
    shown: dict[str, Any] = {
        "name": name,
        "summary": registry.summary(name),
        "origin": sheets.origin(table, name),
        "ladder": ladder,
        "ladder_call": on.title if on else None,
        "calls": sheets.wins(found, repeat, today) if found else None,
        "map": charts.winners(found, sizes, contract.RATE) if found else None,
        "growth": charts.growth(found, sizes, contract.RATE) if found else None,
        "refusals": None,
        "regret": None,
        "rooflines": [],
    }
    for path, results in recorded.items():
        try:
            if path.name == KILL_TABLE and name in results:
                shown["refusals"] = sheets.refusals(results[name]["kernels"])
                shown["refusals_day"] = results[name]["measured"][:10]
            elif path.name == REGRET and (records := [r for r in results["records"] if r["operation"] == name]):
                shown["regret"] = sheets.regret(records)
            elif "ceilings" in (run := (results.get("runs") or [{}])[-1]):
                shown["rooflines"] += _roofline(name, contract.RATE, results["runs"], run)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path}: is not as bench and the tests record it: {what}; record it again") from None
    return shown


def _roofline(name: str, unit: str, runs: list[Any], last: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the GPU of some runs with the chart of an operation; nothing if the operation was not measured there."""
    records = [r for run in runs for r in run["records"] if r["operation"] == name and r["seconds"]]
    gpu = last["environment"]["gpu"]["name"]
    return [{"gpu": gpu, "chart": charts.roofline(records, last["ceilings"], unit)}] if records else []


def _work(contract: Any, call: Call) -> float:
    """Return the units of work of a call."""
    described = costs.Call(call.dtype, call.extents, call.parameters, call.facts)
    return costs.work(contract, described)[str(contract.RATE)]
