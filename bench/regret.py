"""How far the automatic choice is from the best: `auto` beside every variant, on calls that no tune has measured.

    python bench/regret.py [OP]... [--limit SECONDS] [--table NAME=FILE]... [--peers] [--only TEXT]...

The choice follows, in turn, the shipped measurements and each table of `kernel-zoo tune --output FILE`. All that comes near the
best is timed interleaved with each of these choices, and a ratio is that of the least samples from one run: what else the machine
does only ever adds to a time. For each table: the median, the 95th percentile and the worst of `auto` over the best variant; of
the chosen variant called by its name, which leaves out what choosing costs; and the latter "elsewhere", for the calls alone in
whose bucket of shapes the table has no measurement. For each two tables: in how many calls they choose the same variant, or one
within 3 %; of two tunes of one machine, what is left are the winners that flip. Some of the calls are of tensors. Writes
bench/results/regret.json, in which the records of operations that are not measured now stay, if they were measured with the same
tables.
"""

import itertools
import json
import time
from pathlib import Path

import click
import numpy as np
import peers
from rich.console import Console
from rich.table import Table

import registry
from kernels import _measure
from kernels._costs import calls, machine, table
from kernels._measure import tuning
from kernels._measure.plan import breadth, plan

RESULTS = Path(__file__).with_name("results") / "regret.json"
HELD = 2**20  # the seed of calls that no tune measures
SAME = 1.03  # a choice that is slower by less is the same for whoever waits
FIGURES = [f"{key}{of}" for of in ("", " by name", " elsewhere") for key in ("median", "p95", "worst")]
SAMPLES = 5
TENSORS = 7  # one call of so many is of tensors
FAR, ROUNDS = 1.1, 4  # a choice that looks slower than the best by more is raced again, so often: one of the two was held up
PACE = tuning.Pace(limit=0.5, samples=1, entries=2**22)  # what comes near the best is timed beside the choices


class Chooser:
    """The automatic choice as it is with one table, in a catalogue of its own."""

    def __init__(self, name, measured):
        self.name, self.measured = name, measured
        self.zoo = registry.Zoo(registry.FOLDER)
        self.buckets = {bucket(entry.operation, entry) for each in (measured, measured.below) if each for entry in each.entries}

    def choose(self, operation, args, kwargs):
        """Return the variant that is chosen for a call, and the function that chose it, which remembers."""
        table.current = lambda: self.measured
        auto = self.zoo.get(operation)
        auto(*args, **kwargs)
        return self.zoo.explain(operation, *args, **kwargs).chosen, auto


def bucket(operation, call):
    """Return the operation, dtype, parameters and buckets of extents of a call or an entry, as text."""
    extents = {name: calls.bucket(extent) for name, extent in call.extents.items()}
    return json.dumps([operation, call.dtype, extents, call.parameters], sort_keys=True)


def choosers(files):
    """Return a chooser for the shipped measurements, and one for each file of a tune over them."""
    shipped = table.read(table.SHIPPED, "shipped") if table.SHIPPED.exists() else table.Table((), "shipped")
    made = [Chooser("shipped", shipped)]
    for name, file in files:
        tuned = table.read(Path(file))
        if differs := machine.differences(tuned.machine, machine.machine()):
            raise click.UsageError(f"--table {name}={file}: was measured with {'; '.join(differs)}")
        made.append(Chooser(name, table.Table(tuned.entries, "tuned", tuned.machine, tuned.path, shipped)))
    return made


def measure(tuner, planned, choices):
    """Time every variant and every choice on a call; return one record, or None if nothing runs within the limit."""
    example = planned.example(tuner.contract)
    names = {variant.name for variant in registry.variants(tuner.operation)}
    found = tuner.measure(example, planned.dtype)
    timed = {each.variant: each.seconds for each in found.entries if not (each.abandoned or each.options)}
    ours = {name: seconds for name, seconds in timed.items() if name in names}
    wrong = [each for each in found.refused if each.variant not in names]
    if not ours:
        return None
    trial = tuner.trial(example, planned.dtype)
    near = [name for name in ours if ours[name] <= tuning.NEAR * min(ours.values())]
    rivals = [min(timed.keys() - ours.keys(), key=timed.get)] if timed.keys() - ours.keys() else []
    found = {each: each.choose(tuner.operation, trial.args, example.kwargs) for each in choices}
    chosen = {each.name: variant.name for each, (variant, _) in found.items()}
    near = list(dict.fromkeys([*near, *chosen.values()]))
    contenders = {name: tuner.zoo.get(tuner.operation, name) for name in [*near, *rivals]}
    contenders |= {each: auto for each, (_, auto) in found.items()}
    race = [(_measure.Measurement(tuner.zoo.variant(tuner.operation, near[0])), function) for function in contenders.values()]
    for measurement, function in race:
        tuning.sample(trial, measurement, function, 1)
    for _ in range(ROUNDS):
        tuning.race(trial, race, SAMPLES, near=np.inf)
        raised = {who: each.reason for who, (each, _) in zip(contenders, race, strict=True) if not each.samples}
        for who, reason in raised.items():
            raise click.ClickException(f"{tuner.operation}: {who} on {planned}: {reason}; a choice is compared with what works")
        least = [measurement.least for measurement, _ in race]
        if max(least[-len(choices) :]) <= FAR * min(least[: len(near)]):
            break
    seconds = {who: measurement.least for who, (measurement, _) in zip(contenders, race, strict=True)}
    best = min(near, key=seconds.get)
    call = tuning.described(tuner.contract, example, planned.dtype)
    return {
        "operation": tuner.operation,
        **call._asdict(),
        "contents": planned.contents,
        "arrays": tuner.arrays,
        "best": best,
        "best_seconds": seconds[best],
        "variants": ours | {name: seconds[name] for name in near},
        "chosen": chosen,
        "elsewhere": [each.name for each in choices if bucket(tuner.operation, call) not in each.buckets],
        "ratio": {each.name: seconds[each] / seconds[best] for each in choices},
        "peer": {name: took / seconds[best] for name, took in (timed | seconds).items() if name in timed.keys() - ours.keys()},
        "wrong": {each.variant: each.wrong for each in wrong},
    }


def summary(records, name):
    """Return the median, the 95th percentile and the worst ratio of a table, and on how many calls."""
    found = {"calls": len(records)}
    by_name = [record["variants"].get(record["chosen"][name], np.inf) / record["best_seconds"] for record in records]
    elsewhere = [ratio for ratio, record in zip(by_name, records, strict=True) if name in record["elsewhere"]]
    groups = {"": [record["ratio"][name] for record in records], " by name": by_name, " elsewhere": elsewhere}
    for key, ratios in groups.items():
        if not ratios:
            continue
        median, late = np.quantile(ratios, [0.5, 0.95])
        found |= {f"median{key}": float(median), f"p95{key}": float(late), f"worst{key}": float(max(ratios))}
    return found


def agreement(records, first, second):
    """Return the share of calls for which two tables choose the same variant, or one that is hardly slower."""

    def alike(record):
        a, b = (record["variants"].get(record["chosen"][name], np.inf) for name in (first, second))
        return record["chosen"][first] == record["chosen"][second] or max(a, b) <= SAME * min(a, b)

    return sum(map(alike, records)) / len(records)


def show(records, names, console):
    """Print each operation's regret with each table, and its worst call."""
    for name in names:
        shown = Table(title=f"auto over the best variant, {name}", title_justify="left")
        for heading in ("operation", "calls", *FIGURES, "the worst call"):
            shown.add_column(heading, justify="right" if heading in ("calls", *FIGURES) else "left")
        for operation in [*dict.fromkeys(record["operation"] for record in records), "all"]:
            own = [record for record in records if operation in (record["operation"], "all")]
            found, worst = summary(own, name), max(own, key=lambda record: record["ratio"][name])
            shape = " ".join(f"{key}={value}" for key, value in (worst["extents"] | worst["parameters"] | worst["facts"]).items())
            shape += " as tensors" * (worst.get("arrays") == "torch")
            where = f"{worst['dtype']} {shape}: {worst['chosen'][name]}, best {worst['best']}"
            figures = [f"{found[key]:.3f}" if key in found else "–" for key in FIGURES]
            shown.add_row(operation, str(found["calls"]), *figures, where)
        console.print(shown)
    for first, second in itertools.combinations(names, 2):
        console.print(f"{first} and {second} choose the same, or within 3 %: {agreement(records, first, second):.1%}")
    for peer in sorted({name for record in records for name in record["peer"]}):
        beside = [(record["ratio"][names[-1]] / record["peer"][peer], record) for record in records if peer in record["peer"]]
        worst, record = max(beside, key=lambda each: each[0])
        where = " ".join(
            [record["dtype"], *(f"{key}={value}" for key, value in (record["extents"] | record["parameters"]).items())]
        )
        console.print(f"auto ({names[-1]}) over {peer}: worst {worst:.3f} of {len(beside)} calls: {where}")
    for name in dict.fromkeys(name for record in records for name in record.get("wrong", ())):
        refused = [record["wrong"][name] for record in records if name in record.get("wrong", ())]
        console.print(f"{name}: wrong on {len(refused)} calls, such as: {refused[0]}")


@click.command()
@click.argument("operations", nargs=-1)
@click.option("--limit", default=600.0, show_default=True, help="Seconds to measure for, shared out among the operations.")
@click.option("--table", "tables", multiple=True, metavar="NAME=FILE", help="A file of `kernel-zoo tune --output`.")
@click.option(
    "--peers", "with_peers", is_flag=True, help="Time other libraries too; KeOps compiles for each number of dimensions."
)
@click.option("--only", multiple=True, metavar="TEXT", help="Only calls whose description has this text, such as flat or d=2.")
@click.option("--seed", default=HELD, show_default=True, help="Which calls are drawn.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=RESULTS, help="Where all records go.")
def main(operations, limit, tables, with_peers, only, seed, output):
    """Measure the regret of the automatic choice."""
    if any("=" not in each for each in tables):
        raise click.UsageError("--table: expected NAME=FILE")
    console, records, busy = Console(width=200), [], _measure.busy()
    choices = choosers([each.split("=", 1) for each in tables])
    catalogue = peers.load() if with_peers else registry.zoo()
    weights = {name: breadth(registry.contract(name)) for name in operations or registry.operations()}
    end = time.monotonic() + limit
    for operation in list(weights):
        until = time.monotonic() + (end - time.monotonic()) * weights[operation] / sum(weights.values())
        del weights[operation]
        tuner, of_tensors = (tuning.Tuner(operation, zoo=catalogue, pace=PACE, arrays=kind) for kind in ("numpy", "torch"))
        for planned in plan(tuner.contract, seed=seed, named=False, entries=PACE.entries):
            if time.monotonic() > until:
                break
            if not all(f"{each} " in f"{planned} ".replace(",", " ") for each in only):
                continue
            by_position = not any(isinstance(each, np.ndarray) for each in planned.example(tuner.contract).kwargs.values())
            here = of_tensors if planned.seed % TENSORS == TENSORS - 1 and by_position else tuner
            records += filter(None, [measure(here, planned, choices)])
    names = [each.name for each in choices]
    before = json.loads(output.read_text())["records"] if output.exists() else []
    measured = {record["operation"] for record in records}
    records = sorted(
        records + [each for each in before if each["operation"] not in measured and [*each["ratio"]] == names],
        key=lambda record: record["operation"],
    )
    show(records, names, console)
    found = {name: summary(records, name) for name in names}
    dates = {each.name: each.measured.dated for each in choices}
    about = {"environment": _measure.environment() | {"busy": busy}, "summary": found, "dated": dates}
    lines = ",\n".join(map(json.dumps, records))
    output.write_text(f'{json.dumps(about, indent=1)[:-2]},\n "records": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
