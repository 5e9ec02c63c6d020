"""The project as a person installs it, in environments built for the purpose."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from signatures import require_signatures

import registry

ROOT = Path(registry.__file__).parent
pytestmark = pytest.mark.slow

TRY = """
import json
import registry, numpy as np
product = registry.get("matmul", "numpy")(np.eye(2), np.eye(2)).tolist()
step = registry.get("meanshift_step")(np.eye(2), 1.0).shape
import kernels
print(json.dumps([product, step, hasattr(kernels, "get_kernel"), list(registry.operations()), registry.__file__]))
"""


class Environment:
    """A fresh virtual environment; the pip that runs the tests serves it."""

    def __init__(self, folder):
        venv.create(folder, symlinks=sys.platform != "win32")
        self.python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        self.empty = folder / "elsewhere"
        self.empty.mkdir()

    def run(self, *command, python=None):
        clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [python or self.python, *command], cwd=self.empty, env=clean, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pip(self, *command):
        self.run("-m", "pip", "--python", self.python, "--quiet", "--disable-pip-version-check", *command, python=sys.executable)

    def install(self, *packages):
        self.pip("install", "--no-compile", "-c", str(ROOT / "constraints.txt"), *packages)

    def both(self):
        """Use the zoo and ask whether the other distribution's package is there too."""
        product, step, other, operations, file = json.loads(self.run("-c", TRY))
        assert (product, step, operations) == ([[1, 0], [0, 1]], [2, 2], list(registry.operations()))
        return other, Path(file)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from the files git knows, so that nothing left lying about gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    # What builds it is there already, and need not be fetched.
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", out, source]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return str(built)


@pytest.fixture(scope="module")
def core(tmp_path_factory, wheel):
    """Return an environment with the wheel and what it needs, and nothing else; the last test, which changes it, takes it too."""
    made = Environment(tmp_path_factory.mktemp("core") / "venv")
    made.install(wheel)
    return made


def test_an_installed_wheel_tells_mypy_the_signatures(core):
    require_signatures(core.empty, "--python-executable", core.python)


def test_the_core_alone_lists_everything_and_says_what_is_missing(core):
    rows = json.loads(core.run("-m", "registry", "list", "--json"))
    assert {row["name"] for row in rows if row["available"]} == {
        row["name"] for row in rows if not row["requires"] and row["device"] == "cpu"
    }
    assert all("which is not installed (pip install " in row["reason"] for row in rows if not row["available"])
    assert "timed" in core.run("-m", "registry", "compare", "matmul", "--size", "tiny", "--json")


def test_lives_beside_the_distribution_called_kernels(core, wheel):
    """PyPI's `kernels` owns a regular package of that name: both orders, editable too, and either can go."""
    assert core.both()[0] is False
    assert "matmul" in core.run("-m", "registry", "list")
    core.install("kernels")
    assert core.both()[0] is True
    core.run("-c", "import kernels; kernels.get_kernel; import registry; registry.variants('matmul')")
    core.pip("uninstall", "-y", "kernels")
    assert core.both()[0] is False
    core.install("--no-deps", "kernels")
    core.pip("uninstall", "-y", "kernel-zoo")
    core.run("-c", "import kernels; kernels.get_kernel")
    core.install("--no-deps", wheel)
    assert core.both()[0] is True
    core.install("--no-deps", "-e", str(ROOT))
    other, file = core.both()
    assert other is True
    assert file == ROOT / "registry.py"
