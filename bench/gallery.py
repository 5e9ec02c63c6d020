"""Pictures for the README, made by one command: the kernels' weights, and what the size of a batch costs.

    pip install -c constraints.txt -e '.[all]'
    python bench/gallery.py [--folder FOLDER]

Nothing is timed that did not first pass its bound, and the samples of all sizes of a batch are interleaved. The picture shows the
fastest sample of each, on which other programs of the machine weigh least; medians too are kept in bench/results/batch_size.json.
"""

import json
from pathlib import Path

import click
import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from records import record
from rich.console import Console
from rich.progress import track
from works import Work
from works.meanshift_step import clusters, step

import registry
from kernels import _measure
from kernels.meanshift_step import KERNELS, of_kernel

HERE = Path(__file__).parent
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # of Okabe and Ito's, which colour-blind readers tell apart
LINES = ("-", "--", "-.", ":")
LEGIBLE = {"font.size": 13, "lines.linewidth": 2.2, "axes.spines.top": False, "axes.spines.right": False}
BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
STUDY = (("broadcast", 1_500), ("torch", 1_500), ("torch", 6_000))  # the lecture's points, and four times as many


def draw_weights(path):
    """Draw each kernel's weight against the distance in bandwidths."""
    q = np.linspace(0, 3, 601)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="distance in bandwidths", ylabel="weight")
    for kernel, colour, line in zip(KERNELS, COLOURS, LINES, strict=True):
        axes.plot(q, of_kernel(q**2, kernel), line, color=colour, label=kernel)
    axes.set(xlim=(0, 3), ylim=(0, 1.04))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


def measure(name, n, limit=10.0):
    """Check and time a gaussian step of the lecture's six clusters with each size of a batch; return one record for each."""
    work: Work = step(clusters, n, 2, ours=(name,))
    trial = _measure.Trial(registry.contract(work.operation), work.example(), work.dtype)
    variant = registry.variant(work.operation, name)
    checked = [pair for size in BATCH_SIZES for pair in _measure.qualify(trial, [variant], limit, options={"batch_size": size})]
    for _ in _measure.interleave(trial, [(measurement, function) for measurement, function in checked if function]):
        pass
    fastest = [{"fastest": min(measurement.samples, default=None)} for measurement, _ in checked]
    return [record(work, trial, measurement, True) | more for (measurement, _), more in zip(checked, fastest, strict=True)]


def draw_batch_sizes(records, path):
    """Draw the time of a step against the size of a batch, relative to the best size: a curve for each variant and n."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.add_subplot(xlabel="points in a batch", ylabel="time / time at the best size")
    for (name, n), colour, line in zip(STUDY, COLOURS, LINES, strict=False):
        curve = {r["options"]["batch_size"]: r["fastest"] for r in records if (r["name"], r["n"]) == (name, n) and r["fastest"]}
        if curve:
            times = [seconds / min(curve.values()) for seconds in curve.values()]
            axes.plot(list(curve), times, line, marker="o", color=colour, label=f"{name}, {n:,} points")
    axes.set_xscale("log", base=2)
    axes.set_xticks(BATCH_SIZES, map(str, BATCH_SIZES))
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


@click.command()
@click.option("--folder", default=HERE, type=click.Path(path_type=Path), help="Where plots/ and results/ are.")
def main(folder):
    """Draw the pictures."""
    console = Console(stderr=True)
    torch.set_num_threads(1)  # as NumPy's arithmetic has; and on a busy machine threads wait for each other
    environment = _measure.environment() | {"busy": _measure.busy(), "threads": torch.get_num_threads()}
    study = track(STUDY, "timing sizes of a batch", console=console, transient=True)
    records = [r for name, n in study for r in measure(name, n)]
    kept = json.dumps({"environment": environment, "records": records}, indent=1)
    (folder / "results" / "batch_size.json").write_text(kept + "\n")
    with rc_context(LEGIBLE):
        draw_weights(folder / "plots" / "weights.svg")
        draw_batch_sizes(records, folder / "plots" / "batch_size.svg")
    for r in records:
        time = f"{r['status']}, {r['reason']}"
        if r["fastest"]:
            time = f"{_measure.duration(r['fastest'])}, median {_measure.duration(r['seconds'])}"
        console.print(f"n = {r['n']:,}, {r['label']}: {time}")
    console.print(environment)


if __name__ == "__main__":
    main()
