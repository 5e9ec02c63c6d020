"""`kernel-zoo cluster --dask`: files that are read, clustered and written in blocks.

One test starts processes; the others compute in this thread.
"""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import children
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from commands import require_one_line

import registry
from kernels._cli import cli

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
zarr = pytest.importorskip("zarr")

from kernels import _inputs  # noqa: E402
from kernels._cli import workers as of_dask  # noqa: E402
from kernels._inputs import blocks  # noqa: E402
from kernels.cluster import MeanShift  # noqa: E402


class Client:
    """Stands in for a client whose work this thread does."""

    dashboard_link = "http://nowhere"

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def nthreads(self):
        return {"a": 2, "b": 1}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Return a function that runs the command in an empty folder, and computes in this thread; `broadcast` compiles nothing."""
    monkeypatch.chdir(tmp_path)
    dask.base.get_scheduler(scheduler="synchronous")  # dask keeps the class of clients that it finds at its first question
    monkeypatch.setattr(distributed, "Client", Client)
    monkeypatch.setattr(distributed, "LocalCluster", Client)

    def run(*arguments, dask_=True):
        with dask.config.set(scheduler="synchronous"):
            options = ["--dask"] if dask_ else []
            return CliRunner().invoke(cli, ["cluster", "--variant", "broadcast", *options, *map(str, arguments)])

    return run


def points(n=30, d=2):
    rng = np.random.default_rng(d)
    return np.concatenate([rng.standard_normal((n, d)), 40 + rng.standard_normal((n + 5, d))])


def save(name, x):
    """Write points to a file of the kind that its name says; a folder of two parts for parts.parquet."""
    if name.endswith(".npy"):
        np.save(name, x)
    elif name.endswith(".zarr"):
        zarr.create_array(store=name, data=x, chunks=(7, 1))
    else:
        table = pl.DataFrame({"a": x[:, 0], "word": ["x"] * len(x), "b": x[:, 1]}, nan_to_null=True)
        if name != "parts.parquet":
            table.write_parquet(name)
            return
        Path(name).mkdir()
        for part, rows in enumerate((table[:20], table[20:])):
            rows.write_parquet(f"{name}/part.{part}.parquet")


def load(name):
    if name.endswith(".npy"):
        return np.load(name)
    if name.endswith(".zarr"):
        return zarr.open_array(name, mode="r")[:]
    return (pl.read_csv if name.endswith(".csv") else pl.read_parquet)(name).to_numpy()[:, 0]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    ("file", "output"), [("x.npy", "l.npy"), ("x.zarr", "l.zarr"), ("x.parquet", "l.parquet"), ("parts.parquet", "l.csv")]
)
def test_the_clusters_are_those_without_dask(cluster, file, output, missing):
    x = points()
    if missing:
        x[3:40, 1] = np.nan  # and so all of a block
    save(file, x)
    np.save("alone.npy", x)
    done = cluster(file, "--bandwidth", 3, "--output", output, "--centers", "c.npy", "--json")
    alone = cluster("alone.npy", "--bandwidth", 3, "--output", "labels.npy", "--centers", "centres.npy", "--json", dask_=False)
    assert done.exit_code == alone.exit_code == 0, done.output
    labels, expected = load(output), np.load("labels.npy")
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int64
    with dask.config.set(scheduler="synchronous"):  # tests/cluster hold the modes that the estimator finds in blocks
        model = MeanShift(bandwidth=3, variant="broadcast").fit(blocks.points(Path(file), "", 3, lambda _: None).numbers)
    np.testing.assert_array_equal(np.load("c.npy"), model.cluster_centers_)
    found, without = json.loads(done.stdout), json.loads(alone.stdout)
    assert found["sizes"] == without["sizes"]
    assert found["points"] == without["points"]
    assert found["columns"] == (["a", "b"] if "parquet" in file else ["1", "2"])
    said = done.stderr.splitlines()
    assert [line for line in said if "dashboard" in line] == said[:1]
    assert (f"{file}: 37 of 65 rows left out: a value is missing" in said) == missing
    assert said[-2:] == [f"wrote {output}", "wrote c.npy"]


@pytest.mark.parametrize("name", ["x.npy", "x.zarr", "x.parquet"])
@pytest.mark.parametrize("columns", ["", "2", "2,1"])
def test_blocks_hold_what_one_process_reads(tmp_path, monkeypatch, name, columns):
    monkeypatch.chdir(tmp_path)
    x = points().astype(np.float32)
    x[5, 1] = np.nan
    save(name, x)
    if name == "x.zarr":
        np.save("x.npy", x)
    if name == "x.parquet":
        columns = ",".join("abab"[int(each) - 1] for each in columns.split(",") if each)
    expected = _inputs.points(tmp_path / name.replace("zarr", "npy"), columns, tell=lambda line: None)
    with dask.config.set({"scheduler": "synchronous", "array.chunk-size": "160B"}):
        found = blocks.points(tmp_path / name, columns, 1, lambda line: None)
        np.testing.assert_array_equal(found.numbers.compute(), expected.numbers)
        assert found.numbers.dtype == expected.numbers.dtype
        assert max(found.rows.chunks[0]) * found.numbers.shape[1] * found.numbers.dtype.itemsize <= 160
        assert found.names == expected.names
        labels = found.numbers[:, 0].astype(np.int64)
        every = np.concatenate(list(found.for_each_row(labels)))
    np.testing.assert_array_equal(every[expected.kept], labels.compute())
    assert every[~expected.kept].tolist() == [-1] * (~expected.kept).sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.csv"], "x.csv is not read in blocks: expected .npy, .zarr, .parquet; without --dask other tables are read"),
        (["x.npy", "--weights", "2"], "--weights 2: points in blocks have no weights"),
        (["x.npy", "--seeding", "grid"], "--seeding grid: points in blocks are all seeds"),
        (["x.npy", "--columns", "3"], "x.npy cannot be read in blocks: it has no column '3'; there are 1, 2"),
        (["x.npy", "--kernel", "round"], "--kernel round: expected gaussian"),
        (["x.npy", "--output", "l.txt"], "--output l.txt: expected a name that ends in .csv, .npy, .parquet, .zarr"),
        (["x.npy", "--centers", "c.zarr"], "--centers c.zarr: expected a name that ends in .csv, .npy, .parquet"),
        (["words.npy"], "words.npy cannot be read in blocks: "),
        (["words.parquet"], "words.parquet cannot be read in blocks: "),
        (["words.zarr"], "words.zarr cannot be read in blocks: "),
        (["group.zarr"], "group.zarr cannot be read in blocks: "),
        (["empty.npy"], "empty.npy cannot be read in blocks: it holds an array of shape (0, 2); expected rows and columns"),
        (["text.npy"], "text.npy cannot be read in blocks: it holds dtype <U1; expected real numbers"),
        (["nan.npy"], "nan.npy cannot be read in blocks: each of its 2 rows lacks a value in some column"),
        (["infinite.npy"], "infinite.npy cannot be read in blocks: column 2 holds inf in row 40"),
        (
            ["x.parquet", "--columns", "a,word"],
            "x.parquet cannot be read in blocks: these columns hold no numbers: word (String)",
        ),
    ],
)
def test_what_cannot_be_clustered_in_blocks_is_refused_in_one_line(cluster, tmp_path, arguments, message):
    infinite = points()
    infinite[39, 1] = np.inf
    for name, x in {
        "x": points(), "empty": np.empty((0, 2)), "text": np.array([["a"]]), "nan": np.full((2, 2), np.nan), "infinite": infinite,
    }.items():  # fmt: skip
        np.save(f"{name}.npy", x)
    save("x.parquet", points())
    zarr.create_group(store="group.zarr").create_array("inner", data=points())
    for name in ("x.csv", "words.npy", "words.parquet", "words.zarr"):
        (tmp_path / name).write_text("words")
    before = sorted(file.name for file in tmp_path.iterdir())
    require_one_line(cluster(*arguments), message)
    assert sorted(file.name for file in tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".parquet"])
def test_a_file_that_workers_do_not_find_is_no_file_of_zeros(cluster, monkeypatch, suffix):
    file, without_missing = f"x{suffix}", blocks._without_missing

    def elsewhere(*found):
        Path(file).rename("gone")
        return without_missing(*found)

    save(file, points())
    monkeypatch.setattr(blocks, "_without_missing", elsewhere)
    require_one_line(cluster(file), f"{file} cannot be read in blocks: workers do not find it (")


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".csv", ".parquet"])
def test_writing_that_fails_leaves_what_was_there(cluster, tmp_path, monkeypatch, suffix):
    def fail(*_):
        yield np.zeros(5, np.int64)
        raise OSError("no space left")

    np.save("x.npy", points())
    monkeypatch.setattr(blocks.Blocks, "for_each_row", fail)
    done = cluster("x.npy", "--output", f"l{suffix}")
    assert done.exit_code == 1
    assert "no space left" in str(done.exception)
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("package", ["dask", "distributed", "zarr"])
def test_what_is_not_installed_is_named_with_the_command(cluster, monkeypatch, package):
    missing = registry.missing
    lacking = {package: f"needs the package {package} (pip install {package})"}
    monkeypatch.setattr(registry, "missing", lambda name: lacking.get(name) or missing(name))
    zarr.create_array(store="x.zarr", data=points())
    require_one_line(cluster("x.zarr"), lacking[package])
    np.save("x.npy", points())
    assert cluster("x.npy", "--bandwidth", 3, dask_=False).exit_code == 0


@pytest.mark.parametrize("dask_", [False, True])
@pytest.mark.parametrize("option", ["--output", "--centers"])
def test_a_table_that_cannot_be_written_is_refused_before_the_file_is_read(cluster, monkeypatch, option, dask_):
    lacking = {"polars": "needs the package polars (pip install polars)"}
    monkeypatch.setattr(registry, "missing", lacking.get)
    Path("x.npy").write_text("words")
    require_one_line(cluster("x.npy", option, "l.csv", dask_=dask_), f"{option} l.csv: .csv {lacking['polars']}; .npy does not")


def test_a_folder_is_read_in_blocks_alone(cluster):
    save("x.zarr", points())
    require_one_line(cluster("x.zarr", dask_=False), "'x.zarr' is a directory; with --dask, .zarr and .parquet may be")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "udp://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(of_dask, "TIMEOUT", 0.3)
    np.save("x.npy", points())
    done = CliRunner().invoke(cli, ["cluster", "x.npy", "--scheduler", address])
    require_one_line(
        done, f"--scheduler {address}: no scheduler of dask answered within 0.3 s; expected an address such as tcp://"
    )


@pytest.mark.parametrize("who", ["scheduler", "workers"])
def test_a_scheduler_without_the_package_is_told_what_to_install(cluster, monkeypatch, who):
    def run_here(code, *arguments):
        code(*arguments)

    def lacking(*_):
        raise ModuleNotFoundError("No module named 'kernels'")

    for name, lacks in (("wait_for_workers", None), ("run_on_scheduler", "scheduler"), ("run", "workers"), ("close", None)):
        there = lacking if who == lacks else run_here if lacks else lambda *_, **__: None
        monkeypatch.setattr(Client, name, staticmethod(there), raising=False)
    np.save("x.npy", points())
    require_one_line(
        cluster("x.npy", "--scheduler", "tcp://127.0.0.1:1"),
        f"--scheduler tcp://127.0.0.1:1: its {who} cannot import what tasks are made of (No module named 'kernels'); install",
    )


@pytest.mark.parametrize(("task", "name"), [("step-0123456789abcdef", "step"), (("step-0123456789abcdef", 7, 0), "step 7")])
def test_lost_workers_say_what_to_change(cluster, monkeypatch, task, name):
    from distributed.scheduler import KilledWorker

    @contextmanager
    def lost(*_):
        raise KilledWorker(task, None, 3)
        yield

    monkeypatch.setattr(sys.modules["kernels._cli.cluster"], "bars", lost)
    np.save("x.npy", points())
    require_one_line(
        cluster("x.npy"), f"4 workers were lost at one task, {name}: most likely it takes more memory than a worker has"
    )


def test_processes_cluster_a_file_and_end(tmp_path):
    x = points(2000)
    x[7, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-m", "registry", "cluster", "x.npy", "--dask", "--variant", "broadcast", "--kernel", "flat"]
    options = ["--bandwidth", "8", "--output", "l.npy", "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(registry.__file__).parent)}
    done = children.run_unless_stuck([*command, *options], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    labels = np.load(tmp_path / "l.npy")
    assert json.loads(done.stdout)["sizes"] == [2005, 1999]
    np.testing.assert_array_equal(labels, np.r_[np.where(np.arange(2000) == 7, -1, 1), np.zeros(2005, int)])
    assert done.stderr.splitlines()[0].startswith("dashboard: http://127.0.0.1:")
    assert done.stderr.splitlines()[1:] == ["x.npy: 1 of 4005 rows left out: a value is missing", "wrote l.npy"]
