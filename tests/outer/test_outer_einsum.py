"""outer by einsum: what NumPy's own einsum does wrong."""

import subprocess
import sys

PROGRAM = """
import numpy as np, registry

outer = registry.get("outer", "einsum")
a, b = np.ones(17, "clongdouble"), np.ones(0, "clongdouble")
kept = [outer(a, b) for _ in range(1000)]
assert kept[0].shape == (17, 0) and kept[0].dtype == a.dtype
"""


def test_nothing_is_written_past_an_empty_result():
    """The C library ends a process that it finds to have written past what it allocated."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr
