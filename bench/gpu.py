"""Every CUDA variant on this machine's GPU, beside plain torch and KeOps: checked, then timed, against ceilings measured here.

    python bench/gpu.py [--only TEXT] [--limit SECONDS]

Writes bench/results/<gpu>.json, where a later run replaces the works that it measures again, and the picture
bench/plots/roofline_<gpu>.svg. Nothing is timed that did not first pass its bound. Variants take turns on the same tensors;
times are medians, by events on the device, with its caches flushed before each run.
"""

import functools
import inspect
import json
import os
import re
import statistics
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import click
import numpy as np
import peers
from peers import Work, clusters, constant_density
from rich.console import Console
from rich.table import Table

import registry
from kernels import _measure

os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")  # read when Numba is imported, later

HEAD_START = 4_000_000  # cycles that the device sleeps while a run is queued, so that what is timed never waits for the host
SAMPLES, SECONDS = (3, 15), 1.0
ROW_COST = 2**25  # a result is judged on so many rows that their reference takes seconds on the host
ORIGINAL_ROWS = 20  # of the lecture's 50,000 that the three loops are timed on
GIB = 2**30
LECTURE = (50_000, 784, 10)

WORKS = [
    Work(clusters, 1_500, 2, steps=5, ours=()),
    *[Work(points, n, d, h, ours=()) for points, h in ((clusters, 2.5), (constant_density, 1.0)) for d in (2, 3)
      for n in (10_000, 100_000, 1_000_000)],
    Work(None, 0, 0, product=LECTURE, ours=()),
    *[Work(None, 0, 0, dtype=dtype, product=(side,) * 3, ours=()) for dtype in ("float32", "float16", "bfloat16")
      for side in (1024, 2048, 4096, 8192)],
]  # fmt: skip


def register_peers():
    """Let KeOps and more of torch take part, and a variant for each batch size; return the works that compare those."""
    claims = {"arrays": "torch", "device": "cuda", "precision": "expansion", "limits": {"kernel": ("gaussian",)}}

    @registry.register("meanshift_step", "KeOps on CUDA", requires=("pykeops", "torch"), **claims)
    def keops(x, bandwidth, data, kernel):
        from pykeops.torch import LazyTensor

        return peers.symbolic_step(LazyTensor, x, bandwidth, data)

    registry.register("meanshift_step", "torch tiles on CUDA", requires=("torch",), **claims)(peers.torch_tiles)

    @registry.register(
        "matmul",
        "torch halves",
        arrays="torch",
        requires=("torch",),
        device="cuda",
        dtypes=("float16", "bfloat16"),
        precision="wide",
    )
    def halves(a, b):
        return a @ b

    import torch

    for half in ("fp16", "bf16"):  # all sums in float32, as that bound has it
        setattr(torch.backends.cuda.matmul, f"allow_{half}_reduced_precision_reduction", False)
    batched = []
    for variant in registry.variants("meanshift_step"):
        for size in (16, 64, 256, 1024, 4096, 16384):
            if variant.device == "cuda" and "batch_size" in variant.options:
                kept = {key: getattr(variant, key) for key in ("device", "arrays", "requires", "precision", "limits")}

                def step(*args, variant=variant, **kwargs):
                    return registry.zoo().function(variant)(*args, **kwargs)

                batched.append(f"{variant.name}, batches of {size}")
                registry.register(variant.operation, batched[-1], options={"batch_size": size}, **kept)(step)
    return [Work(clusters, n, 2, ours=tuple(batched)) for n in (1_500, 10_000, 100_000)]


def title(work):
    """Return a work's heading; one with names compares those alone."""
    return f"{work.title}, by batch size" if work.ours else work.title


def example(work):
    """Draw a work's arrays in NumPy; of bfloat16, which NumPy lacks, as float32 numbers that it holds."""
    made = (replace(work, dtype="float32") if work.dtype == "bfloat16" else work).example()
    args, kwargs = made.args, dict(made.kwargs)
    if work.dtype == "bfloat16":
        import torch

        args = tuple(torch.from_numpy(array).bfloat16().float().numpy() for array in args)
    contract = registry.contract(work.operation)
    if "check_finite" in inspect.signature(contract.validate).parameters:
        kwargs["check_finite"] = False  # it would wait for the device
    return made._replace(args=args, kwargs=kwargs, title=title(work))


def seen(result):
    """Return a result's values in NumPy."""
    return (result.float() if result.element_size() < 4 else result).cpu().numpy()


class OnDevice(_measure.Trial):
    """A trial whose arrays are tensors on a device, the same for all, and whose results are judged on the host."""

    def __init__(self, contract, made, dtype, device="cuda"):
        self.device = device
        units = contract.work(*made.args, **made.kwargs)[contract.RATE]
        super().__init__(contract, made, dtype, rows=int(np.clip(ROW_COST * len(made.args[0]) / max(units, 1), 4, 256)))
        self.tensors = tuple(map(self.tensor, made.args))

    def tensor(self, value):
        """Return an array as a tensor on the device."""
        import torch

        if not isinstance(value, np.ndarray):
            return value
        return torch.from_numpy(value).to(self.device, getattr(torch, self.dtype))

    def run(self, function, each=lambda before, after: None):
        """Apply the operation as often as the example says."""
        current, *rest = self.tensors
        for _ in range(self.example.steps):
            result = function(current, *rest, **self.example.kwargs)
            each(current, result)
            current = result

    def _compare(self, before, after, precision):
        return super()._compare(self.example.args[0] if before is self.tensors[0] else seen(before), seen(after), precision)

    def _time_rows(self, function, rows):
        args, kwargs = self.contract.rows(np.arange(rows), *self.tensors, **self.example.kwargs)
        for _ in range(2):  # the first compiles and tunes
            started = time.perf_counter()
            seen(function(*args, **kwargs)[:1])  # waits for it
        seconds = time.perf_counter() - started
        args, kwargs = self.contract.rows(np.arange(rows), *self.example.args, **self.example.kwargs)
        return seconds, self.contract.work(*args, **kwargs)[self.unit]


class Clock:
    """Samples the seconds of a run on the device."""

    def __init__(self):
        import torch

        self.torch = torch
        self.flush = torch.empty(4 * torch.cuda.get_device_properties(0).L2_cache_size, dtype=torch.uint8, device="cuda")

    def __call__(self, run):
        """Return the seconds of one run, from cold caches."""
        start, stop = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.flush.zero_()
        self.torch.cuda._sleep(HEAD_START)
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / 1e3


def measure(work, limit, sample, device="cuda"):
    """Check and time every variant on a device; return one record for each. Ours are those written by hand."""
    contract = registry.contract(work.operation)
    trial = OnDevice(contract, example(work), work.dtype, device)
    everyone = [v for v in registry.variants(work.operation) if v.device == device and work.dtype in v.dtypes]
    batches = [v for v in everyone if ", batches of " in v.name]
    taking_part = [v for v in batches if v.name in work.ours] if work.ours else [v for v in everyone if v not in batches]
    admitted = list(_measure.admit(trial, taking_part, limit))
    for measurement, _ in admitted:
        if measurement.reason.startswith("OutOfMemoryError"):
            measurement.status = "skipped"
    timed = [(measurement, function) for measurement, function in admitted if measurement.status == "timed"]
    for turn in range(SAMPLES[1]):
        for measurement, function in timed:
            if turn < SAMPLES[0] or sum(measurement.samples) < SECONDS:
                measurement.samples.append(sample(functools.partial(trial.run, function)))
    made = trial.example
    moved = contract.work(*made.args, **made.kwargs)["bytes"] * made.steps / (2 if work.dtype == "bfloat16" else 1)
    return [
        peers.record(work, trial, measurement, bool(work.ours or {"numba", "triton"} & set(measurement.variant.requires)))
        | {"dtype": work.dtype, "kernel": work.kernel, "units": trial.work, "bytes": moved}
        for measurement, _ in admitted
    ]


def ceilings(sample):
    """Measure what the device can do in a second: bytes copied, operations of products by torch, and exponentials."""
    import torch

    def most(run, units):
        run()
        return units / statistics.median(sample(run) for _ in range(7))

    source = torch.randn(GIB // 4, device="cuda")
    target = torch.empty_like(source)
    found = {"copy": most(lambda: target.copy_(source), 2 * source.nbytes)}
    for name in ("float32", "tf32", "float16", "bfloat16"):
        a, b = (torch.randn(8192, 8192, device="cuda").to(getattr(torch, name, torch.float32)) for _ in range(2))
        usual = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
        try:
            found[f"matmul {name}"] = most(functools.partial(torch.matmul, a, b), 2 * 8192**3)
        finally:
            torch.set_float32_matmul_precision(usual)
    if not registry.missing("numba_cuda"):
        from exponentials import CHAINS, chains

        from kernels._compute.cuda import launch

        about, count = torch.cuda.get_device_properties(0), 2**14
        threads, blocks = 256, about.multi_processor_count * about.max_threads_per_multi_processor // 256
        last = torch.empty(blocks * threads, device="cuda")
        found["exp2"] = most(lambda: launch(chains, blocks, threads, last, count), last.numel() * CHAINS * count)
    return found


def roof(r, found):
    """Return the most units of work a second that the ceilings allow a record, or None where none was measured."""
    product = "tf32" if "tf32" in r["precision"] else r["dtype"]
    exponential = r["kernel"] == "gaussian" and r["dtype"] == "float32"
    peak = found.get(f"matmul {product}" if r["operation"] == "matmul" else "exp2" if exponential else "")
    return peak and min(peak, found["copy"] * r["units"] / r["bytes"])


def original():
    """Estimate what the three loops take on the CPU for the lecture's large product: a few rows are timed, and scaled."""
    contract = registry.contract("matmul")
    trial = _measure.Trial(contract, contract.example("large"), "float32")
    naive = next(v for v in registry.variants("matmul") if v.device == "cpu")
    function = registry.get("matmul", naive.name)
    seconds, units = zip(*(trial._time_rows(function, ORIGINAL_ROWS) for _ in range(5)), strict=True)
    median = statistics.median(seconds)
    return {"name": naive.name, "rows": ORIGINAL_ROWS, "seconds": median, "scaled": median * trial.work / units[0]}


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

    timed = [r for r in records if r["seconds"]]
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    panels = {"matmul": "floating-point operations", "meanshift_step": "pairs of points"}
    for axes, (operation, unit) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        mine = [r for r in timed if r["operation"] == operation]
        names = sorted({r["name"] for r in mine})
        places = [r["units"] / r["bytes"] for r in mine] or [1.0]
        along = np.geomspace(min(places) / 3, 3 * max(places), 200)
        for name, peak in found.items():
            if (name == "exp2") == (operation == "meanshift_step") and name != "copy":
                axes.plot(along, np.minimum(peak, found["copy"] * along), "k-", linewidth=1, alpha=0.6)
                axes.annotate(name, (along[-1], min(peak, found["copy"] * along[-1])), ha="right", va="bottom", fontsize="small")
        for name in names:
            dots = [(r["units"] / r["bytes"], r["units"] / r["seconds"]) for r in mine if r["name"] == name]
            axes.plot(
                *zip(*dots, strict=True), "osD^v"[names.index(name) // 10 % 5], color=f"C{names.index(name) % 10}", label=name
            )
        axes.set(xscale="log", yscale="log", title=operation, xlabel=f"{unit} for each byte of arguments and result")
        axes.set_ylabel(f"{unit} a second")
        axes.grid(alpha=0.3)
        if names:
            axes.legend(fontsize="x-small")
    figure.suptitle(f"{title}: medians against measured ceilings (who skips pairs may pass them)")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


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
        shown.add_row(work, best["name"], _measure.duration(best["seconds"]), best["rate"], share, ratio)
        if loops and work == Work(None, 0, 0, product=LECTURE).title:
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
    console, clock = Console(), Clock()
    works = [work for work in WORKS + register_peers() if only in title(work)]
    if not works:
        raise click.ClickException(f"no work's title has {only!r}")
    run = {"environment": environment(), "ceilings": ceilings(clock), "original": None, "records": []}
    name = run["environment"]["gpu"]["name"]
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    here = Path(__file__).parent
    for work in works:
        found = measure(work, limit, clock)
        peers.table(found, console)
        run["records"] += found
        if work.product == LECTURE:
            run["original"] = original()
        everything = save(here / "results" / f"{slug}.json", run)  # each time, lest a limit on the whole command takes all
    plot(everything, run["ceilings"], name, here / "plots" / f"roofline_{slug}.svg")
    console.print(run["environment"])
    console.print({key: f"{value:.4g} a second" for key, value in run["ceilings"].items()})
    console.print(summary(run["records"], run["ceilings"], run["original"]))


if __name__ == "__main__":
    main()
