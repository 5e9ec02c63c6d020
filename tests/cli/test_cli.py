"""The command line as a person or a script meets it: in this process, and in its own where that is what is looked at."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from commands import BARE, ROOT, ZOO, environment, process, several, zoo
from neighbours import distribution
from PIL import Image

import registry
from kernels import _conformance
from kernels._cli import cli


def test_list_names_every_variant_and_why_some_cannot_run():
    text = zoo("list").stdout
    rows = json.loads(zoo("list", "--json").stdout)
    assert {(row["operation"], row["name"]) for row in rows} == {
        (operation, v.name) for operation in registry.operations() for v in registry.variants(operation)
    }
    for row in rows:
        assert row["name"] in text
        assert (row["reason"] is None) is row["available"]


def test_listing_loads_neither_numpy_nor_torch_nor_numba():
    code = (
        "import sys, kernel_zoo\n"
        "sys.argv = ['kernel-zoo', 'list']\n"
        "try:\n    kernel_zoo.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'numpy', 'torch', 'numba'} & set(sys.modules), 'loaded a heavy package'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(ROOT), stdout=subprocess.DEVNULL)


def test_show_tells_all_about_a_variant():
    for operation in ("matmul", "meanshift_step"):
        variant = registry.variant(operation, "loop")
        facts = json.loads(zoo("show", operation, variant.name, "--json").stdout)
        assert facts["dtypes"] == list(variant.dtypes)
        assert facts["precision"] == variant.precision
        assert len(facts["first_call_seconds"]) == 2
    text = zoo("show", operation, variant.name).stdout
    assert variant.source in text
    assert re.search(r"^first call: +[\d.]+ \w+ with its imports", text, re.MULTILINE)


def test_explain_says_what_would_run():
    facts = json.loads(zoo("explain", "meanshift_step", "--set", "kernel=flat", "--json").stdout)
    assert facts["chosen"] in {v.name for v in registry.variants("meanshift_step")}
    assert f"{facts['chosen']}: runs" in zoo("explain", "meanshift_step", "--set", "kernel=flat").stdout


def compare(*args, **kwargs):
    return json.loads(zoo("compare", *args, "--json", **kwargs).stdout)


def test_compare_orders_the_ladder_and_gives_no_time_to_what_did_not_pass(tmp_path):
    with (tmp_path / "rows.json").open("w") as file:  # a stream on a file knows its place in it; one on a pipe has none
        command = [*ZOO, "compare", "matmul", "--size", "tiny", "--json"]
        done = subprocess.run(command, env=environment(BARE), stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "rows.json").read_text())
    rows = found["rows"]
    timed = [row for row in rows if row["status"] == "timed"]
    assert {row["variant"] for row in rows} == {v.name for v in registry.variants("matmul")}
    assert [row["median_seconds"] for row in timed] == sorted((row["median_seconds"] for row in timed), reverse=True)
    assert timed[0]["speedup_over_slowest"] == 1
    for row in rows:
        assert ("median_seconds" in row) is (row["status"] == "timed")
        assert row["status"] == "timed" or row["reason"]
    assert all(0 <= row["error_over_bound"] <= 1 for row in timed)
    assert (found["rows_checked"], found["rows_in_all"]) == (4, 4)
    assert found["environment"]["packages"]["numpy"] == np.__version__


def test_compare_prints_a_table_and_draws_a_picture(tmp_path):
    text = zoo("compare", "meanshift_step", "--size", "tiny", "--plot", tmp_path / "ladder.svg").stdout
    timed = [v.name for v in registry.variants("meanshift_step") if v.available]
    for name in timed:
        assert re.search(rf"{name} .*[µnm]?s .*pairs/s .*%", text)
    assert [p.name for p in tmp_path.iterdir()] == ["ladder.svg"]
    drawn = (tmp_path / "ladder.svg").read_text()
    assert all(f"<!-- {name} -->" in drawn for name in timed)


def test_compare_skips_what_would_take_too_long_and_says_for_how_long():
    rows = compare("matmul", "--limit", "0.002")["rows"]
    skipped = [row for row in rows if row["status"] == "skipped"]
    assert "loop" in {row["variant"] for row in skipped}
    assert all(re.match(r"would take about [\d.e+]+ \w+ a run \(the limit is 2 ms\)", row["reason"]) for row in skipped)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".png"])
def test_compare_runs_on_a_persons_own_file(tmp_path, suffix):
    points = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    path = tmp_path / f"points{suffix}"
    if suffix == ".npy":
        np.save(path, points.reshape(-1, 3))
    elif suffix == ".npz":
        np.savez(path, points=points.reshape(-1, 3))
    elif suffix == ".csv":
        rows = ["red,green,blue", *(",".join(map(str, row)) for row in points.reshape(-1, 3))]
        path.write_text("\n".join(rows) + "\n")
    else:
        Image.fromarray(points).save(path)
    options = ("--input", path, "--sample", 100, "--set", "bandwidth=20", "--dtype", "float64")
    title = f"points{suffix}, n = 100, d = 3, gaussian, bandwidth 20"
    assert title in zoo("explain", "meanshift_step", *options).stdout
    if suffix == ".png":
        found = compare("meanshift_step", *options)
        assert found["example"] == title
        assert any(row["status"] == "timed" for row in found["rows"])
    whole = zoo("explain", "meanshift_step", "--input", path, "--sample", 0).stdout
    assert "n = 2000, d = 3" in whole


def test_compare_multiplies_a_persons_own_matrices(tmp_path):
    a, b = np.random.default_rng(0).standard_normal((2, 6, 6))
    np.savez(tmp_path / "two.npz", a=a, b=b[:, :2])
    assert "6x6 @ 6x2" in compare("matmul", "--input", tmp_path / "two.npz", "--plot", tmp_path / "ladder.png")["example"]
    with Image.open(tmp_path / "ladder.png") as picture:
        assert picture.width > 500
    np.save(tmp_path / "one.npy", a[:4])
    assert "4x6 @ 6x4" in zoo("explain", "matmul", "--input", tmp_path / "one.npy").stdout


def test_what_is_wrong_is_one_clear_line_and_an_exit_code(tmp_path, monkeypatch):
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "text.png").write_text("not a picture")
    np.save(tmp_path / "complex.npy", np.full((5, 2), 1j))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "strings.npy", np.array(["a"]))
    np.save(tmp_path / "nan.npy", np.full((5, 2), np.nan))
    np.save(tmp_path / "large.npy", np.array([[1e300, 1.0], [1.0, 1.0]]))
    np.save(tmp_path / "flat.npy", np.ones(5))
    np.save(tmp_path / "none.npy", np.ones((0, 2)))
    np.savez(tmp_path / "three.npz", x=np.ones(1), y=np.ones(1), z=np.ones(1))
    np.savez(tmp_path / "hollow.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "three.npz").read_bytes()[:100])
    cases = {
        "list matmull": (1, "no operation 'matmull'; did you mean 'matmul'?"),
        "show matmul nunpy": (1, "matmul: no variant 'nunpy'; did you mean 'numpy'?"),
        "explain matmul --selector gpu": (1, "no variant 'gpu'"),
        "compare matmul --size huge": (2, "matmul: no size 'huge' (there are: tiny, lecture"),
        "compare matmul --dtype float8": (2, "'float8' is not one of"),
        "compare matmul --plot x.pdf": (2, "ends in .png or .svg"),
        "compare matmul --plot no/such/x.png": (2, "there is no folder"),
        "compare meanshift_step --set bandwidth": (2, "expected KEY=VALUE"),
        "compare matmul --set bandwidth=3": (2, "--set bandwidth=3: matmul has no parameter bandwidth to set"),
        "compare meanshift_step --set dtype=float64": (2, "--set dtype=float64: meanshift_step has no parameter dtype to set"),
        "compare meanshift_step --set bandwith=3": (2, "meanshift_step has no parameter bandwith to set"),
        "explain meanshift_step --set bandwidth=-1": (1, "argument bandwidth: expected a finite number above 0, got -1.0"),
        "explain meanshift_step --set bandwidth=wide": (1, "argument bandwidth: expected a real number, got str"),
        "explain meanshift_step --set kernel=cosine": (1, "argument kernel: expected one of gaussian"),
        "compare meanshift_step --size tiny --set bandwidth=-1": (1, "argument bandwidth: expected a finite number above 0"),
        "compare meanshift_step --size lecture --input nan.npy": (2, "exclude each other"),
        "compare meanshift_step --input nan.npy --sample -1": (2, "--sample -1"),
        "compare meanshift_step --input absent.npy": (2, "'--input': File 'absent.npy' does not exist"),
        "compare meanshift_step --input .": (2, "is a directory"),
        "compare meanshift_step --input empty.npy": (1, "empty.npy is empty; expected .npy, .npz, a table ("),
        "compare meanshift_step --input text.npy": (1, "text.npy cannot be read"),
        "compare meanshift_step --input text.png": (1, "not a picture, or a damaged one"),
        "compare meanshift_step --input complex.npy": (1, "dtype complex128; expected real numbers"),
        "compare meanshift_step --input objects.npy": (1, "objects.npy cannot be read"),
        "compare meanshift_step --input strings.npy": (1, "dtype <U1; expected real numbers"),
        "compare meanshift_step --input nan.npy": (1, "NaN or infinite points"),
        "compare meanshift_step --input large.npy": (2, "large.npy: its numbers are beyond the range of float32; rescale them"),
        "compare meanshift_step --input large.npy --dtype float64": (2, "beyond the range of float64"),
        "compare matmul --input large.npy": (2, "large.npy: its numbers are beyond the range of float32"),
        "compare meanshift_step --input flat.npy": (1, "shape (5,); expected points, (n, d)"),
        "compare meanshift_step --input none.npy": (1, "expected at least one entry"),
        "compare meanshift_step --input three.npz": (1, "holds x, y, z; expected one array"),
        "compare meanshift_step --input hollow.npz": (1, "hollow.npz holds no array"),
        "compare meanshift_step --input cut.npz": (1, "cut.npz cannot be read"),
        "compare matmul --input flat.npy": (1, "shape (5,); expected a matrix"),
        "compare matmul --input three.npz": (1, "expected one matrix, or a and b"),
        "check matmul no.such.module:f": (1, "no.such.module:f cannot be loaded: ModuleNotFoundError"),
        "check matmul numpy:pi": (1, "numpy:pi has type float, expected a function"),
        "check matmul numpy:matmul --examples 0": (2, "0 is not in the range x>=1"),
        "check matmul numpy:matmul --examples -3": (2, "-3 is not in the range x>=1"),
        "check matmul numpy:matmul --dtype float33": (1, "the claims of matmul: no dtype 'float33'; did you mean 'float32'?"),
        "check matmul numpy --dtype int8 --device cuda": (2, "what the variant numpy claims is registered"),
        "compare matmul --limit -1": (2, "-1.0 is not in the range x>0"),
        "compare matmul --limit nan": (2, "nan is no number of seconds"),
        "compare matmul --timeout inf": (2, "inf is not in the range 0<x<=1000000.0"),
        "compare matmul --shape m=99999999999,k=64,n=64": (2, "memory lacks for such arrays"),
        "compare matmul --shape m=3,k=4,n=0": (2, "expected extents of at least 1; in empty arrays there is nothing to time"),
        "explain matmul --shape m=99999999999999999999,k=1,n=1": (2, "expected arrays of at most 576460752303423488 entries"),
        "explain matmul --shape m=1,m=2,k=1,n=1": (2, "m comes twice"),
        "tune matmul --budget nan": (2, "nan is no number of seconds"),
        "nonsense": (2, "No such command 'nonsense'"),
    }
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for line, (code, message) in cases.items():
        err = zoo(*line.split(), code=code).stderr
        assert message in err, (line, err)
        assert "Traceback" not in err
        assert len([text for text in err.splitlines() if not text.startswith(("Usage:", "Try '")) and text]) == 1, (line, err)
    assert sorted(tmp_path.iterdir()) == before


def test_help_is_there_for_every_command():
    assert "kernel-zoo compare matmul" in zoo("--help").stdout
    for command in cli.commands:
        assert "Usage:" in zoo(command, "--help").stdout


WRONG = '''
"""A matmul that loses the last term of every sum."""
import numpy as np
from registry import register

@register("matmul", "loses_the_last_term", rank=5)
def matmul(a, b):
    return a[:, :-1] @ b[:-1]

@register("matmul", "raises", rank=5)
def raises(a, b):
    raise RuntimeError("out of luck")

@register("matmul", "complains", rank=5)
def complains(a, b):
    raise ValueError("matmul: it says so itself, but dispatch does not")

@register("matmul", "small", rank=5, limits={"flops": 2})
def small(a, b):
    return a @ b

@register("matmul", "exits", rank=5)
def exits(a, b):
    raise SystemExit(0)
'''


def test_a_wrong_variant_shows_as_wrong_and_gets_no_time(tmp_path):
    (tmp_path / "wrong_kernels.py").write_text(WRONG)
    distribution(tmp_path, "wrong_kernels", {"matmul": "wrong_kernels"})
    text = process("compare", "matmul", "--size", "tiny", cwd=tmp_path, code=1).stdout
    assert re.search(r"loses_the_last_term +│ +WRONG │ ", text)
    assert re.search(r"loses_the_last_term: WRONG, off by \d+", text)
    assert "raises: WRONG, RuntimeError: out of luck" in text
    assert "exits: WRONG, SystemExit: 0" in text
    assert "complains: WRONG, ValueError: matmul: it says so itself" in text
    assert "small: skipped, takes at most 2 flops; this call has 128" in text
    refused = process("check", "matmul", "loses_the_last_term", "--examples", 5, cwd=tmp_path, code=1).stdout
    assert "loses_the_last_term: REFUSED" in refused
    assert "smallest failing example:\n    import numpy as np\n" in refused


def test_check_accepts_a_right_function_and_refuses_a_wrong_one(tmp_path):
    (tmp_path / "mine.py").write_text("def right(a, b):\n    return a @ b\n\ndef wrong(a, b):\n    return a @ b * 1.001\n")
    (tmp_path / "exits.py").write_text("import sys\n\ndef exits(a, b):\n    sys.exit(0)\n")
    (tmp_path / "leaves.py").write_text("import sys\n\nsys.exit(0)\n")
    functions = "mine:right", "mine:wrong --json", "exits:exits", "leaves:f"
    lines = [f"check matmul {function} --examples 5" for function in functions]
    right, wrong, exits, leaves = several(*lines, cwd=tmp_path, codes=(0, 1, 1, 1))
    assert "mine:right: conforms" in right.stdout
    verdict = json.loads(wrong.stdout)
    assert not verdict["passed"]
    assert any("off by" in (row["failure"] or "") for row in verdict["properties"])
    assert "exits:exits: REFUSED" in exits.stdout
    assert "cannot be loaded: SystemExit" in leaves.stderr


def test_a_refusal_fits_on_a_few_screens(tmp_path, monkeypatch):
    """Large arrays are not spelled out, and what fails under every property is explained once."""
    (tmp_path / "mine.py").write_text(
        "def corner(a, b):\n    c = a @ b\n    if c.size > 400:\n        c[-1, -1] = 7\n    return c\n\n"
        "def raises(a, b):\n    raise RuntimeError('out of luck')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_conformance, "SHRINKS", False)  # no failing example is small
    text = zoo("check", "matmul", "mine:corner", "--all", "--examples", 8, code=1).stdout
    assert text.count("smallest failing example:\n") > 3
    assert text.count("    from mine import corner\n") > 3
    assert max(map(len, text.splitlines())) < 1000
    text = zoo("check", "matmul", "mine:raises", "--all", "--examples", 2, code=1).stdout
    assert text.count("failed: RuntimeError: out of luck") > 10
    assert text.count("smallest failing example:") == 1


def test_what_a_function_prints_does_not_spoil_json(tmp_path):
    (tmp_path / "mine.py").write_text("print('hello')\n\ndef prints(a, b):\n    print('chatter')\n    return a @ b\n")
    done = process("check", "matmul", "mine:prints", "--examples", 5, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["passed"]
    assert "hello" in done.stderr
    assert "chatter" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"mine.py", "__pycache__"}  # a check leaves nothing behind


def test_check_counts_what_it_did():
    """Examples that a property rejects are no examples, and where nothing was compared there is no error to quote."""
    rows = json.loads(zoo("check", "matmul", "numpy", "--examples", 10, "--json").stdout)["properties"]
    seen = {row["property"]: row for row in rows}
    assert max(row["examples"] for row in rows) == 10
    assert seen["is_exact_on_small_integers"]["examples"] == 10
    assert seen["scales_exactly_by_powers_of_two"]["worst_error_over_bound"] is None
    text = zoo("check", "matmul", "numpy", "--examples", 2).stdout
    assert re.search(r"scales_exactly_by_powers_of_two +2 examples, worst error +-\n", text)


def test_a_reader_that_leaves_is_no_error():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*ZOO, "list"], env=environment(BARE), **pipes) as command:
        command.stdout.close()
        assert command.stderr.read() == ""
