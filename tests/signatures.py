"""A user's script under mypy in strict mode, which must know the operations' signatures."""

import os
import subprocess
import sys

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
