"""`kernel-zoo cluster`: clusters of the rows of a person's file."""

import json
import os

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from commands import require_one_line

from kernels._cli import cli
from kernels.cluster import MeanShift


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Return a function that runs the command in an empty folder; `broadcast` compiles nothing."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(cli, ["cluster", "--variant", "broadcast", *map(str, arguments)])

    return run


def two_clusters(n=30, d=2):
    rng = np.random.default_rng(d)
    return np.concatenate([rng.standard_normal((n, d)), 40 + rng.standard_normal((n + 5, d))])


@pytest.mark.parametrize("kernel", ["gaussian", "flat"])
@pytest.mark.parametrize("suffix", [".csv", ".npy", ".parquet"])
def test_the_labels_are_the_estimator_s(cluster, suffix, kernel):
    x = two_clusters()
    np.save("x.npy", x)
    done = cluster("x.npy", "--bandwidth", 3, "--kernel", kernel, "--output", f"l{suffix}", "--centers", f"c{suffix}")
    assert done.exit_code == 0, done.output
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet}
    labels, centres = (
        np.load(name + suffix) if suffix == ".npy" else read[suffix](name + suffix).to_numpy().squeeze() for name in "lc"
    )
    model = MeanShift(bandwidth=3, kernel=kernel, variant="broadcast").fit(x)
    np.testing.assert_array_equal(labels, model.labels_)
    np.testing.assert_array_equal(centres, model.cluster_centers_)
    assert "2 clusters of 65 points" in done.stdout
    assert done.stderr.splitlines() == [f"wrote l{suffix}", f"wrote c{suffix}"]


def test_there_is_a_label_for_each_row_also_for_those_left_out(cluster, tmp_path):
    (tmp_path / "x.csv").write_text("name,a,b,c\nx,1,2,9\ny,1.1,,9\nz,50,50,9\nu,NaN,1,9\n")
    done = cluster("x.csv", "--bandwidth", 1, "--columns", "a,b", "--output", "l.csv", "--json")
    assert (tmp_path / "l.csv").read_text().split() == ["cluster", "1", "-1", "0", "-1"]
    found = json.loads(done.stdout)
    assert found["columns"] == ["a", "b"]
    assert found["sizes"] == [1, 1]
    assert not found["estimated"]
    assert "x.csv: 2 of 4 rows left out: a value is missing" in done.stderr
    said = cluster("x.csv", "--json").stderr
    assert "1 column without numbers left out: name ('x')" in said


def test_a_column_of_weights_is_no_coordinate(cluster, tmp_path):
    (tmp_path / "x.csv").write_text("a,b,w\n0,0,1\n3,0,9\n80,1,0.5\n")
    (tmp_path / "negative.csv").write_text("a,w\n0,-1\n3,9\n")
    found = json.loads(cluster("x.csv", "--bandwidth", 4, "--weights", "w", "--json").stdout)
    assert found["columns"] == ["a", "b"]
    model = MeanShift(bandwidth=4, variant="broadcast").fit([[0.0, 0], [3, 0], [80, 1]], sample_weight=[1, 9, 0.5])
    np.testing.assert_array_equal(found["centers"], model.cluster_centers_)
    assert json.loads(cluster("x.csv", "--columns", "1", "--weights", "3", "--json").stdout)["columns"] == ["a"]
    require_one_line(cluster("x.csv", "--weights", "v"), "x.csv cannot be read: it has no column 'v'; there are a, b, w")
    require_one_line(cluster("x.csv", "--weights", "1-2"), "weights are one column of numbers, and '1-2' is not")
    require_one_line(cluster("negative.csv", "--weights", "w"), "weights are not negative, and some are above 0")


@pytest.mark.parametrize(
    ("x", "bandwidth", "clusters"),
    [
        ([[1.0, 2.0]], None, 1),
        (np.ones((20, 3)), None, 1),
        (np.arange(3.0), None, 3),
        (np.random.default_rng(0).standard_normal((4, 30)), None, None),
        (two_clusters(), 1e-9, 65),
        (two_clusters(), 1e9, 1),
        (two_clusters(5).astype(int), 9, 2),
        (np.array([[0, 0], [np.nan, 1], [0, 1]]), 9, 1),
    ],
    ids=["one point", "equal points", "one axis", "more features than points", "small h", "large h", "integers", "NaN"],
)
def test_any_points_give_a_result(cluster, x, bandwidth, clusters):
    np.save("x.npy", x)
    done = cluster("x.npy", "--json", *([] if bandwidth is None else ["--bandwidth", bandwidth]))
    assert done.exit_code == 0, done.output
    assert clusters in (None, len(json.loads(done.stdout)["sizes"]))


def test_a_long_table_is_cut_and_says_so(cluster):
    np.save("x.npy", np.diag(np.arange(30.0)))
    done = cluster("x.npy", "--bandwidth", 1e-3)
    assert "and 10 more clusters and 24 more columns; --json prints all" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.csv", "--bandwidth", "0"], "--bandwidth 0.0: expected a finite number above 0"),
        (["x.csv", "--bandwidth", "nan"], "--bandwidth nan: expected a finite number above 0"),
        (["x.csv", "--bandwidth", "1e-300"], "bandwidth 1e-300 is too small beside the width of the data"),
        (["x.csv", "--kernel", "round"], "--kernel round: expected gaussian"),
        (["x.csv", "--columns", "c"], "x.csv cannot be read: it has no column 'c'; there are name, a, b"),
        (["x.csv", "--columns", "name"], "these columns hold no numbers: name ('x')"),
        (["x.csv", "--variant", "none"], "meanshift_step: no variant 'none' (there are: "),
        (["x.csv", "--blurring", "--seeding", "grid"], "--blurring moves all points"),
        (["x.csv", "--output", "labels.txt"], "--output labels.txt: expected a name that ends in .csv, .npy, .parquet"),
        (["x.csv", "--output", "nowhere/labels.csv"], "there is no folder"),
        (["x.csv", "--output", "./x.csv"], "this is the file that is read"),
        (["x.csv", "--centers", "folder.csv"], "'folder.csv' is a directory"),
        (["x.csv", "--output", "l.csv", "--centers", "l.csv"], "this is the --output"),
        (["absent.csv"], "'absent.csv' does not exist"),
        (["folder.csv"], "'folder.csv' is a directory"),
        (["empty.csv"], "empty.csv is empty"),
        (["words.csv"], "these columns hold no numbers: a ('x'), b ('y')"),
        (["heading.csv"], "heading.csv cannot be read: it has no rows of numbers"),
        (["infinite.csv"], "infinite.csv cannot be read: column b holds inf in row 2"),
        (["words.npy"], "words.npy cannot be read"),
        (["words.parquet"], "words.parquet cannot be read"),
        (["nan.npy"], "nan.npy holds NaN in each of its 2 rows"),
        (["picture.npy"], "picture.npy holds an array of shape (2, 2, 3); expected rows and columns"),
        (["picture.png"], "picture.png is no table: expected .csv"),
    ],
)
def test_what_cannot_be_clustered_is_refused_in_one_line(cluster, tmp_path, arguments, message):
    text = {
        "x.csv": "name,a,b\nx,1,2\ny,3,4\n",
        "empty.csv": "",
        "words.csv": "a,b\nx,y\n",
        "heading.csv": "a,b\n",
        "infinite.csv": "a,b\n1,2\n1,inf\n",
        "words.npy": "words",
        "words.parquet": "words",
        "picture.png": "words",
    }
    for name, content in text.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "folder.csv").mkdir()
    np.save("nan.npy", np.full((2, 2), np.nan))
    np.save("picture.npy", np.zeros((2, 2, 3)))
    before = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    require_one_line(cluster(*arguments), message)
    assert {file.name: file.stat().st_size for file in tmp_path.iterdir()} == before


def test_a_folder_that_may_not_be_written_in_is_refused_before_any_work(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # what an ordinary user is told of a folder of root's
    np.save("x.npy", two_clusters())
    require_one_line(cluster("x.npy", "--output", "l.csv"), "no files may be written in the folder")


def test_writing_that_fails_leaves_what_was_there(cluster, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    np.save("x.npy", two_clusters())
    (tmp_path / "l.npy").write_text("before")
    monkeypatch.setattr(np, "save", fail)
    require_one_line(cluster("x.npy", "--output", "l.npy"), "no space left")
    assert (tmp_path / "l.npy").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2
