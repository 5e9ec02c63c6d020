"""Every CUDA variant on this machine's GPU, beside plain torch and KeOps: checked, then timed, against ceilings measured here.

    python bench/gpu.py [--only TEXT] [--limit SECONDS]

Writes bench/results/<gpu>.json, where a later run replaces the works that it measures again, and the picture
bench/plots/roofline_<gpu>.svg. Nothing is timed that did not first pass its bound. Each timed run has new contents at the same
addresses, and results of timed runs are held to their bounds too; samples are interleaved. Times are medians, by events on the
device, with its caches flushed before each run.
"""

import inspect
import json
import os
import re
import statistics
from importlib import metadata
from pathlib import Path

import click
import numpy as np
import peers
import works
from records import record, table
from rich.console import Console
from rich.table import Table

import registry
from kernels import _measure

os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")  # read when Numba is imported, later

CEILING_SAMPLES = 7
GIB = 2**30


def waiting_left_out(contract, example):
    """Return the example without checks that would wait for the device."""
    checks = "check_finite" in inspect.signature(contract.validate).parameters
    return example._replace(kwargs=example.kwargs | {"check_finite": False}) if checks else example


def measure(work, limit, clock, device="cuda"):
    """Check and time every variant and peer on a device; return one record for each. Ours are those written by hand."""
    from kernels._measure.device import DeviceTrial

    catalogue = peers.load()
    contract = catalogue.contract(work.operation)
    trial = DeviceTrial(contract, waiting_left_out(contract, work.example()), work.dtype, clock, device)
    everyone = [v for v in catalogue.variants(work.operation) if v.device == device and work.dtype in v.dtypes]
    checked = []
    for options in [{option: value} for option, values in work.options.items() for value in values] or [{}]:
        taking_part = [v for v in everyone if options.keys() <= v.options.keys()]
        checked += [_measure.qualify(trial, v, limit, options=options, zoo=catalogue) for v in taking_part]
    for measurement, _ in checked:
        if measurement.reason.startswith("OutOfMemoryError"):
            measurement.status = "skipped"
    _measure.interleave(trial, checked)
    moved = contract.work(*trial.args, **trial.example.kwargs)["bytes"] * work.steps
    records = [
        record(work, trial, measurement, bool(work.options or {"numba", "triton"} & set(measurement.variant.requires)))
        | {"units": trial.work, "bytes": moved}
        for measurement, _ in checked
    ]
    name_of = works.of(work.operation, "ceiling", lambda _: None)
    return [r | {"ceiling": name_of(r)} for r in records]


def ceilings(clock):
    """Measure what the device can do in a second: bytes copied, operations of products by torch, and exponentials.

    Each time counts only if the result of that very run is right.
    """
    import torch

    source = torch.empty(GIB // 4, device="cuda")
    target = torch.empty_like(source)
    found = {
        "copy": most(
            clock,
            lambda: target.copy_(source),
            2 * source.nbytes,
            before=lambda: (source.normal_(), target.zero_()),
            is_right=lambda: torch.equal(source, target),
        )
    }
    for name, dtype, precision in (
        ("float32", "float32", "working"),
        ("tf32", "float32", "tf32"),
        ("float16", "float16", "wide"),
        ("bfloat16", "bfloat16", "wide"),
    ):
        usual = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
        try:
            found[f"matmul {name}"] = products(clock, dtype, precision)
        finally:
            torch.set_float32_matmul_precision(usual)
    if not registry.missing("numba_cuda"):
        from exponentials import CHAINS, FIXED_POINT, chains

        from kernels._compute.cuda import launch

        about, count = torch.cuda.get_device_properties(0), 2**14
        threads, blocks = 256, about.multi_processor_count * about.max_threads_per_multi_processor // 256
        last = torch.empty(blocks * threads, device="cuda")
        found["exp2"] = most(
            clock,
            lambda: launch(chains, blocks, threads, last, count),
            last.numel() * CHAINS * count,
            before=last.zero_,
            is_right=lambda: bool(((last / CHAINS - FIXED_POINT).abs() < 1e-6).all()),
        )
    return found


def most(clock, run, units, before, is_right):
    """Return the units of work a second that a run does in the median."""
    seconds = []
    for _ in range(CEILING_SAMPLES + 1):
        before()
        seconds.append(clock(run, lambda: None))
        if not is_right():
            raise click.ClickException("the result of a run that measures a ceiling is wrong")
    return units / statistics.median(seconds[1:])  # the first has compiled


def products(clock, dtype, precision, side=8192, device="cuda"):
    """Return the operations a second of torch's own large product."""
    import torch
    from works.matmul import product

    from kernels._measure.device import DeviceTrial

    trial = DeviceTrial(registry.contract("matmul"), product(side, side, side, dtype=dtype).example(), dtype, clock, device)
    seconds = []
    for _ in range(CEILING_SAMPLES):
        runs = _measure.Runs(trial, torch.matmul)
        seconds.append(runs.seconds(1))
        if not (agreement := runs.judge(precision)).passes:
            raise click.ClickException(f"torch's own product in {dtype} is off by {agreement.share:.3g} times its bound")
    return trial.work / statistics.median(seconds)


def roof(r, found):
    """Return the most units of work a second that the ceilings allow a record, or None where none was measured."""
    peak = found.get(r["ceiling"])
    return peak and min(peak, found["copy"] * r["units"] / r["bytes"])


def naive(work):
    """Return the time of a work's naive variant on the CPU: a few rows are timed, and scaled."""
    name, rows = work.naive
    contract, whole = registry.contract(work.operation), work.example()
    args, kwargs = contract.rows(np.arange(rows), *whole.args, **whole.kwargs)
    trial = _measure.Trial(contract, whole._replace(args=args, kwargs=kwargs), work.dtype)
    measurement, function = _measure.qualify(trial, registry.variant(work.operation, name), np.inf)
    _measure.interleave(trial, [(measurement, function)])
    if measurement.status != "timed":
        raise click.ClickException(f"{work.operation} {name}: {measurement.reason}")
    scaled = measurement.median * contract.work(*whole.args, **whole.kwargs)[trial.unit] / trial.work
    return {"work": work.title, "name": name, "rows": rows, "seconds": measurement.median, "scaled": scaled}


def environment():
    """Return the GPU beside what every figure belongs to."""
    import torch

    about, packages = torch.cuda.get_device_properties(0), {}
    for name in ("triton", "numba-cuda", "pykeops"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    found = _measure.environment()
    gpu = {"name": about.name, "memory": about.total_memory, "multiprocessors": about.multi_processor_count}
    return found | {
        "packages": found["packages"] | packages,
        "gpu": gpu | {"L2": about.L2_cache_size, "cuda": torch.version.cuda},
    }


def save(path, run):
    """Add a run to a file of runs, from whose others the works that it measured again go; return all of its records."""
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    again = {r["work"] for r in run["records"]}
    for earlier in runs:
        earlier["records"] = [r for r in earlier["records"] if r["work"] not in again]
    runs = [earlier for earlier in runs if earlier["records"]] + [run]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    return [r for each in runs for r in each["records"]]


def plot(records, found, title, path):
    """Draw what was achieved under the measured ceilings: units of work a second against units for each byte of the arrays."""
    from matplotlib.figure import Figure

    operations = sorted({r["operation"] for r in records})
    figure = Figure(figsize=(6.5 * len(operations), 5.5), layout="constrained")
    for axes, operation in zip(figure.subplots(1, len(operations), squeeze=False)[0], operations, strict=True):
        draw_roofline(axes, operation, [r for r in records if r["operation"] == operation], found)
    figure.suptitle(f"{title}: medians against measured ceilings (who skips pairs may pass them)")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def draw_roofline(axes, operation, records, found):
    """Draw the panel of one operation."""
    timed = [r for r in records if r["seconds"]]
    names = sorted({r["label"] for r in timed})
    places = [r["units"] / r["bytes"] for r in timed] or [1.0]
    along = np.geomspace(min(places) / 3, 3 * max(places), 200)
    for name in sorted({r["ceiling"] for r in records} & found.keys()):
        axes.plot(along, np.minimum(found[name], found["copy"] * along), "k-", linewidth=1, alpha=0.6)
        axes.annotate(name, (along[-1], min(found[name], found["copy"] * along[-1])), ha="right", va="bottom", fontsize="small")
    for i, name in enumerate(names):
        dots = [(r["units"] / r["bytes"], r["units"] / r["seconds"]) for r in timed if r["label"] == name]
        axes.plot(*zip(*dots, strict=True), "osD^v"[i // 10 % 5], color=f"C{i % 10}", label=name)
    unit = registry.contract(operation).RATE
    axes.set(xscale="log", yscale="log", title=operation, xlabel=f"{unit} for each byte of arguments and result")
    axes.set_ylabel(f"{unit} a second")
    axes.grid(alpha=0.3)
    if names:
        axes.legend(fontsize="x-small")


def summary(records, found, loops):
    """Return the short table: each work's best of ours, its share of the ceiling, and how it compares with the best peer."""
    shown = Table(title="best of ours", title_justify="left")
    for column in ("work", "variant", "median", "rate", "of ceiling", "x best peer"):
        shown.add_column(column, justify="left" if column in ("work", "variant") else "right")
    for work in dict.fromkeys(r["work"] for r in records):
        timed = sorted((r for r in records if r["work"] == work and r["seconds"]), key=lambda r: r["seconds"])
        ours, theirs = ([r for r in timed if r["ours"] is own] for own in (True, False))
        if not ours:
            shown.add_row(work, "none was timed")
            continue
        best, ceiling = ours[0], roof(ours[0], found)
        share = f"{best['units'] / best['seconds'] / ceiling:.0%}" if ceiling else ""
        ratio = f"{theirs[0]['seconds'] / best['seconds']:.3g}" if theirs else ""
        shown.add_row(work, best["label"], _measure.duration(best["seconds"]), best["rate"], share, ratio)
        if loops and work == loops["work"]:
            about = f"{loops['rows']} rows took {_measure.duration(loops['seconds'])}"
            shown.add_row("", f"{loops['name']} on the CPU", _measure.duration(loops["scaled"]), f"({about}; scaled)")
            shown.add_row("", "times faster", f"{loops['scaled'] / best['seconds']:,.0f}")
    return shown


@click.command()
@click.option("--only", default="", help="Only works whose title has this text.")
@click.option("--limit", default=1.0, show_default=True, help="Leave out what would take longer than so many seconds a run.")
def main(only, limit):
    """Check and time every CUDA variant on this machine's GPU."""
    reason = registry.missing("torch") or registry.missing("cuda")
    if reason:
        raise click.ClickException(reason)
    import torch

    from kernels._measure.device import EventClock

    for half in ("fp16", "bf16"):  # all sums in float32, as the bound of that class has it
        setattr(torch.backends.cuda.matmul, f"allow_{half}_reduced_precision_reduction", False)
    chosen = [work for work in works.every("ON_DEVICE") if only in work.title]
    if not chosen:
        raise click.ClickException(f"no work's title has {only!r}")
    console, clock = Console(), EventClock()
    run = {"environment": environment(), "ceilings": ceilings(clock), "naive": None, "records": []}
    name = run["environment"]["gpu"]["name"]
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    here = Path(__file__).parent
    for work in chosen:
        found = measure(work, limit, clock)
        console.print(table(found))
        run["records"] += found
        if work.naive:
            run["naive"] = naive(work)
        everything = save(here / "results" / f"{slug}.json", run)  # each time, lest a limit on the whole command takes all
    plot(everything, run["ceilings"], name, here / "plots" / f"roofline_{slug}.svg")
    console.print(run["environment"])
    console.print({key: f"{value:.4g} a second" for key, value in run["ceilings"].items()})
    console.print(summary(run["records"], run["ceilings"], run["naive"]))


if __name__ == "__main__":
    main()
