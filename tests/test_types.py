"""The types that the stub gives a user's script, and that they are those of the operations."""

import ast
import inspect
import os
import shutil
import subprocess
import sys

import pytest
from neighbours import ROOT

import registry

SCRIPT = """
import numpy as np
from registry import get, variants

step = get("meanshift_step")
x = np.ones((3, 2))
reveal_type(step(x, bandwidth=0.5, kernel="flat", batch_size=3))
reveal_type(get("matmul", "numpy")(x, x))
step(x, bandwith=0.5)
step(x, 0.5, kernel="box")
names: list[str] = [v.name for v in variants("matmul")]
"""


def require_signatures(folder, *arguments):
    """Run mypy on the script in a folder; it must know the operations' signatures, and complain of the two mistakes alone."""
    (folder / "script.py").write_text(SCRIPT)
    line = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "script.py", *map(str, arguments)]
    outside = {key: value for key, value in os.environ.items() if key not in ("MYPYPATH", "PYTHONPATH")}
    said = subprocess.run(line, cwd=folder, env=outside, capture_output=True, text=True, check=False).stdout
    assert said.count("float64") == 2, said
    assert 'Unexpected keyword argument "bandwith"' in said
    assert 'Argument "kernel"' in said
    assert "Found 2 errors in 1 file" in said


def test_strict_mypy_sees_the_signature_of_an_operation(tmp_path):
    shutil.copy(ROOT / "registry-stubs" / "__init__.pyi", tmp_path / "registry.pyi")
    require_signatures(tmp_path, "registry.pyi")


@pytest.mark.parametrize("operation", registry.operations())
def test_the_stub_has_the_parameters_of_each_operation(operation):
    """The stub is written by hand: a new parameter or option must be added to it."""
    classes = {
        n.name: n for n in ast.parse((ROOT / "registry-stubs" / "__init__.pyi").read_text()).body if isinstance(n, ast.ClassDef)
    }
    (call,) = classes["_" + operation.title().replace("_", "")].body
    stated = [a.arg for a in (*call.args.args[1:], *call.args.kwonlyargs)]
    builtin = [v for v in registry.variants(operation) if v.module.startswith("kernels.")]
    options = dict.fromkeys(option for v in builtin for option in v.options)
    assert stated == [*inspect.signature(registry.get(operation)).parameters, *options]
