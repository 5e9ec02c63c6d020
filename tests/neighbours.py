"""Catalogues for the tests: described machines, interpreters of their own, and distributions laid out beside the zoo."""

import json
import subprocess
import sys
import textwrap

from commands import ROOT

from registry import System, Zoo


def python(code, *, path=()):
    """Run code in a fresh interpreter and return what it prints, as JSON."""
    paths = [str(p) for p in (*path, ROOT)]
    lines = [f"import sys; sys.path[:0] = {paths!r}", textwrap.dedent(code)]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Machine(System):
    """A described system: everything is here but what is named."""

    def __init__(self, *absent):
        super().__init__()
        self.absent = absent

    def missing(self, requirement):
        return f"needs {requirement}, which this machine lacks" if requirement in self.absent else None


def fresh_zoo():
    return Zoo(ROOT / "kernels", Machine("cuda", "torch"))


KERNEL = '''
"""A kernel."""
import numpy as np
from registry import register

@register("matmul", "{name}", rank=1)
def matmul(a, b):
    return np.matmul(a, b)
'''
OPERATION = '''
"""negate: every entry with the other sign."""
from __future__ import annotations

import numpy as np


def negate(x: Float[Array, "n"]) -> Float[Array, "n"]:
    """Change the sign."""
    return -x
'''


def distribution(folder, name, entry_points):
    """Lay out an installed distribution: its metadata alone, with entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[kernel_zoo]", *lines]))
