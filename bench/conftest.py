"""Options of the benchmark suite."""

import os

os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")  # read when Numba is imported; a warning is an error here


def pytest_addoption(parser):
    parser.addoption(
        "--limit", type=float, default=2.0, metavar="SECONDS", help="skip a variant whose run would take longer (default: 2)"
    )
