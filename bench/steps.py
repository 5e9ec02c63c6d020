"""meanshift_step's automatic choice beside scikit-learn, SciPy, KeOps and torch, over a grid of shapes.

    python bench/steps.py [--only TEXT]... [--json FILE] [--resume]

Each call is checked first, and then timed interleaved with those peers (bench/peers) that may come near: a peer that would take
`FAR` times as long is not timed in full. A ratio is that of the least samples, of `auto` to the fastest peer: above 1 the peer is
faster. KeOps compiles for each number of dimensions, dtype and kernel, a quarter of a minute each. With --json the records of
calls that are not measured now stay in the file, and with --resume these calls are not measured again.
"""

import itertools
import json
import statistics
from pathlib import Path

import click
import numpy as np
import peers
from rich.console import Console

import registry
from kernels import _measure
from kernels._measure import tuning
from kernels._measure.plan import Planned

BLURRED = (10, 1_000, 10_000, 1_000_000)  # points; a million of them in few dimensions alone, and sparse
APART = [
    (1, 1_000_000),
    (10, 30),
    (30, 100_000),
    (1_000, 900),
    (100_000, 30),
    (1_000_000, 3),
]  # points, and data that are not they
DIMENSIONS, FEW = (1, 2, 3, 8, 32, 128), 3
KERNELS = ("gaussian", "triangular", "flat")
ENTRIES = 2**21  # of the points and of the data, at most: of higher dimensions there are fewer
FAR = 5.0
SAMPLES = 7


def grid():
    """Yield the calls."""
    rng, contents = np.random.default_rng(0), registry.contract("meanshift_step").examples.CONTENTS
    shapes = [((n, n), True) for n in BLURRED] + [(shape, False) for shape in APART]
    for d, (shape, blurs), kernel, dtype in itertools.product(DIMENSIONS, shapes, KERNELS, ("float32", "float64")):
        n, m = (min(size, ENTRIES // d) for size in shape)
        many = blurs and shape[0] == max(BLURRED)
        if not many or d <= FEW:
            drawn = "sparse" if many else str(rng.choice(contents))
            yield Planned(dtype, {"n": n, "m": m, "d": d}, {"kernel": kernel}, blurs, drawn)


def measure(planned, catalogue, tuner):
    """Check and time everything on one call; return a record."""
    drawn = planned.example(tuner.contract)
    wider = {name: 2 * points for name, points in drawn.kwargs.items() if name == "data"}
    # Twice as wide: KeOps compiles another formula for a bandwidth of 1.
    example = drawn._replace(args=tuple(2 * each for each in drawn.args), kwargs={**drawn.kwargs, **wider})
    trial, auto = tuner.trial(example, planned.dtype), registry.get("meanshift_step")
    chosen = registry.explain("meanshift_step", *example.args, **example.kwargs).chosen
    ours, _ = _measure.qualify(trial, chosen, np.inf)
    contenders = [(ours, auto)]
    if ours.status == "timed":
        tuning.sample(trial, ours, auto, 1, wake=True)
    theirs, beyond = {}, {}
    for variant in catalogue.variants("meanshift_step"):
        if variant.name in {each.name for each in registry.variants("meanshift_step")} or variant.device != "cpu":
            continue
        limit = max(FAR * ours.median, tuning.HELD_UP_SECONDS)
        theirs[variant.name], function = _measure.qualify(trial, variant, limit, zoo=catalogue)
        if function:
            tuning.sample(trial, theirs[variant.name], function, 1)
            contenders.append((theirs[variant.name], function))
        elif theirs[variant.name].estimate > limit:
            beyond[variant.name] = theirs[variant.name].estimate
    tuning.race(trial, contenders, SAMPLES, near=FAR)
    seconds = {name: each.least for name, each in theirs.items() if each.samples}
    return {
        "dtype": planned.dtype,
        **planned.extents,
        "kernel": planned.parameters["kernel"],
        "blurs": planned.left_out,
        "contents": planned.contents,
        "chosen": chosen.name,
        "seconds": ours.least,
        "peers": seconds,
        "beyond": beyond,
        "wrong": {name: each.reason for name, each in theirs.items() if each.status == "wrong"},
        "ratio": ours.least / min(seconds.values()) if seconds else None,
    }


def summarise(records):
    """Return what all records say together, and those in which a peer is faster."""
    ratios = [record["ratio"] for record in records if record["ratio"]]
    slower = [record for record in records if (record["ratio"] or 0) > 1]
    summary = {"calls": len(records), "timed": len(ratios), "slower": len(slower)}
    return summary | ({"median": statistics.median(ratios), "worst": max(ratios)} if ratios else {}), slower


def store(records, busy, path):
    """Write all records; after each call, so that whoever stops the run keeps what it found."""
    about = {"environment": _measure.environment() | {"busy": busy}, "summary": summarise(records)[0]}
    lines = ",\n".join(map(json.dumps, records))
    path.write_text(f'{json.dumps(about, indent=1)[:-2]},\n "records": [\n{lines}\n]}}\n')


@click.command()
@click.option("--only", multiple=True, metavar="TEXT", help="Only calls whose description has this text, such as flat or d=2.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Where all records go.")
@click.option("--resume", is_flag=True, help="Leave out calls that the file has a record of.")
def main(only, json_file, resume):
    """Measure meanshift_step's automatic choice beside its peers."""
    console, busy, catalogue = Console(width=150), _measure.busy(), peers.load()
    tuner = tuning.Tuner("meanshift_step")
    key = ("dtype", "n", "m", "d", "kernel", "blurs")
    before = json.loads(json_file.read_text())["records"] if json_file and json_file.exists() else []
    records = {tuple(record[name] for name in key): record for record in before}
    for planned in grid():
        described = f"{planned}, {'blurs' if planned.left_out else 'apart'} ".replace(",", " ")
        stated = {"dtype": planned.dtype, "blurs": planned.left_out, **planned.extents, **planned.parameters}
        which = tuple(stated[name] for name in key)
        if not all(f"{each} " in described for each in only) or (resume and which in records):
            continue
        record = records[which] = measure(planned, catalogue, tuner)
        beside = ", ".join(f"{name} {took / record['seconds']:.3g}x" for name, took in record["peers"].items())
        console.print(f"{described}: {record['chosen']} {_measure.duration(record['seconds'])}; {beside}")
        if json_file:
            store(records.values(), busy, json_file)
    summary, slower = summarise(records.values())
    console.print(summary)
    for record in sorted(slower, key=lambda record: -record["ratio"]):
        console.print(f"{record['ratio']:.2f}: {[record[name] for name in key]} {record['chosen']}, {record['peers']}")


if __name__ == "__main__":
    main()
