"""The machine that a measurement belongs to: what a variant's time hangs on beside the call. Loads the standard library alone."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kernels._machine import VERSION, System

PACKAGES = ("numpy", "torch", "numba", "triton")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")  # how many threads are allowed


def machine() -> dict[str, Any]:
    """Return what this process's measurements are valid for, as plain values that JSON holds.

    "torch threads" is None as long as torch is not loaded. All else follows from the machine, its environment variables and
    what is installed, and is read once.
    """
    threads = getattr(sys.modules.get("torch"), "get_num_threads", lambda: None)()
    return {**_lasting(), "torch threads": threads}


@functools.cache
def _lasting() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": cores(),
        "threads allowed": {name: os.environ[name] for name in THREADS if name in os.environ},
        "gpu": _gpu(),
        "versions": {"kernel-zoo": VERSION} | {name: _version(name) for name in PACKAGES},
    }


def key(machine: Mapping[str, Any]) -> str:
    """Return a short name for a machine, the same whether torch is loaded or not."""
    lasting = {name: value for name, value in machine.items() if name != "torch threads"}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:12]


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Say in what another machine differs from this one; the threads of torch count where both are known."""
    found = []
    for name in dict.fromkeys((*ours, *theirs)):
        there, here = theirs.get(name), ours.get(name)
        if name == "torch threads" and None in (there, here):
            continue
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            found += [f"{each} {there.get(each)}, here {here.get(each)}"
                      for each in dict.fromkeys((*here, *there)) if there.get(each) != here.get(each)]  # fmt: skip
        elif there != here:
            found.append(f"{name} {there}, here {here}")
    return found


def cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _gpu() -> str | None:
    """Return the first GPU's name, from NVIDIA's management library, or None if variants for CUDA cannot run here."""
    if System().missing("cuda"):
        return None
    nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    device, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)):
        return "unknown"
    return "unknown" if nvml.nvmlDeviceGetName(device, name, len(name)) else name.value.decode(errors="replace")
