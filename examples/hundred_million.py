"""A mean-shift step of a hundred million points from disk to disk, in less memory than a laptop has.

    python examples/hundred_million.py --points 1e6   # to try it

Points are written to a .npy file first, unless it is there. Two processes share the work and at most 4 GB of memory.
"""

import argparse
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, progress

from registry import get

BLOCK = 1_000_000  # points: a tile has as many


def written(path, count, dimensions):
    """Write uniform points in a square or cube, a block at a time."""
    points = np.lib.format.open_memmap(path, "w+", np.float32, (count, dimensions))
    for start in range(0, count, BLOCK):
        block = points[start : start + BLOCK]
        block[:] = np.random.default_rng(start).random(block.shape, np.float32)
    points.flush()


def blocks_of(path):
    """Return a .npy file as a dask array, whose tasks each open the file and read a block of it."""
    shape = np.load(path, mmap_mode="r").shape
    return da.map_blocks(
        lambda block_info: np.array(np.load(path, mmap_mode="r")[slice(*block_info[None]["array-location"][0])]),
        chunks=((BLOCK,) * (shape[0] // BLOCK) + ((rest,) if (rest := shape[0] % BLOCK) else ()), shape[1:]),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=float, default=1e8)
    parser.add_argument("--dimensions", type=int, default=2)
    parser.add_argument("--neighbours", type=float, default=100, help="points within a bandwidth of each, on average")
    parser.add_argument("--kernel", default="triangular")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    count, d = int(given.points), given.dimensions
    bandwidth = (given.neighbours / count / {1: 2, 2: np.pi, 3: 4 / 3 * np.pi}[d]) ** (1 / d)
    source = given.folder / f"points-{count}-{d}.npy"
    if not source.exists():
        written(source, count, d)
    result = np.lib.format.open_memmap(given.folder / f"moved-{count}-{d}.npy", "w+", np.float32, (count, d))
    dask.config.set({"temporary-directory": str(given.folder)})
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="1.7GB", env={"NUMBA_NUM_THREADS": "1"}) as cluster,
        Client(cluster) as client,
    ):
        print(f"dashboard: {client.dashboard_link}")
        started = time.perf_counter()
        moved = get("meanshift_step")(blocks_of(source), bandwidth, kernel=given.kernel)
        task = client.compute(da.store(moved, Written(result.filename), lock=False, compute=False))
        progress(task)
        task.result()
        seconds = time.perf_counter() - started
    print(f"\n{count:,} points in {d} dimensions, {moved.npartitions} tiles: {seconds:.1f} s, written to {result.filename}")


class Written:
    """A .npy file that each task opens for itself, and writes its block to."""

    def __init__(self, path):
        self.path = path

    def __setitem__(self, index, block):
        np.load(self.path, mmap_mode="r+")[index] = block


if __name__ == "__main__":
    main()
