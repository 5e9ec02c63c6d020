"""dask arrays on two processes that share no memory: one cluster for all tests of this file."""

import importlib
import os
import re
import signal
import time
from pathlib import Path

import children
import numpy as np
import pytest
from within import hold

import registry

cloudpickle = pytest.importorskip("cloudpickle")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

step = registry.get("meanshift_step")
ROOT = Path(registry.__file__).parent


@pytest.fixture(scope="module")
def client():
    quiet = {"silence_logs": 50, "dashboard_address": ":0"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(children.SERVES, "1")  # the processes outlive a test
        for name, value in dask.config.get("distributed.nanny.pre-spawn-environ").items():
            environment.setenv(name, str(value))  # as a nanny does, which leaves them so
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="1GiB", **quiet) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def in_this_process(*args, **kwargs):
    """Return a step of threads of this process: what workers send each other, they alone can compute."""
    with dask.config.set({"array.rechunk.method": "tasks"}):
        return step(*args, **kwargs).compute(scheduler="threads")


def crowd():
    """Return 40,000 points of which half are in one cell's width, and the same in blocks."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-50, 50, (40_000, 2))
    x[::2] = rng.uniform(0, 1, (20_000, 2))
    return x, da.from_array(x, chunks=(2_500, 2))


@pytest.mark.parametrize("kernel", ["triangular", "gaussian"])
def test_two_workers_give_the_bits_of_one_process_and_share_a_crowd(client, kernel):
    def seconds():
        times = os.times()
        return times.user + times.system

    x, points = crowd()
    before = client.run(seconds)
    moved = step(points, 1.0, kernel=kernel).compute()
    took = {worker: after - before[worker] for worker, after in client.run(seconds).items()}
    assert moved.tobytes() == in_this_process(points, 1.0, kernel=kernel).tobytes()
    hold("meanshift_step", moved, x, 1.0, kernel=kernel, rows=20)
    assert len(took) == 2
    assert max(took.values()) < 0.8 * sum(took.values()), took


@pytest.mark.parametrize(
    ("method", "kernel", "blocks"),
    [("tiles", "triangular", 12), ("tiles", "triangular", 4), ("ring", "triangular", 12), ("fast_gauss", "gaussian", 12)],
)
def test_a_worker_killed_in_the_middle_changes_no_bit(client, method, kernel, blocks):
    if method == "fast_gauss":
        pytest.importorskip("numba")
    rng = np.random.default_rng(1)
    points = da.from_array(rng.standard_normal((60_000, 2)).astype(np.float32), chunks=(60_000 // blocks, 2))
    expected = in_this_process(points, 0.1, kernel=kernel, method=method)
    points = points.map_blocks(slowly, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    future = client.compute(step(points, 0.1, kernel=kernel, method=method))
    while client.run_on_scheduler(lambda dask_scheduler: sum(t.state == "memory" for t in dask_scheduler.tasks.values())) < 3:
        assert not future.done()
        time.sleep(0.02)
    worker, number = next(iter(client.run(os.getpid).items()))
    os.kill(number, signal.SIGKILL)
    assert future.result(timeout=100).tobytes() == expected.tobytes()
    assert worker not in client.run(os.getpid) or client.run(os.getpid)[worker] != number
    client.wait_for_workers(2, timeout=300)  # a nanny that could not start its worker again does not try twice


def slowly(block):
    time.sleep(0.1)
    return block


def test_a_tile_beyond_the_memory_of_a_worker_ends_in_an_error_that_names_it(client):
    points = da.random.default_rng(0).random((6_000_000, 2), chunks=(1_500_000, 2))
    with pytest.raises(MemoryError, match=r"meanshift_step: tile \d of 4: about 6,000,000 points .* may take .* MiB; take"):
        step(points, 1.0).compute()
    assert len(client.run(os.getpid)) == 2


def test_blocks_are_checked_and_computed_on_the_workers(client):
    x = np.ones((8, 2))
    x[5] = np.nan
    with pytest.raises(ValueError, match=r"^meanshift_step: argument x: expected finite entries"):
        step(da.from_array(x, chunks=(2, 2)), 1.0).compute()
    a = np.arange(24.0).reshape(4, 6)
    assert (registry.get("matmul")(da.from_array(a, chunks=2), a.T).compute() == a @ a.T).all()


def test_numpy_data_are_handed_to_workers_and_not_in_the_graph(client):
    x = np.random.default_rng(0).standard_normal((50, 2))
    points, sizes = da.from_array(x, chunks=(10, 2)), []
    for count in (100, 10_000):
        data = np.random.default_rng(1).standard_normal((count, 2))
        moved = step(points, 0.5, data=data, kernel="flat")
        sizes.append(len(cloudpickle.dumps(dict(moved.__dask_graph__()))))
        hold("meanshift_step", moved.compute(), x, 0.5, data=data, kernel="flat")
    assert abs(sizes[1] - sizes[0]) < 100


def test_the_blocks_of_the_page_on_dask_run(client, capsys):
    from kernels.meanshift_step import _dask_tiles

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "examples" / "dask.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out.split("\n") == ["4 (20000, 2)", f"{names['mebibytes']:.0f} MiB", ""]
    assert names["mebibytes"] == _dask_tiles.COPIES * 8 * names["d"] * names["m"] / 2**20


def test_a_simulated_cluster_runs_the_tasks_of_a_real_one(client, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    bench = importlib.import_module("thousand_workers")
    cloudpickle.register_pickle_by_value(bench)  # the workers have no folder of that name on their path
    client.register_plugin(bench.Watch())
    points = da.random.default_rng(0).random((240_000, 2), chunks=(20_000, 2))
    real = bench.measure(client, step(points, 0.01, kernel="flat"))
    client.unregister_worker_plugin(bench.Watch.name)
    cloudpickle.unregister_pickle_by_value(bench)
    costs = bench.Costs(real["seconds"], real["nbytes"], scheduling=1e-4, bandwidth=1e9, latency=1e-4, sent=20_000 * 2 * 8)
    found = {workers: bench.simulated(real["graph"], real["keys"], workers, costs) for workers in (1, 2)}
    for workers, each in found.items():
        assert each["by_name"] == real["counts"]
        assert each["computing"] <= workers * each["seconds"]
        assert 0 < each["scheduler_busy"] <= 1
    assert found[1]["bytes_moved"] == 0
    # Which tiles lie together differs from run to run, so some pieces move in one of both alone. To count references, not pieces,
    # gives a quarter.
    assert 1 / 2 < found[2]["bytes_moved"] / real["moved"] < 2
    assert len(client.run(os.getpid)) == 2  # the scheduler that was simulated took none of them
