"""The recipes of CONTRIBUTING.md, followed word for word in a copy of the project, and the examples run."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from commands import BARE, FEW_PLUGINS, ROOT, environment, several

import registry
from kernels import _conformance
from kernels._conformance import general
from registry import Zoo

RECIPES = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the project's sources, to be changed; what one test compiles there, the next finds."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("kernels", "tests", "bench"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("registry.py", "pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def paths(folder):
    """Return the path of an interpreter that finds the copy first, and no framework: what the recipes show needs none."""
    return f"{folder}{os.pathsep}{BARE}"


def pytest_says(folder, *command, code=0):
    """Run some of the copy's tests and benchmarks, all in one process; return what it said, with a line for each."""
    made = environment(paths(folder), HYPOTHESIS_PROFILE="dev", **FEW_PLUGINS)
    line = [sys.executable, "-m", "pytest", "-v", *command]
    done = subprocess.run(line, cwd=folder, env=made, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def write_recipe(folder, path):
    """Write the file that CONTRIBUTING.md shows below its name."""
    shown = RECIPES[RECIPES.index(f"`{path}`") :]
    block = re.search(r"^( *)```python\n(.*?)^ *```$", shown, re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix(block[1]) for line in block[2].splitlines()]
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("\n".join(lines) + "\n")


def test_a_kernel_is_one_file(copy):
    write_recipe(copy, "kernels/matmul/outer.py")
    lines = "list matmul --json", "check matmul outer --examples 2", "compare matmul --size tiny --json"
    listed, checked, compared = several(*lines, cwd=copy, path=paths(copy))
    assert "outer" in {row["name"] for row in json.loads(listed.stdout)}
    assert "outer: conforms" in checked.stdout
    rows = json.loads(compared.stdout)["rows"]
    assert next(row for row in rows if row["variant"] == "outer")["status"] == "timed"
    chosen = "matmul-outer or (matmul and tiny and outer)"
    said = pytest_says(copy, "tests/conformance/test_conformance.py", "bench", "-k", chosen)
    properties = _conformance.all_properties(registry.contract("matmul"))
    assert len(re.findall(r"::test_variant_has_property\[matmul-outer-\w+\] PASSED", said)) == len(properties)
    assert "::test_speed[matmul-tiny-outer] PASSED" in said


def test_a_broken_kernel_turns_the_suite_red(copy):
    """One term too few, and the tests, the comparison and the referee all say so."""
    write_recipe(copy, "kernels/matmul/outer.py")
    file = copy / "kernels/matmul/outer.py"
    file.write_text(file.read_text().replace("range(a.shape[1])", "range(a.shape[1] - 1)"))
    lines = "compare matmul --size tiny", "check matmul outer --examples 10"
    compared, checked = several(*lines, cwd=copy, codes=(1, 1), path=paths(copy))
    assert "outer: WRONG" in compared.stdout
    assert "outer: REFUSED" in checked.stdout
    chosen = "matmul-outer-agrees_with_reference or (matmul and tiny and outer)"
    said = pytest_says(copy, "tests/conformance/test_conformance.py", "bench", "-k", chosen, code=1)
    assert re.search(r"agrees_with_reference failed: entry \(.*\) is .*, expected .*: off by", said)
    assert re.search(r"AssertionError: off by", said)


def test_an_operation_is_its_definition(copy):
    for name in ("__init__", "broadcast"):
        write_recipe(copy, f"kernels/scale_rows/{name}.py")
    np.savez(copy / "own.npz", x=np.ones((3, 2)), factors=np.ones(3))
    np.savez(copy / "other.npz", x=np.ones((3, 2)))
    explain = "explain scale_rows"
    lines = "list --json", "compare scale_rows", explain, f"{explain} --input own.npz", f"{explain} --input other.npz"
    listed, compared, explained, own, other = several(*lines, cwd=copy, codes=(0, 0, 0, 0, 1), path=paths(copy))
    assert ("scale_rows", "broadcast") in {(row["operation"], row["name"]) for row in json.loads(listed.stdout)}
    assert "broadcast" in compared.stdout
    assert "runs" in explained.stdout
    assert "own.npz, x 3x2, factors 3" in own.stdout
    assert "scale_rows: the file holds x; expected x and factors" in other.stderr
    files = "tests/conformance/test_conformance.py", "tests/definition/test_contracts.py", "bench"
    said = pytest_says(copy, *files, "-k", "scale_rows and not (bench and not tiny)")
    properties = _conformance.all_properties(Zoo(copy / "kernels").contract("scale_rows"))
    assert len(properties) > len(general.GENERAL)  # its signature gives it relations too
    for name in ("broadcast", "definition"):  # the kernel, and the definition as it is
        assert len(re.findall(rf"::test_variant_has_property\[scale_rows-{name}-\w+\] PASSED", said)) == len(properties)
    assert re.search(r"test_contracts.py::\w+\[scale_rows\] PASSED", said)
    assert "::test_speed[scale_rows-tiny-broadcast] PASSED" in said


def test_the_readme_runs():
    """The lines of Python that the README shows, those on steps and those on clusters, do what it says."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = "".join([*blocks[:2], "print(len(labels))"])
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    assert said.getvalue() == "(1000, 2)\n1000\n"


def python(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment(ROOT), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LARGE = ROOT / "examples" / "hundred_million.py"


def test_the_examples_run(tmp_path):
    """One after the other in one process, which imports what they share once; a traceback names the one that failed."""
    files = sorted(set((ROOT / "examples").glob("*.py")) - {LARGE})
    code = (
        "import runpy, sys\nfiles, sys.argv[1:] = sys.argv[1:], []\nfor file in files: runpy.run_path(file, run_name='__main__')"
    )
    python("-c", code, *files, cwd=tmp_path)


def test_the_example_of_large_data_runs_on_less(tmp_path):
    assert " 2 tiles: " in python(LARGE, "--points", "1.1e6", "--folder", tmp_path, cwd=tmp_path)
    moved = np.load(tmp_path / "moved-1100000-2.npy", mmap_mode="r")
    assert np.isfinite(moved).all()
    assert moved.any(axis=1).all()
