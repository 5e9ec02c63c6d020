"""`kernel-zoo animate`."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import click

import registry
from kernels._cli.inputs import example
from kernels._cli.outputs import OUTPUT, atomic_write, bars, require_writable
from kernels._cli.text import VARIANT, require

SUFFIXES = (".gif", ".mp4", ".html")
FRAMES_A_SECOND = 2
DATA, MOVED = "#999999", "#0072B2"  # of Okabe and Ito's colours, which colour-blind readers tell apart


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", required=True, type=OUTPUT, help="What to write: FILE.gif, FILE.html, or FILE.mp4, which needs ffmpeg.")
@click.option("--bandwidth", type=float, help="In the points' unit; 2.5 for the lecture's points, Scott's rule for yours.")
@click.option("--kernel", default="gaussian", show_default=True, help="gaussian, triangular, epanechnikov or flat.")
@click.option("--steps", default=5, show_default=True, type=click.IntRange(1, 200))
@VARIANT
@click.option("--columns", default="", metavar="LIST", help="Columns of FILE, by name or position from 1: height,3-5.")
@click.option("--sample", default=2000, show_default=True, type=click.IntRange(0), help="Rows taken at random; 0 takes all.")
def animate(
    file: Path | None, output: Path, bandwidth: float | None, kernel: str, steps: int, variant: str, columns: str, sample: int
) -> None:
    """Show how points walk to their modes, one mean-shift step after the other.

    The points are the lecture's six clusters, or those of FILE: .npy, .npz, a table, or a picture's pixels. Of more than two
    columns it shows the first two principal components. Each step moves all points towards each other (the blurring mean shift).
    """
    require_writable("--output", output, SUFFIXES, file)
    _require_programs(output)
    changes = (f"kernel={kernel}", *(() if bandwidth is None else (f"bandwidth={bandwidth}",)))
    call = example("meanshift_step", None, file, columns, sample, "float64", changes)
    step = registry.get("meanshift_step", variant)
    with bars() as progress:
        walking = progress.add_task("walking", total=steps)
        x, bandwidth = call.args
        walk = [x]
        for _ in range(steps):
            walk.append(step(walk[-1], bandwidth, **call.kwargs))
            progress.advance(walking)
        drawing = progress.add_task("drawing", total=steps + 1)
        title = f"{len(x):,} points, {call.kwargs['kernel']}, bandwidth {bandwidth:.4g}"
        _write(walk, title, output, lambda frame, _: progress.update(drawing, completed=frame + 1))
    click.echo(f"wrote {output}", err=True)


def _require_programs(output: Path) -> None:
    """Refuse a format that nothing here can write."""
    require("--output", "matplotlib")
    if output.suffix.lower() == ".mp4":
        from matplotlib.animation import FFMpegWriter

        if not FFMpegWriter.isAvailable():
            raise click.UsageError(f"--output {output}: mp4 needs the program ffmpeg, which was not found; .gif and .html do not")


def _plane(walk: list[Any]) -> tuple[list[Any], tuple[str, str]]:
    """Return every step's points in the plane, and what its two axes are."""
    import numpy as np

    x = walk[0]
    if x.shape[1] == 1:
        return [np.column_stack([y[:, 0], np.arange(len(x))]) for y in walk], ("value", "row")
    if x.shape[1] == 2 or len(x) == 1:
        return [y[:, :2] for y in walk], ("first column", "second column")
    centre = x.mean(axis=0)
    _, lengths, directions = np.linalg.svd(x - centre, full_matrices=False)
    variances = (lengths / (lengths.max() or 1)) ** 2
    shares = variances[:2] / (variances.sum() or 1)
    first, second = (f"principal component {i} ({share:.0%} of the variance)" for i, share in enumerate(shares, 1))
    return [(y - centre) @ directions[:2].T for y in walk], (first, second)


def _write(walk: list[Any], title: str, output: Path, tell: Any) -> None:
    """Draw a frame for the points as they were and one for each step, and write the file whole or not at all."""
    import matplotlib as mpl
    from matplotlib.animation import FFMpegWriter, FuncAnimation, HTMLWriter, PillowWriter
    from matplotlib.figure import Figure

    plane, labels = _plane(walk)
    figure = Figure(figsize=(6, 6), dpi=100, layout="constrained")
    axes = figure.add_subplot(xlabel=labels[0], ylabel=labels[1])
    size = min(16.0, max(4.0, 9000 / len(plane[0])))
    x, y = plane[0].T
    axes.scatter(x, y, s=size, color=DATA, linewidths=0, label="where they began")
    points = axes.scatter(x, y, s=2 * size, color=MOVED, linewidths=0, label="the points")
    if walk[0].shape[1] == 1:
        axes.autoscale_view()
    else:  # a square, whose two axes have one unit, as the bandwidth has
        low, high = plane[0].min(axis=0), plane[0].max(axis=0)
        middle, half = (low + high) / 2, float((high - low).max()) * 0.55 or 1.0
        axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), box_aspect=1)
    axes.set_autoscale_on(False)  # a step never leads out of the points' hull
    figure.legend(loc="outside lower center", ncols=2, frameon=False, markerscale=6 / math.sqrt(size))

    def draw(i: int) -> list[Any]:
        points.set_offsets(plane[i])
        axes.set_title(f"step {i} of {len(walk) - 1}: {title}", loc="left")
        return [points]

    kind: dict[str, Any] = {".gif": PillowWriter, ".mp4": FFMpegWriter, ".html": functools.partial(HTMLWriter, embed_frames=True)}
    animation = FuncAnimation(figure, draw, frames=len(walk), init_func=lambda: [points])
    embed_all = mpl.rc_context({"animation.embed_limit": math.inf})  # else the last frames of a large page are left out
    with atomic_write(output) as unfinished, embed_all:
        writer = kind[output.suffix.lower()](fps=FRAMES_A_SECOND)
        animation.save(unfinished, writer=writer, progress_callback=tell)
