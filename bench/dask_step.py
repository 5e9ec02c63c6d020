"""A mean-shift step of a dask array on two processes beside the same step of one process on two threads: time, memory, tasks.

    pip install -c constraints.txt -e '.[numba,dask]'
    python bench/dask_step.py [--points 1e7] [--only "triangular, d = 2"] [--output bench/results/dask.json]

Uniform points in a square or a cube, with 10 or 1000 of them within a bandwidth of each, on average. Both sides begin with the
points in memory, and leave the moved ones there: those of dask on its workers. The two are timed in turn, and a ratio is one of
medians. Nothing counts before both hold the contract's bound, on the rows in which they differ most, and on others by chance.

Each worker has one tile. Its memory is what it takes at most in any timed step, above what it held before, which is its share of
the points; pages of files do not count. What is more than its share of the result is set against the bytes of the largest tile
and the data within its reach: who moves a tile must hold these at least once. Records of works that are left out are kept.
"""

import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import click
import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from rich.console import Console
from rich.table import Table

import registry
from kernels import _measure
from kernels._definition.numerics import compare
from kernels.meanshift_step import _dask_tiles
from kernels.meanshift_step._cutoff import MARGIN

SIDES = ("dask", "one process")
WORKERS = 2
DENSITIES = {"low": 10, "high": 1000}  # points within a bandwidth of one
CHECKED = 16  # rows that differ most, and as many by chance
SECONDS, REPEATS = 20, 7  # a work is repeated until the time is spent, and at most so often, at least twice
VANISHING = 8.5  # bandwidths, beyond which float32 cannot tell the sum of all a gaussian's weights from 0

step = registry.get("meanshift_step")


def works(points):
    """Yield the name of each work, and what it is made of."""
    for n in points:
        for d in (2, 3):
            for kernel in ("triangular", "gaussian"):
                for density, near in DENSITIES.items():
                    bandwidth = (near / n / {2: np.pi, 3: 4 / 3 * np.pi}[d]) ** (1 / d)
                    yield f"{kernel}, d = {d}, {density} density, n = {n:.0e}", int(n), d, kernel, bandwidth


def blocks_of(path, tiles):
    """Return a .npy file as a dask array, whose tasks each read a block of it."""
    n, d = np.load(path, mmap_mode="r").shape
    return da.map_blocks(
        lambda block_info: np.array(np.load(path, mmap_mode="r")[slice(*block_info[None]["array-location"][0])]),
        chunks=(tuple(n * (t + 1) // tiles - n * t // tiles for t in range(tiles)), (d,)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def largest_share_of_bound(x, bandwidth, kernel, results):
    """Return for each result the largest error over its bound."""
    contract, rng = registry.contract("meanshift_step"), np.random.default_rng(0)
    differ = np.argpartition(np.abs(results[0] - results[1]).max(axis=1), -CHECKED)[-CHECKED:]
    reach, shares = bandwidth * (VANISHING if kernel == "gaussian" else MARGIN), [0.0] * len(results)
    for i in [*differ, *rng.choice(len(x), CHECKED)]:
        near = x[(np.abs(x - x[i]) <= reach).all(axis=1)]
        expected = contract.expected(x[i : i + 1], bandwidth, data=near, kernel=kernel, dtype="float32", precision="truncated")
        shares = [max(share, compare(y[i : i + 1], *expected).share) for share, y in zip(shares, results, strict=True)]
    return shares


def tile_and_halo(x, bandwidth, kernel, tiles):
    """Return how many points and data the largest tile has, cut as the step cuts them."""
    reach = _dask_tiles.reach_of(kernel, bandwidth, 2.0**-24)
    some = _dask_tiles.sample(_dask_tiles.SAMPLE * tiles / len(x), x, (0, 0))
    tree = _dask_tiles.cut(tiles, 1, reach, 0, None, "", [some])
    *_, counts = _dask_tiles.places(x, 0, tiles, tree.nodes, reach)
    return int(counts.sum(axis=0).max())


def held(process):
    """Return the bytes of a process's memory that are no pages of files, as Linux has it."""
    lines = dict(line.split(":") for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024


def watched(client, run):
    """Return the most that a worker holds while `run` runs, above what it holds before, in bytes, and what `run` gives."""
    processes = list(client.run(os.getpid).values())
    before, most, over = [*map(held, processes)], 0, threading.Event()

    def watch():
        nonlocal most
        while not over.wait(0.02):
            most = max([most, *(held(process) - was for process, was in zip(processes, before, strict=True))])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return run(), most
    finally:
        over.set()
        watcher.join()


def on_workers(points, bandwidth, kernel, method, finish=len):
    """Return the seconds of a step, and what `finish` gives of the points moved.

    The workers forget them: while they have some, the same step is not computed again.
    """
    since = time.perf_counter()
    moved = step(points, bandwidth, kernel=kernel, method=method).persist()
    wait(moved)
    return time.perf_counter() - since, finish(moved)


def in_one_process(x, bandwidth, kernel):
    """Return the seconds of a step, and the points moved."""
    since = time.perf_counter()
    moved = step(x, bandwidth, kernel=kernel)
    return time.perf_counter() - since, moved


def record(client, folder, tiles, method, name, n, d, kernel, bandwidth):
    """Return what was measured of a work."""
    x = np.random.default_rng(0).random((n, d), np.float32)
    np.save(folder / "points.npy", x)
    points = blocks_of(folder / "points.npy", tiles).persist()
    wait(points)
    results = [on_workers(points, bandwidth, kernel, method, da.Array.compute)[1], in_one_process(x, bandwidth, kernel)[1]]
    shares = largest_share_of_bound(x, bandwidth, kernel, results)
    del results
    tasks = len(step(points, bandwidth, kernel=kernel, method=method).__dask_graph__())
    kept = {
        "work": name,
        "points": n,
        "tiles": tiles,
        "method": method,
        "tasks a tile": tasks / tiles,
        "error over bound": dict(zip(SIDES, shares, strict=True)),
        "variant in one process": registry.explain("meanshift_step", x, bandwidth, kernel=kernel).chosen.name,
    }
    if not max(shares) <= 1:
        return kept | {"status": f"WRONG: {max(shares):.3g} of the bound"}
    ours, single, peak, since = [], [], 0, time.perf_counter()
    while len(ours) < 2 or (time.perf_counter() - since < SECONDS and len(ours) < REPEATS):
        (seconds, _), most = watched(client, lambda: on_workers(points, bandwidth, kernel, method))
        ours.append(seconds)
        single.append(in_one_process(x, bandwidth, kernel)[0])
        peak = max(peak, most)
    tile = tile_and_halo(x, bandwidth, kernel, tiles) * x.itemsize * d
    return kept | {
        "status": "timed",
        "seconds": dict(zip(SIDES, map(statistics.median, (ours, single)), strict=True)),
        "samples": dict(zip(SIDES, (ours, single), strict=True)),
        "ratio": statistics.median(ours) / statistics.median(single),
        "bytes of the largest tile and its halo": tile,
        "peak bytes of a worker": peak,
        "peak over tile and halo": (peak - x.nbytes / WORKERS) / tile,
    }


@click.command()
@click.option("--output", default=Path(__file__).parent / "results" / "dask.json", type=click.Path(path_type=Path))
@click.option("--points", default=(1e6, 1e7), multiple=True, type=float)
@click.option("--tiles", default=WORKERS)
@click.option("--only", default="", help="A part of a work's name.")
@click.option("--method", default="auto", help="The method of the dask variant; a record names it unless it is auto.")
def main(output, points, tiles, only, method):
    """Measure each work, keep its record at once, and print a table."""
    about = _measure.environment() | {"busy": _measure.busy(), "dask": dask.__version__}
    records = {each["work"]: each for each in json.loads(output.read_text())["records"]} if output.exists() else {}
    table = Table("work", *SIDES, "ratio", "peak over tile and halo", "tasks a tile")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, env={"NUMBA_NUM_THREADS": "1"}, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        for name, *work in works(points):
            if only not in name:
                continue
            name += f", by {method}" if method != "auto" else ""
            each = records[name] = record(client, Path(folder), tiles, method, name, *work)
            times = [_measure.duration(each["seconds"][side]) if "seconds" in each else each["status"] for side in SIDES]
            figures = [f"{each.get(key, np.nan):.2f}" for key in ("ratio", "peak over tile and halo", "tasks a tile")]
            table.add_row(name, *times, *figures)
            output.write_text(json.dumps({"environment": about, "records": list(records.values())}, indent=1) + "\n")
    Console().print(table)


if __name__ == "__main__":
    main()
