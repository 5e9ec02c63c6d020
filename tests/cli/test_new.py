"""`kernel-zoo new`, as a contributor uses it: what it writes runs, conforms, and turns red once it is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from commands import BARE, FEW_PLUGINS, ROOT, environment, several


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a copy of the project's sources that nothing else uses."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "kernels", folder / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("registry.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def run(*command, at, path=(), code=0):
    """Run a module in a process that finds this zoo's copy first, and no framework."""
    made = environment(at, *path, BARE, PYTHONDONTWRITEBYTECODE="1", **FEW_PLUGINS)
    line = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(line, cwd=at, env=made, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_new_kernel_conforms_until_it_is_broken(checkout):
    said = run("registry", "new", "kernel", "matmul", "mine", at=checkout)
    assert "kernel-zoo check matmul mine" in said
    file = checkout / "kernels" / "matmul" / "mine.py"
    assert "mine: conforms" in run("registry", "check", "matmul", "mine", "--examples", "2", at=checkout)
    file.write_text(file.read_text().replace("definition(a, b)", "definition(a, b) + 1"))
    assert "mine: REFUSED" in run("registry", "check", "matmul", "mine", "--examples", "2", at=checkout, code=1)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), '@register("meanshift_step", "{name}")'),
        (("--arrays", "torch"), '@register("meanshift_step", "{name}", arrays="torch", requires=("torch",))'),
        (("--device", "cuda"), '@register("meanshift_step", "{name}", arrays="torch", requires=("torch",), device="cuda")'),
    ],
)
def test_a_new_kernel_says_what_it_is_given(checkout, options, line):
    name = "_".join(["k", *options]).replace("-", "")
    run("registry", "new", "kernel", "meanshift_step", name, *options, at=checkout)
    text = (checkout / "kernels" / "meanshift_step" / f"{name}.py").read_text()
    assert line.format(name=name) in text
    assert "def meanshift_step(x, bandwidth, *, data, weights, kernel):" in text
    assert "definition(x, bandwidth, data=data, weights=weights, kernel=kernel)" in text
    assert name in run("registry", "list", "meanshift_step", at=checkout)


def test_a_new_operation_has_its_whole_verdict(checkout):
    assert "kernel-zoo check row_squares einsum" in run("registry", "new", "operation", "row_squares", at=checkout)
    assert "einsum: conforms" in run("registry", "check", "row_squares", "einsum", "--examples", "5", at=checkout)
    run("registry", "new", "kernel", "row_squares", "two_passes", at=checkout)
    assert "timed" in run("registry", "compare", "row_squares", "--size", "tiny", "--json", at=checkout)


def test_a_new_package_is_installed_and_tested(tmp_path, checkout):
    """One of a kernel, and one that states an operation of its own."""
    made = {"my-kernels": "matmul", "my-own": "row_sums"}
    lines = [f"new package {name} --operation {operation} --into {tmp_path}" for name, operation in made.items()]
    several(*lines, cwd=checkout, path=os.pathsep.join(map(str, (checkout, BARE))))
    packages, site = [tmp_path / name for name in made], tmp_path / "site"
    # What builds the packages is there already, and need not be fetched.
    install = "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"
    run("pip", *install, "--target", site, *packages, at=tmp_path)
    where = {"at": tmp_path, "path": (site, checkout)}
    listed = {(row["operation"], row["name"]) for row in json.loads(run("registry", "list", "--json", **where))}
    assert listed >= {("matmul", "my_kernels"), ("row_sums", "einsum")}
    said = run("pytest", "-v", "-p", "no:cacheprovider", *packages, "-k", "agrees_with or fresh", **where)
    for operation in made.values():
        assert len(re.findall(rf"test_{operation}\.py::\S+ PASSED", said)) >= 2
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("kernel matmul numpy", "NAME numpy: matmul has this variant at"),
        ("kernel matmul cuda", "NAME cuda: get() selects by this word"),
        ("kernel matmul Fast-One", "NAME Fast-One: expected a Python name in lower case"),
        ("kernel matmul _hidden", "NAME _hidden: expected a Python name in lower case"),
        ("kernel matmull mine", "no operation 'matmull'; did you mean 'matmul'"),
        ("operation matmul", "NAME matmul: there is an operation of this name"),
        ("operation cluster", "NAME cluster: kernels/cluster.py is a module of the zoo"),
        ("package mine --operation segment", "--operation segment: kernels/segment.py is a module of the zoo"),
        ("operation lambda", "NAME lambda: expected a Python name in lower case"),
        ("package 3d", "NAME 3d: expected a Python name in lower case"),
        ("package mine --operation Row", "--operation Row: expected a Python name in lower case"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(command, refusal, monkeypatch, tmp_path):
    from click.testing import CliRunner

    from kernels._cli import cli

    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(cli, ["new", *command.split()])
    assert outcome.exit_code
    assert refusal in outcome.output + str(outcome.exception)
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten_or_half_written(tmp_path, checkout):
    (tmp_path / "mine" / "tests").mkdir(parents=True)
    (tmp_path / "mine" / "tests" / "test_matmul.py").write_text("# a person's own\n")
    before = sorted(tmp_path.rglob("*"))
    refusal = run("registry", "new", "package", "mine", "--into", tmp_path, at=checkout, code=2)
    assert "exists already; nothing was written" in refusal
    assert sorted(tmp_path.rglob("*")) == before
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in ("registry.py", "kernels"):
        (installed / name).symlink_to(checkout / name)
    assert "is no checkout of kernel-zoo" in run("registry", "new", "operation", "fast", at=installed, code=2)
