"""Pictures for the README, made by one command: weights, clusters, a photograph, what a bandwidth finds and what a batch costs.

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
from sklearn.datasets import load_sample_image
from works import Work
from works.meanshift_step import clusters, step

import registry
from kernels import _measure
from kernels.cluster import MeanShift
from kernels.meanshift_step import KERNELS, of_kernel
from kernels.segment import segment

HERE = Path(__file__).parent
# Of Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "o^svDP"
LINES = ("-", "--", "-.", ":")
LEGIBLE = {"font.size": 13, "lines.linewidth": 2.2, "axes.spines.top": False, "axes.spines.right": False}
BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
BANDWIDTHS = tuple(np.geomspace(0.25, 64, 25))
STUDY = (("broadcast", 1_500), ("torch", 1_500), ("torch", 6_000))  # the lecture's points, and four times as many


def draw_weights(path):
    """Draw each kernel's weight against the distance in bandwidths."""
    q = np.linspace(0, 3, 601)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="distance in bandwidths", ylabel="weight")
    for kernel, colour, line in zip(KERNELS, COLOURS, LINES, strict=False):
        axes.plot(q, of_kernel(q**2, kernel), line, color=colour, label=kernel)
    axes.set(xlim=(0, 3), ylim=(0, 1.04))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


def lecture():
    """Return the lecture's points, drawn round six centres."""
    return registry.contract("meanshift_step").example("lecture", dtype="float64").args[0]


def draw_clusters(path):
    """Draw the lecture's points by the cluster that each belongs to, and the clusters' centres."""
    points, model = lecture(), MeanShift(bandwidth=2.5)
    labels = model.fit_predict(points)
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    axes = figure.add_subplot(aspect="equal", title=f"{len(points):,} points, gaussian, bandwidth 2.5")
    for label, centre in enumerate(model.cluster_centers_):
        colour, marker = COLOURS[label % len(COLOURS)], MARKERS[label % len(MARKERS)]
        x, y = points[labels == label].T
        axes.scatter(x, y, s=14, color=colour, marker=marker, alpha=0.6, linewidths=0, rasterized=True)
        axes.scatter(*centre, s=260, color="white", marker="X", edgecolors="black", linewidths=1.8, zorder=3)
    axes.scatter([], [], s=260, color="white", marker="X", edgecolors="black", linewidths=1.8, label="centres")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=150)


def draw_bandwidths(path):
    """Draw how many clusters each kernel finds among the lecture's points, against the bandwidth."""
    points = lecture()
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.add_subplot(xlabel="bandwidth", ylabel="clusters", xscale="log", yscale="log")
    axes.axhline(6, color="black", linewidth=1)
    axes.annotate("the six that were drawn", (BANDWIDTHS[0], 6), (0, -5), textcoords="offset points", va="top")
    for kernel, colour, line in zip(KERNELS, COLOURS, LINES, strict=False):
        fitted = track(BANDWIDTHS, f"clustering, {kernel}", console=Console(stderr=True), transient=True)
        counts = [len(MeanShift(bandwidth=h, kernel=kernel).fit(points).cluster_centers_) for h in fitted]
        axes.plot(BANDWIDTHS, counts, line, color=colour, label=kernel)
    for axis, ticks in ((axes.xaxis, (0.25, 1, 4, 16, 64)), (axes.yaxis, (1, 10, 100, 1000))):
        axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


def draw_photo(path):
    """Show scikit-learn's photograph before and after segmentation in the joint domain of colours and places."""
    photo = load_sample_image("china.jpg")
    found = segment(photo, space="lab+xy")
    figure = Figure(figsize=(8, 3), layout="constrained")
    painted = found.colours[found.labels]
    titles = f"{photo.shape[0] * photo.shape[1]:,} pixels", f"{len(found.colours):,} regions"
    for axes, picture, title in zip(figure.subplots(1, 2), (photo, painted), titles, strict=True):
        axes.imshow(picture, interpolation="antialiased")
        axes.set_title(title)
        axes.axis("off")
    figure.savefig(path, dpi=200, pil_kwargs={"quality": 85})


def measure(name, n, limit=10.0):
    """Check and time a gaussian step of the lecture's six clusters with each size of a batch; return one record for each."""
    work: Work = step(clusters, n, 2, ours=(name,))
    trial = _measure.Trial(registry.contract(work.operation), work.example(), work.dtype)
    variant = registry.variant(work.operation, name)
    checked = [_measure.qualify(trial, variant, limit, options={"batch_size": size}) for size in BATCH_SIZES]
    _measure.interleave(trial, checked)
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
        draw_clusters(folder / "plots" / "clusters.svg")
        draw_bandwidths(folder / "plots" / "bandwidth.svg")
        draw_photo(folder / "plots" / "photo.jpg")
        draw_batch_sizes(records, folder / "plots" / "batch_size.svg")
    for r in records:
        time = f"{r['status']}, {r['reason']}"
        if r["fastest"]:
            time = f"{_measure.duration(r['fastest'])}, median {_measure.duration(r['seconds'])}"
        console.print(f"n = {r['n']:,}, {r['label']}: {time}")
    console.print(environment)


if __name__ == "__main__":
    main()
