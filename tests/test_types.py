"""The types that the stub gives a user's script, and that they are those of the operations."""

import shutil
import subprocess
import sys

from neighbours import ROOT

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


def test_strict_mypy_sees_the_signature_of_an_operation(tmp_path):
    shutil.copy(ROOT / "registry-stubs" / "__init__.pyi", tmp_path / "registry.pyi")
    (tmp_path / "script.py").write_text(SCRIPT)
    line = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "script.py", "registry.pyi"]
    said = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert said.count("float64") == 2
    assert 'Unexpected keyword argument "bandwith"' in said
    assert 'Argument "kernel"' in said
    assert "Found 2 errors in 1 file" in said
