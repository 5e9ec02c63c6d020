"""How thorough a run is: HYPOTHESIS_PROFILE is dev (the default), ci (the default where CI is set) or nightly."""

import os

import pytest
from hypothesis import settings

# Small calls fill no device, of which Numba warns at every launch: a warning is an error here. It reads this when it is imported.
os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")

settings.register_profile("dev", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=100, derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_addoption(parser):
    parser.addoption("--seeds", type=int, default=1, help="seeds for the search for false alarms")


@pytest.fixture
def seeds(request):
    return request.config.getoption("--seeds")
