"""The zoo beside its peers on the CPU: the same work through scikit-learn, SciPy, KeOps and plain torch, in one run with ours.

    pip install -c constraints.txt -e '.[all,peers]'
    python bench/cpu.py [--only TEXT] [--json FILE] [--plot FILE]

What is measured stands in bench/works, and peers in bench/peers. Nothing is timed that did not first pass its bound, all
samples of a work are interleaved, and a ratio is that of medians.
"""

import json
from pathlib import Path

import click
import numpy as np
import peers
import works
from records import record, table
from rich.console import Console

from kernels import _measure


def measure(work, limit):
    """Check and time everything that takes part in a work; return one record for each."""
    catalogue, example = peers.load(), work.example()
    few = len(example.args[0]) <= 10_000
    trial = _measure.Trial(catalogue.contract(work.operation), example, work.dtype, rows=256 if few else 32)
    taking_part = [catalogue.variant(work.operation, name) for name in (*work.ours, *work.peers)]
    checked = [_measure.qualify(trial, variant, limit, zoo=catalogue) for variant in taking_part]
    _measure.interleave(trial, checked)
    return [record(work, trial, measurement, measurement.variant.name in work.ours) for measurement, _ in checked]


def exponents(records):
    """Fit time = c n^p to each curve's upper half, where fixed costs are small; return p by (d, name)."""
    curves = {}
    for r in records:
        if r["seconds"]:
            curves.setdefault((r["d"], r["label"]), []).append((r["n"], r["seconds"]))
    fitted = {}
    for key, points in curves.items():
        upper = np.log(sorted(points)[len(points) // 2 - (len(points) < 4) :])
        if len(upper) > 1:
            fitted[key] = float(np.polyfit(*upper.T, 1)[0])
    return curves, fitted


def plot(records, path):
    """Draw time against n, one panel for each number of dimensions."""
    from matplotlib.figure import Figure

    curves, fitted = exponents(records)
    dimensions = sorted({d for d, _ in curves})
    names = sorted({name for _, name in curves})
    figure = Figure(figsize=(4.6 * len(dimensions), 4.8), layout="constrained")
    for axes, d in zip(figure.subplots(1, len(dimensions), sharey=True, squeeze=False)[0], dimensions, strict=True):
        for (dimension, name), points in curves.items():
            if dimension == d:
                label = f"{name}, n^{fitted[d, name]:.2f}" if (d, name) in fitted else name
                axes.loglog(*zip(*sorted(points), strict=True), "o-", color=f"C{names.index(name)}", label=label)
        axes.set(title=f"d = {d}", xlabel="points")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("median time of a gaussian step in seconds")
    figure.savefig(path)


@click.command()
@click.option("--only", default="", help="Only works whose title has this text.")
@click.option("--limit", default=10.0, show_default=True, help="Leave out what would take longer than so many seconds a run.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all records there.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="Measure the growth with n, and draw it there.")
def main(only, limit, json_file, plot_file):
    """Measure the zoo beside its peers."""
    console = Console()
    records = []
    for work in works.every("GROWTH" if plot_file else "WORKS"):
        if only in work.title:
            found = measure(work, limit)
            console.print(table(found))
            records += found
    environment = _measure.environment()
    if plot_file:
        plot(records, plot_file)
        for (d, name), p in sorted(exponents(records)[1].items()):
            console.print(f"d = {d}, {name}: n^{p:.2f}")
    if json_file:
        json_file.write_text(json.dumps({"environment": environment, "records": records}, indent=1) + "\n")
    console.print(environment)


if __name__ == "__main__":
    main()
