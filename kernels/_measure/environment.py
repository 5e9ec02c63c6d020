"""The machine, the versions and the commit that a figure belongs to, and a rate as people write it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from kernels._costs.machine import cores, machine

BUSY = 0.5  # the load on each core from which on a machine counts as busy


def rate(units: float, unit: str) -> str:
    """Write a rate in the unit that the field uses: GFLOP/s, or pairs a second."""
    if unit == "flops":
        return f"{units / 1e9:.3g} GFLOP/s"
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if units >= size:
            return f"{units / size:.3g} {prefix}{unit}/s"
    return f"{units:.3g} {unit}/s"


def environment() -> dict[str, Any]:
    """Return the machine, the versions and the commit that a figure belongs to."""
    here = machine()
    packages = dict(here["versions"])
    return {
        "processor": here["processor"],
        "cores": here["cores"],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "kernel-zoo": packages.pop("kernel-zoo"),
        "packages": packages,
        "commit": _commit(),
    }


def busy() -> str | None:
    """Say that others have kept this machine busy during the last minute, or return None.

    Ask before a measurement: later the load is the measurement's own.
    """
    if not hasattr(os, "getloadavg"):
        return None
    load, count = os.getloadavg()[0], cores()
    if load < BUSY * count:
        return None
    return (
        f"the machine is busy: a load of {load:.1f} on {count} cores during the last minute; times are longer than on an idle one"
    )


def _commit() -> str | None:
    """The commit of the checkout this file is in, marked if files differ from it; None for an installed copy."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
