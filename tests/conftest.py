"""How thorough a run is: HYPOTHESIS_PROFILE is dev (the default), ci (the default where CI is set) or nightly."""

import os
import sys

import children
import pytest
from hypothesis import settings

KEEPER = pytest.StashKey()

# Small calls fill no device, of which Numba warns at every launch: a warning is an error here. It reads this when it is imported.
os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")

settings.register_profile("dev", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=100, derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


_started = []  # the names of the events, since the last test, in which Python started a process


def pytest_configure(config):
    os.environ[children.MARK] = str(os.getpid())
    config.stash[KEEPER] = children.keep(os.getpid())
    sys.addaudithook(lambda event, _: _started.append(event) if event in ("subprocess.Popen", "os.posix_spawn") else None)


def pytest_unconfigure(config):
    """Let the keeper go: it ends what is left, and then itself."""
    config.stash[KEEPER].communicate()


@pytest.fixture(autouse=True)
def _children_end_with_their_test():
    yield
    if _started:
        _started.clear()
        children.end(os.environ[children.MARK])


def pytest_addoption(parser):
    parser.addoption("--seeds", type=int, default=1, help="seeds for the search for false alarms")


@pytest.fixture
def seeds(request):
    return request.config.getoption("--seeds")
