"""How thorough a run is: HYPOTHESIS_PROFILE is dev (the default), ci (the default where CI is set) or nightly."""

import functools
import gc
import inspect
import os
import re
import sys
import tempfile
from pathlib import Path

import children
import pytest
from hypothesis import settings

import registry
from kernels._costs import table as tables

KEEPER = pytest.StashKey()

# Threads of OpenMP and of the BLAS that wait for each other cost the processor as much as work, and every worker has a processor.
# The libraries read this when they are loaded. The nightly profile lets them have their threads.
if os.environ.get("HYPOTHESIS_PROFILE") != "nightly":
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Small calls fill no device, of which Numba warns at every launch: a warning is an error here. It reads this when it is imported.
os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")

# What somebody measured on this machine decides no test.
os.environ["KERNEL_ZOO_CACHE"] = os.path.join(tempfile.gettempdir(), "kernel-zoo-without-measurements")

settings.register_profile("dev", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


_started = []  # the names of the events, since the last test, in which Python started a process


def pytest_configure(config):
    os.environ[children.MARK] = str(os.getpid())
    config.stash[KEEPER] = children.keep(os.getpid())
    if config.getoption("dist", "no") == "load":  # what pytest-xdist's -n means
        # Neighbours stay together, and find what they have compiled; no worker idles.
        config.option.dist = "worksteal"
    sys.addaudithook(lambda event, _: _started.append(event) if event in ("subprocess.Popen", "os.posix_spawn") else None)


def pytest_unconfigure(config):
    """Let the keeper go: it ends what is left, and then itself."""
    config.stash[KEEPER].communicate()


@pytest.fixture(autouse=True)
def _children_end_with_their_test():
    yield
    if _started:
        _started.clear()
        children.end(os.environ[children.MARK], servers=False)


@pytest.fixture
def measured(monkeypatch):
    """Return a function that puts entries in place of all measurements; at first there are none."""

    def put(*entries):
        right, wrong = (tuple(e for e in entries if bool(e.wrong) is refused) for refused in (False, True))
        table = tables.Table(right, "tuned", {"processor": "one of these tests"}, refused=wrong)
        monkeypatch.setattr(tables, "current", lambda: table)
        registry.zoo().generation += 1

    put()
    yield put
    monkeypatch.undo()
    registry.zoo().generation += 1


# A module of tests that starts processes, asks for a compiler, or needs a device or what stands in for one, is for the long run.
SLOW = re.compile(r"^(import (subprocess|multiprocessing)|from children)|importorskip\(\"numba\"\)", re.MULTILINE)


def pytest_collection_modifyitems(items):
    """Mark the quick tests; of those that are repeated for many kernels, that is the first kernel of each operation.

    The long tests of tests/cuda come first, so that no worker is left with one at the end.
    """
    items.sort(key=lambda item: item.path.parent.name != "cuda")
    seen = set()
    for item in items:
        slow = item.path.parent.name == "cuda" or _is_slow(item.module)
        if not slow and _is_quick(item, seen):
            item.add_marker(pytest.mark.quick)


@functools.cache
def _is_slow(module):
    return bool(SLOW.search(inspect.getsource(module)))


def pytest_collection_finish():
    """Let the collector of garbage pass over what lives as long as the session: thousands of tests, and the libraries.

    It looks less often at what is new, too: a compiler makes millions of objects, and a
    tenth of its time was the collector's; a framework that is loaded later is 300,000 objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 100)


def _is_quick(item, seen):
    if {"cuda", "slow"} & {mark.name for mark in item.iter_markers()}:
        return False
    values = item.callspec.params if hasattr(item, "callspec") else {}
    kernels = [values[name] for name in ("variant", "function", "kernel") if name in values and not isinstance(values[name], str)]
    if any(not getattr(kernel, "available", True) or "numba" in getattr(kernel, "requires", ()) for kernel in kernels):
        return False
    if not kernels:
        return True
    operation = values.get("operation") or getattr(kernels[0], "operation", None)
    repeated = (item.module.__name__, item.originalname, operation, values.get("property_"))
    return not (repeated in seen or seen.add(repeated))


def pytest_addoption(parser):
    parser.addoption("--seeds", type=int, default=1, help="seeds for the search for false alarms")
    parser.addoption("--kill-table", type=Path, help="a file for which property refuses which wrong kernel: 15 minutes")


@pytest.fixture
def seeds(request):
    return request.config.getoption("--seeds")
