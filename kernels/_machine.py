"""What this machine offers: which packages and which devices are here, and which zoo. Loads the standard library alone."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

VERSION = "0.1.0"  # of the zoo
ON_DEVICE = {"numba": "numba_cuda"}  # what a CUDA variant needs beyond a package it requires: numba's own target is of the past
# What pip calls a package, where not by its name.
DISTRIBUTIONS = {
    "numba_cuda": "'numba-cuda[cu13]'",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}


class System:
    """What this machine offers. Resolution asks only this, so it can be tested without the hardware."""

    def __init__(self) -> None:
        self._missing: dict[str, str | None] = {}

    def missing(self, requirement: str) -> str | None:
        """Return why a package or a device (`"cuda"`) cannot be used, or None when it can."""
        if requirement not in self._missing:
            self._missing[requirement] = _cuda() if requirement == "cuda" else _package(requirement)
        return self._missing[requirement]

    def forget(self) -> None:
        """Look again when asked again."""
        self._missing.clear()
        importlib.invalidate_caches()


def _package(name: str) -> str | None:
    try:
        found = find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: sys.modules[name] is None, an import that was blocked
        found = False
    distribution = DISTRIBUTIONS.get(name, name.partition(".")[0])
    return None if found else f"needs the package {name}, which is not installed (pip install {distribution})"


def _cuda() -> str | None:
    """Ask NVIDIA's management library: unlike the driver's own, it can be asked before a fork."""
    import ctypes

    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return "needs a CUDA device, and CUDA_VISIBLE_DEVICES hides them all (unset it)"
    library = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    absent = "needs a CUDA device, and none was found"
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return f"{absent}: no NVIDIA driver ({library}) is installed (run it on a machine with an NVIDIA GPU)"
    count = ctypes.c_uint()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) or not count.value:
        return f"{absent}: the NVIDIA driver reports no device (see nvidia-smi)"
    if _torch_built_without_cuda():
        return "needs torch built for CUDA, and the installed build is for the CPU alone (see pytorch.org/get-started)"
    return None


def find_spec(name: str) -> ModuleSpec | None:
    """Find a module as importlib.util.find_spec does, but without importing the packages it lies in."""
    first, *inner = name.split(".")
    spec = importlib.util.find_spec(first)
    for part in inner:
        folders = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(part, list(folders)) if folders else None
    return spec


def _torch_built_without_cuda() -> bool:
    """Read torch/version.py, which says `cuda: Optional[str] = None` in a CPU build: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    for folder in (spec and spec.submodule_search_locations) or ():
        for node in ast.parse(Path(folder, "version.py").read_bytes()).body:
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "cuda":
                return isinstance(node.value, ast.Constant) and node.value.value is None
    return False
