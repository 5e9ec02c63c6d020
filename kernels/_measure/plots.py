"""The picture of a comparison: one bar for each variant, on a logarithmic axis of time."""

from __future__ import annotations

from pathlib import Path

from kernels._explanation import duration
from kernels._measure.timing import Measurement


def ladder(timed: list[Measurement], title: str, path: Path) -> None:
    """Draw the ladder, slowest on top.

    Parameters
    ----------
    timed : list of Measurement
        Slowest first.
    title : str
    path : Path
        Ends in .png or .svg.
    """
    from matplotlib.figure import Figure

    slowest = timed[0].median
    figure = Figure(figsize=(8, 1.2 + 0.42 * len(timed)), layout="constrained")
    axes = figure.add_subplot()
    times = [measurement.median for measurement in timed]
    names = [measurement.variant.name for measurement in timed]
    colours = {framework: f"C{i}" for i, framework in enumerate(sorted({m.variant.framework for m in timed}))}
    bars = axes.barh(names, times, color=[colours[m.variant.framework] for m in timed])
    labels = [f"{duration(t)}  ({slowest / t:,.{0 if slowest / t >= 100 else 1}f}x)" for t in times]
    axes.bar_label(bars, labels, padding=4)
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 2, max(times) * 30)
    axes.invert_yaxis()
    axes.set_xlabel("median time of a run in seconds (times faster than the slowest)")
    axes.set_title(title, loc="left", parse_math=False)  # the name of a file may hold dollars
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    first = {m.variant.framework: bar for m, bar in zip(timed, bars, strict=True)}
    figure.legend(
        [first[framework] for framework in colours], list(colours), title="written with", loc="outside right upper", frameon=False
    )
    figure.savefig(path, dpi=144)
