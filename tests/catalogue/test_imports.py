"""Our own files are imported by their place, whatever else is called `kernels` where a script stands."""

import json
import subprocess
import sys

import pytest
from commands import BARE

USE = """
import json
import numpy as np
import registry
print(json.dumps([
    registry.get("matmul", "numpy")(np.eye(2), np.eye(2)).tolist(),
    registry.get("meanshift_step")(np.eye(2), 1.0).shape,
]))
"""
RIGHT = [[[1, 0], [0, 1]], [2, 2]]


def script(folder, source, name="script.py"):
    """Run a script as its author does: the folder it stands in is searched first."""
    (folder / name).write_text(source)
    line = [sys.executable, str(folder / name)]
    done = subprocess.run(line, cwd=folder, env={"PYTHONPATH": BARE}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_importing_the_registry_imports_no_package_of_others(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("raise SystemExit('imported')")
    code = "import json, registry; print(json.dumps(['matmul' in registry.operations(), len(registry.variants('matmul')) > 9]))"
    assert script(tmp_path, code) == [[True, True]]


@pytest.mark.parametrize("first", ["theirs first", "ours first", "theirs never"])
def test_a_users_own_file_kernels_stays_theirs(tmp_path, first):
    (tmp_path / "kernels.py").write_text("print(1)\ndef matmul():\n    return 7\n")
    theirs = "import kernels; from kernels import matmul; print(json.dumps([kernels.matmul(), matmul()]))\n"
    steps = {"theirs first": "import json\n" + theirs + USE + theirs, "ours first": USE + theirs, "theirs never": USE}
    ran = [1] if first != "theirs never" else []  # our import does not run their file
    out = script(tmp_path, steps[first])
    assert (
        out
        == {
            "theirs first": [*ran, [7, 7], RIGHT, [7, 7]],
            "ours first": [RIGHT, *ran, [7, 7]],
            "theirs never": [RIGHT],
        }[first]
    )


def test_a_script_called_kernels_runs_once(tmp_path):
    assert script(tmp_path, USE, "kernels.py") == [RIGHT]


@pytest.mark.parametrize("package", [True, False])
def test_a_users_own_folder_kernels_does_not_take_the_place_of_ours(tmp_path, package):
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "matmul.py").write_text("answer = 7\n")
    (folder / "_arrays.py").write_text("raise SystemExit('theirs')\n")
    (folder / "mine.py").write_text("answer = 9\n")
    if package:
        (folder / "__init__.py").write_text("")
    theirs = "import kernels.matmul, kernels.mine; print(json.dumps([kernels.matmul.answer, kernels.mine.answer]))\n"
    later = "print(json.dumps([kernels.matmul.answer, kernels.mine.answer]))\n"
    assert script(tmp_path, "import json\n" + theirs + USE + later) == [[7, 9], RIGHT, [7, 9]]
    assert script(tmp_path, USE + "import kernels.mine; print(json.dumps(kernels.mine.answer))") == [RIGHT, 9]
