"""matmul's automatic choice beside bare calls of NumPy and torch: what dispatch costs where a product takes a microsecond.

    python bench/products.py [--only TEXT] [--seconds SECONDS] [--json FILE]

Everything is called as one writes it: `get("matmul")(a, b)` beside `numpy.matmul(a, b)`, and beside `torch.matmul` on tensors of
the same memory. Each is first held to the contract's bound. Samples are interleaved, each after calls of its own that warm its
threads up, and a ratio is that of medians, of `auto` to the faster of both. Of a product of m by k by n the side is the cube root
of m k n, times that of the batch.
"""

import json
import math
import statistics
import timeit
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import registry
from kernels import _measure
from kernels._definition.examples import Example

ROUNDS = 9
SAMPLE_SECONDS = 1e-3  # a sample is so many calls, after others:
WARM_SECONDS = 0.02  # so long, or, where a call takes long enough for two threads, until these have a core each
SHARED_SECONDS = 5e-5
LARGE = 256  # the side from which on dispatch must not show
SQUARE = [1, 2, 3, 4, 7, 8, 16, 31, 32, 64, 100, 128, 200, 255, 256, 300, 384, 512, 1000, 1024, 1536, 2048]
SHAPES = {
    "square": [((side, side), (side, side)) for side in SQUARE],
    "vectors": [((k,), (k,)) for k in (4, 100, 1000)]
    + [((m, k), (k,)) for m, k in ((4, 4), (100, 100), (255, 64), (2048, 2048), (20000, 1000))]
    + [((k,), (k, n)) for k, n in ((4, 4), (100, 100), (2048, 2048))],
    "tall": [((m, k), (k, n)) for m, k, n in ((255, 3, 3), (200, 16, 4), (1000, 4, 4), (20000, 3, 3), (50000, 784, 10))],
    "flat": [((m, k), (k, n)) for m, k, n in ((3, 255, 3), (4, 16, 200), (3, 3, 1000), (16, 20000, 16), (10, 784, 50000))],
    "thin": [((m, 1), (1, n)) for m, n in ((1, 9), (9, 1), (7, 7), (100, 100), (255, 255), (2000, 2000))],
    "batches": [((b, s, s), (b, s, s)) for b, s in ((16, 4), (100, 8), (16, 64), (16, 255), (8, 512))]
    + [((16, 4, 4), (4, 4)), ((4, 4), (16, 4, 4)), ((64, 32, 64), (64, 16))],
}


def side(shapes):
    """Return how large a product is: the cube root of its multiplications."""
    a, b = shapes
    return round(
        (math.prod(a) * math.prod(b[-1:] if len(b) > 1 else ()) * (math.prod(b[:-2]) if len(a) < 3 else 1)) ** (1 / 3), 1
    )


def measure(shapes, dtype, seconds):
    """Check and time everything on one product; return a record."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    contract = registry.contract("matmul")
    trial = _measure.Trial(contract, Example((a, b), {}, "", 1), dtype, rows=16)
    auto, tensors = registry.get("matmul"), (torch.from_numpy(a), torch.from_numpy(b))
    calls = {
        "auto": (auto, (a, b)),
        "auto, tensors": (auto, tensors),
        "NumPy": (np.matmul, (a, b)),
        "torch": (torch.matmul, tensors),
    }
    wrong, timers = {}, {}
    for name, (function, given) in calls.items():
        agreement = trial.check(lambda *_, f=function, x=given: np.asarray(f(*x))[()], "working")
        if not agreement.passes:
            wrong[name] = agreement.share
            continue
        timer = timeit.Timer("function(x, y)", globals={"function": function, "x": given[0], "y": given[1]})
        once = min(timer.timeit(1) for _ in range(3))
        timers[name] = timer, max(1, round(SAMPLE_SECONDS / once))
    samples = {name: [] for name in timers}
    started = timeit.default_timer()
    for index in range(ROUNDS):
        if index > 2 and timeit.default_timer() - started > seconds:
            break
        for name, (timer, number) in timers.items():
            _measure.timing.settle()
            shared = number < SAMPLE_SECONDS / SHARED_SECONDS
            warm = timeit.default_timer() + (_measure.timing.SPREAD_SECONDS if shared else WARM_SECONDS)
            while timeit.default_timer() < warm:
                timer.timeit(number)
            samples[name].append(timer.timeit(number) / number)
    taken = {name: statistics.median(them) for name, them in samples.items()}
    peers = [taken[name] for name in ("NumPy", "torch") if name in taken]
    return {
        "shapes": shapes,
        "dtype": dtype,
        "side": side(shapes),
        "chosen": registry.explain("matmul", a, b).chosen.name,
        "seconds": taken,
        "wrong": wrong,
        "ratio": taken["auto"] / min(peers),
        "ratio of tensors": taken["auto, tensors"] / taken["torch"] if "torch" in taken else None,
    }


@click.command()
@click.option("--only", default="", help="Only shapes of the kind of this name: " + ", ".join(SHAPES))
@click.option("--seconds", default=1.0, show_default=True, help="How long one product is measured.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all records there.")
def main(only, seconds, json_file):
    """Measure matmul's automatic choice beside NumPy and torch."""
    console, records, busy = Console(width=150), [], _measure.busy()
    shown = Table()
    for heading in ("", "shapes", "dtype", "side", "chosen", "auto", "NumPy", "torch", "ratio", "ratio of tensors"):
        shown.add_column(heading, justify="left" if heading in ("", "shapes", "dtype", "chosen") else "right")
    for kind, them in SHAPES.items():
        for shapes in them if only in kind else ():
            for dtype in ("float32", "float64"):
                record = measure(shapes, dtype, seconds)
                records.append({"kind": kind, **record})
                times = [_measure.duration(record["seconds"].get(name, math.nan)) for name in ("auto", "NumPy", "torch")]
                ratios = [f"{record[name]:.2f}" for name in ("ratio", "ratio of tensors")]
                written = " @ ".join("x".join(map(str, shape)) for shape in shapes)
                shown.add_row(kind, written, dtype, str(record["side"]), record["chosen"], *times, *ratios)
    console.print(shown)
    summary = {}
    for key in ("ratio", "ratio of tensors"):
        for where, ratios in (
            (f"below {LARGE}", [record[key] for record in records if record["side"] < LARGE]),
            (f"from {LARGE} up", [record[key] for record in records if record["side"] >= LARGE]),
        ):
            if ratios:
                summary[f"{key}, {where}"] = {"calls": len(ratios), "median": statistics.median(ratios), "worst": max(ratios)}
    for name, figures in summary.items():
        console.print(f"{name}: median {figures['median']:.3f}, worst {figures['worst']:.3f} of {figures['calls']} calls")
    about = {"environment": _measure.environment() | {"busy": busy}, "summary": summary, "records": records}
    if json_file:
        json_file.write_text(json.dumps(about, indent=1) + "\n")
    console.print(about["environment"])


if __name__ == "__main__":
    main()
