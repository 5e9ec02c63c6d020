"""`kernel-zoo cluster`."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from rich.table import Table

import registry
from kernels._cli.outputs import OUTPUT, atomic_write, bars, require_writable
from kernels._cli.text import JSON, VARIANT, dumps, print_table, require
from kernels._cli.workers import workers

SUFFIXES = (".csv", ".npy", ".parquet")
MOST_ROWS, MOST_COLUMNS = 20, 6  # of the centres that are printed


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--bandwidth", type=float, help="How far a point sees, in the columns' unit; estimated if not given.")
@click.option("--kernel", default="gaussian", show_default=True, help="gaussian, triangular, epanechnikov or flat.")
@click.option("--columns", default="", metavar="LIST", help="The coordinates, by name or position from 1: height,3-5.")
@click.option("--weights", default="", metavar="COLUMN", help="The column that says how many points each row stands for.")
@click.option(
    "--seeding",
    default="points",
    show_default=True,
    type=click.Choice(["points", "grid"]),
    help="Where walks begin: at all points, or at one for each cell of a grid.",
)
@click.option(
    "--labels",
    default="attractor",
    show_default=True,
    type=click.Choice(["attractor", "nearest"]),
    help="A point's cluster: where its own walk ends, or the nearest centre.",
)
@click.option("--blurring", is_flag=True, help="Let the data walk too, all at once, as in the lecture.")
@click.option("--max-iter", default=300, show_default=True, type=click.IntRange(1), help="The most steps of a walk.")
@VARIANT
@click.option("--dask", is_flag=True, help="Compute in blocks, by a process for each core: .npy, .zarr or .parquet.")
@click.option("--scheduler", metavar="ADDRESS", help="The same, by the workers of dask's scheduler there: tcp://host:8786.")
@click.option(
    "--output", type=OUTPUT, help="Where to write each row's cluster, from 0: .csv, .npy or .parquet; .zarr with --dask."
)
@click.option("--centers", type=OUTPUT, help="Where to write the clusters' centres: .csv, .npy or .parquet.")
@JSON
def cluster(
    file: Path,
    columns: str,
    weights: str,
    output: Path | None,
    centers: Path | None,
    as_json: bool,
    variant: str,
    dask: bool,
    scheduler: str | None,
    **parameters: Any,
) -> None:
    """Cluster the rows of FILE by mean shift: those whose walks uphill end at the same mode of the density are a cluster.

    FILE is a table (.csv, .tsv, .txt, also with .gz; .parquet) or .npy. Columns of text are left out, and rows that lack a value.
    Clusters are numbered by how many points are within a bandwidth of their centres, the fullest first. --output has a line for
    each row of FILE, and -1 in that of a row which was left out.

    With --dask or --scheduler, FILE is .npy, a Zarr array (.zarr), or .parquet, a file or a folder of its parts. It is read block
    by block by the workers, who keep the points; the labels are written block by block.
    """
    on_workers = dask or scheduler is not None
    if file.is_dir() and not on_workers:
        raise click.UsageError(f"'{file}' is a directory; with --dask, .zarr and .parquet may be")
    if output is not None:
        require_writable("--output", output, (*SUFFIXES, ".zarr") if on_workers else SUFFIXES, file)
    if centers is not None:
        require_writable("--centers", centers, SUFFIXES, file)
    for option, path in (("--output", output), ("--centers", centers)):
        suffix = path.suffix.lower() if path else ".npy"
        if reason := registry.missing({".npy": "numpy", ".zarr": "zarr"}.get(suffix, "polars")):
            raise click.UsageError(f"{option} {path}: {suffix} {reason}; .npy does not")
    if output is not None and centers is not None and output.absolute() == centers.absolute():
        raise click.UsageError(f"--centers {centers}: this is the --output; choose another name")
    require("cluster", "sklearn")
    registry.get("meanshift_step", variant)  # says what is wrong with its name before the file is read
    if on_workers and weights:
        raise click.UsageError(f"--weights {weights}: points in blocks have no weights; leave out --dask and --scheduler")
    if on_workers and parameters["seeding"] == "grid":
        raise click.UsageError("--seeding grid: points in blocks are all seeds; leave out --dask and --scheduler")
    with workers(scheduler) if on_workers else nullcontext() as client:
        points = _read(file, columns, weights, client)
        since = time.perf_counter()
        model = _model(points.numbers, None if client else points.weights, variant, parameters)
        seconds = time.perf_counter() - since
        if output is not None:
            if client:
                _write_blocks(points.for_each_row(model.labels_), points.rows.chunks[0], output)
            else:
                _write_table(_for_each_row(model.labels_, points.kept), ["cluster"], output)
        if centers is not None:
            _write_table(model.cluster_centers_, points.names, centers)
        _show(file, model, points.names, seconds, parameters["bandwidth"] is None, as_json)
    for path in filter(None, (output, centers)):
        click.echo(f"wrote {path}", err=True)


def _read(file: Path, columns: str, weights: str, client: Any) -> Any:
    """Return the file's points: in blocks, if there are workers."""
    tell = functools.partial(click.echo, err=True)
    with bars() as progress:
        progress.add_task("reading", total=None)
        if client is None:
            from kernels import _inputs

            return _inputs.points(file, columns, weights, tell=tell)
        from kernels._inputs import blocks

        return blocks.points(file, columns, sum(client.nthreads().values()), lambda line: tell(f"{file.name}: {line}"))


def _model(points: Any, weights: Any, variant: str, parameters: dict[str, Any]) -> Any:
    """Return the estimator fitted to the points."""
    from kernels._bandwidth import KERNELS
    from kernels.cluster import MeanShift

    bandwidth, kernel = parameters["bandwidth"], parameters["kernel"]
    if bandwidth is not None and not 0 < bandwidth < float("inf"):
        raise click.UsageError(f"--bandwidth {bandwidth}: expected a finite number above 0, in the unit of the columns")
    if kernel not in KERNELS:
        raise click.UsageError(f"--kernel {kernel}: expected {', '.join(KERNELS)}")
    if parameters["blurring"] and parameters["seeding"] != "points":
        raise click.UsageError(f"--blurring moves all points: --seeding {parameters['seeding']} does not go with it")
    return MeanShift(variant=variant, progress=True, **parameters).fit(points, sample_weight=weights)


def _for_each_row(labels: Any, kept: Any) -> Any:
    """Return a label for each row of the file that was read: -1 for those that were left out."""
    import numpy as np

    every = np.full(len(kept), -1, np.int64)
    every[kept] = labels
    return every


def _write_table(array: Any, names: list[str], path: Path) -> None:
    """Write an array's columns, whole or not at all; only .npy has no place for their names."""
    import numpy as np

    with atomic_write(path) as unfinished:
        if path.suffix.lower() == ".npy":
            np.save(unfinished, array)
            return
        import polars as pl

        frame = pl.DataFrame(array, schema=names)
        if path.suffix.lower() == ".csv":
            frame.write_csv(unfinished)
        else:
            frame.write_parquet(unfinished)


def _write_blocks(blocks: Iterable[Any], sizes: tuple[int, ...], path: Path) -> None:
    """Write labels block by block, of these sizes, whole or not at all."""
    suffix = path.suffix.lower()
    with atomic_write(path) as unfinished:
        if suffix in (".npy", ".zarr"):
            array, end = _created(unfinished, sum(sizes), max(sizes)), 0
            for block in blocks:
                start, end = end, end + len(block)
                array[start:end] = block
            return
        import polars as pl
        from polars.io.plugins import register_io_source

        frames = (pl.DataFrame(block, schema=["cluster"]) for block in blocks)
        lazy = register_io_source(lambda *_: frames, schema={"cluster": pl.Int64})
        with unfinished.open("wb") as file:  # a thread of polars may open a path only after a failed write was cleared away
            (lazy.sink_csv if suffix == ".csv" else lazy.sink_parquet)(file)


def _created(path: Path, rows: int, chunk: int) -> Any:
    """Return an array of labels that lies in a file."""
    if path.suffix == ".npy":
        from numpy.lib.format import open_memmap

        return open_memmap(path, "w+", dtype="int64", shape=(rows,))
    import zarr

    return zarr.create_array(store=str(path), shape=(rows,), chunks=(chunk,), dtype="int64")


def _show(file: Path, model: Any, names: list[str], seconds: float, estimated: bool, as_json: bool) -> None:
    """Print what was found."""
    import numpy as np

    sizes = np.asarray(np.bincount(model.labels_, minlength=len(model.cluster_centers_))).tolist()
    found = {
        "file": str(file),
        "points": len(model.labels_),
        "columns": names,
        "kernel": model.kernel,
        "bandwidth": model.bandwidth_,
        "estimated": estimated,
        "steps": model.n_iter_,
        "seconds": seconds,
        "sizes": sizes,
        "centers": model.cluster_centers_.tolist(),
    }
    if as_json:
        click.echo(dumps(found))
        return
    clusters = "1 cluster" if len(sizes) == 1 else f"{len(sizes):,} clusters"
    source = "estimated" if estimated else "given"
    walks = f"{model.kernel}, bandwidth {model.bandwidth_:.4g}, {source}; {model.n_iter_} steps, {seconds:.2g} s"
    click.echo(f"{file.name}: {clusters} of {found['points']:,} points ({walks})")
    shown = Table()
    headings = names[:MOST_COLUMNS]
    for heading in ("cluster", "points", *headings):
        shown.add_column(heading, justify="right")
    for i, (size, centre) in enumerate(zip(sizes[:MOST_ROWS], model.cluster_centers_, strict=False)):
        shown.add_row(str(i), f"{size:,}", *(f"{value:.4g}" for value in centre[:MOST_COLUMNS]))
    print_table(shown)
    left_out = [
        f"{len(these) - most:,} more {what}"
        for these, most, what in ((sizes, MOST_ROWS, "clusters"), (names, MOST_COLUMNS, "columns"))
        if len(these) > most
    ]
    if left_out:
        click.echo(f"and {' and '.join(left_out)}; --json prints all, --centers FILE writes them")
