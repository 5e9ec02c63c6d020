"""What a mean-shift step would take on a thousand workers: simulated, from a graph as it is and costs measured here.

    python bench/thousand_workers.py                                      # two billion points in 2000 tiles
    python bench/thousand_workers.py --tiles 400 --tile 100000 --workers 1 --workers 10

1. The graph is the one that the dask variant builds, of an array that nobody has computed.
2. What its tasks take is measured on a cluster of two processes: seconds, and bytes of what they return, by name, for a few tiles
   of full size; and for more tiles of 500 points, how both grow with the number of tiles, since a block of points is cut into a
   piece for each. A task's cost is a + b tiles. What a task takes of the scheduler and the client is measured by one of a
   sum of ones.
3. dask's own scheduler distributes the graph to simulated workers (`simulated_cluster.py`). How close that comes is told by the
   same simulation of the two processes: its time over theirs, and the bytes that it moves over those that they moved.
"""

import collections
import functools
import json
import logging
import math
import time
from pathlib import Path

import click
import dask
import dask.array as da
import numpy as np
from dask.base import collections_to_expr
from dask.core import flatten
from dask.utils import key_split
from distributed import Client, LocalCluster, WorkerPlugin, get_task_stream, wait
from distributed.scheduler import _materialize_graph
from distributed.shuffle._core import ShuffleRun
from rich.console import Console
from rich.table import Table
from simulated_cluster import Costs, simulated

from kernels import _measure
from registry import get

RESULTS = Path(__file__).parent / "results" / "thousand_workers.json"
GRAPHS = (100, 200, 400)  # tiles whose tasks are counted
SMALL, GROWTH = 500, (32, 64, 128)  # points in a tile, and tiles, from which a task's growth with the number of tiles is fitted
SUMMED = 1000  # ones that are added up to see what a task takes of the scheduler
FULL = 16  # tiles of full size that are computed
HEADER = 128  # bytes that an array takes besides its entries
LATENCY = 5e-4  # seconds


def block(size, dimensions, side, block_id):
    """Return points anywhere in a square or cube: a block of rows has some in every tile."""
    return np.random.default_rng(block_id[0]).random((size, dimensions), np.float32) * np.float32(side)


def step(tiles, size, dimensions, kernel, neighbours):
    """Return the points, and their step, as dask arrays: as many neighbours within a bandwidth of 1, whatever their number."""
    volume = {1: 2, 2: math.pi, 3: 4 / 3 * math.pi}[dimensions]
    side = (tiles * size / neighbours * volume) ** (1 / dimensions)
    points = da.map_blocks(
        functools.partial(block, size, dimensions, side), chunks=((size,) * tiles, (dimensions,)), dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )  # fmt: skip
    return get("meanshift_step")(points, 1.0, kernel=kernel)


def graph_of(array):
    """Return the tasks of an array as a scheduler gets them, optimised, and the keys of its blocks."""
    expression = collections_to_expr([array]).optimize()
    return _materialize_graph(expression, False)[0], list(flatten(expression.__dask_keys__()))


def deep_bytes(value):
    """Return how many bytes a result has, with the arrays in an array of objects, which dask does not count."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.nbytes + HEADER
    if isinstance(value, np.ndarray | list | tuple):
        return sum(map(deep_bytes, value.ravel() if isinstance(value, np.ndarray) else value))
    return 8


class Watch(WorkerPlugin):
    """Adds up the bytes of what a worker's tasks return, by name, and of what moves between workers."""

    name = "watch"

    def setup(self, worker):
        """Begin at nothing, and see what the worker sends in an exchange."""
        self.worker, self.send = worker, ShuffleRun._send
        self.forget()

        async def counted(run, address, shards):
            if address != run.local_address:
                self.moved += len(shards) if isinstance(shards, bytes) else deep_bytes(shards)
            return await self.send(run, address, shards)

        ShuffleRun._send = counted

    def teardown(self, worker):
        """See no more."""
        ShuffleRun._send = self.send

    def forget(self):
        """Begin anew."""
        self.nbytes, self.counts, self.moved = collections.Counter(), collections.Counter(), 0

    def transition(self, key, start, finish, **_):
        """Look at a result, or at what has come from another worker."""
        if start == "flight" and finish == "memory":
            self.moved += deep_bytes(self.worker.data[key])
        if start == "executing" and finish == "memory":
            self.nbytes[key_split(key)] += deep_bytes(self.worker.data[key])
            self.counts[key_split(key)] += 1


def read_watch(dask_worker):
    """Return what a worker's tasks have returned so far, and forget it."""
    plugin = dask_worker.plugins["watch"]
    found = plugin.nbytes, plugin.counts, plugin.moved
    plugin.forget()
    return found


def measure(client, array, average=np.median):
    """Compute an array on a cluster; return what its tasks took on average, by name, and the whole of it."""
    client.run(read_watch)
    graph, keys = graph_of(array)
    with get_task_stream(client) as stream:
        began, cpu = time.perf_counter(), time.process_time()
        result = array.persist()
        wait(result)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    *found, moved = zip(*client.run(read_watch).values(), strict=True)
    nbytes, counts = (sum(each, collections.Counter()) for each in found)
    spent = collections.defaultdict(list)
    for record in stream.data:
        took = [each["stop"] - each["start"] for each in record["startstops"] if each["action"] == "compute"]
        spent[key_split(record["key"])] += took
    del result
    return {
        "graph": graph,
        "keys": keys,
        "counts": dict(counts),
        "wall": seconds,
        "moved": sum(moved),
        "scheduling": cpu / sum(counts.values()),
        "bandwidth": client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.bandwidth),
        "seconds": {name: float(average(spent[name])) for name in counts},
        "nbytes": {name: nbytes[name] / count for name, count in counts.items()},
    }


def growth(small, what):
    """Return by name how much a task takes more for each further tile: the slope of a line, no less than 0."""
    tiles = list(small)
    names = set.intersection(*(set(each[what]) for each in small.values()))
    return {name: max(0.0, np.polyfit(tiles, [small[t][what][name] for t in tiles], 1)[0]) for name in names}


def costs_at(tiles, full, full_tiles, slopes, **rates):
    """Return what the tasks of a graph of so many tiles of full size take."""
    at = {
        what: {name: value + slopes[what].get(name, 0.0) * (tiles - full_tiles) for name, value in full[what].items()}
        for what in ("seconds", "nbytes")
    }
    return Costs(**at, **rates)


def show(console, records, about):
    """Print what was simulated."""
    title = f"simulated, not measured: {about['points']:.3g} points in {about['tiles']:,} tiles, {about['kernel']}"
    shown = Table(title=title, title_justify="left")
    for column in ("workers", "time", "efficiency", "bytes moved", "held by a worker", "scheduler busy", "its decisions alone"):
        shown.add_column(column, justify="right")
    for r in records:
        shown.add_row(
            f"{r['workers']:,}", f"{r['seconds']:,.1f} s", f"{r['efficiency']:.0%}", f"{r['bytes_moved'] / 1e9:,.1f} GB",
            f"{r['peak_held'] / 1e6:,.0f} MB", f"{r['scheduler_busy']:.1%}",
            f"{r['scheduler_microseconds_a_task']:.0f} µs a task",
        )  # fmt: skip
    console.print(shown)
    lines = ", ".join(f"{tiles} tiles {count}" for tiles, count in about["tasks"].items())
    console.print(f"tasks: {lines}: {about['tasks_a_tile']:.2f} for each tile and {about['tasks_more']:.0f} more")
    check = about["two_processes"]
    spent = {name: about["seconds"][name] * count for name, count in records[0]["by_name"].items()}
    first = sorted(spent, key=spent.get, reverse=True)[:4]
    shares = ", ".join(f"{name} {spent[name] / sum(spent.values()):.0%} ({about['seconds'][name]:.3g} s each)" for name in first)
    grows = about["more_for_each_tile"]["seconds"]["meanshift_step-split"] * 1e3
    console.print(f"of the computing: {shares}; split grows by {grows:.3g} ms a tile")
    console.print(
        f"two processes, {check['tiles']} tiles: simulated {check['simulated']:.2f} s, measured {check['measured']:.2f} s, "
        f"ratio {check['simulated'] / check['measured']:.2f}; bytes moved, ratio "
        f"{check['simulated_bytes_moved'] / check['measured_bytes_moved']:.2f}; a task takes the scheduler and the client "
        f"{about['scheduling'] * 1e6:.0f} µs"
    )


@click.command()
@click.option("--tiles", default=2000, show_default=True)
@click.option("--tile", default=1_000_000, show_default=True, help="Points in a tile.")
@click.option("--workers", multiple=True, type=int, default=(1, 10, 100, 1000), show_default=True)
@click.option("--dimensions", default=2, show_default=True)
@click.option("--kernel", default="triangular", show_default=True)
@click.option("--neighbours", default=100.0, show_default=True, help="Points within a bandwidth of each, on average.")
@click.option("--bandwidth", default=1.25e9, show_default=True, help="Bytes a second, of each worker's line.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=RESULTS)
def main(tiles, tile, workers, dimensions, kernel, neighbours, bandwidth, output):
    """Simulate a step on a thousand workers, from costs measured on two."""
    console, busy = Console(width=150), _measure.busy()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    made = functools.partial(step, dimensions=dimensions, kernel=kernel, neighbours=neighbours)
    with (
        dask.config.set({"distributed.comm.retry.count": 3}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50, env={"NUMBA_NUM_THREADS": "1"}
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(Watch())
        for array in (made(FULL, SMALL), da.ones(SUMMED, chunks=1).sum(split_every=2)):
            measure(client, array)  # what is compiled and imported is no cost of a task
        scheduling = measure(client, da.ones(SUMMED, chunks=1).sum(split_every=2))["scheduling"]
        small = {count: measure(client, made(count, SMALL)) for count in GROWTH}
        full = measure(client, made(FULL, tile), average=np.mean)
        # With a client, since dask exchanges blocks differently without one.
        tasks = {count: len(graph_of(made(count, tile))[0]) for count in GRAPHS}
        graph, keys = graph_of(made(tiles, tile))
        tasks[tiles] = len(graph)
    slopes = {what: growth(small, what) for what in ("seconds", "nbytes")}
    a_tile, more = np.polyfit(GRAPHS, [tasks[count] for count in GRAPHS], 1)
    rates = {"scheduling": scheduling, "sent": tile * dimensions * 4}
    at_full = costs_at(FULL, full, FULL, slopes, bandwidth=full["bandwidth"], latency=1e-4, **rates)
    again = simulated(full["graph"], full["keys"], 2, at_full)
    if again["by_name"] != full["counts"]:
        raise click.ClickException(f"simulated {again['by_name']}, computed {full['counts']}: the simulation runs other tasks")
    at_scale = costs_at(tiles, full, FULL, slopes, bandwidth=bandwidth, latency=LATENCY, **rates)
    records = []
    about = {
        "environment": _measure.environment() | {"busy": busy},
        "points": tiles * tile, "tiles": tiles, "dimensions": dimensions, "kernel": kernel, "neighbours": neighbours,
        "tasks": tasks, "tasks_a_tile": a_tile, "tasks_more": more, "scheduling": rates["scheduling"],
        "two_processes": {
            "tiles": FULL, "simulated": again["seconds"], "measured": full["wall"],
            "simulated_bytes_moved": again["bytes_moved"], "measured_bytes_moved": full["moved"],
        },
        "network": {"bandwidth": bandwidth, "latency": LATENCY},
        "seconds": at_scale.seconds, "nbytes": at_scale.nbytes, "more_for_each_tile": slopes,
        "seconds_of_small_tiles": {count: small[count]["seconds"] for count in GROWTH},
    }  # fmt: skip
    for count in workers:
        records.append(simulated(graph, keys, count, at_scale))
        output.write_text(json.dumps({"simulated, not measured": records} | about, indent=1) + "\n")
    show(console, records, about)


if __name__ == "__main__":
    main()
