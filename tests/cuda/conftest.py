"""What stands in for a device: a process for each way, which lives as long as pytest and imports torch and the compilers once."""

import functools
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import children
import pytest

import registry
from kernels._machine import ON_DEVICE

STAND_IN = Path(__file__).with_name("stand_in.py")


class Done(NamedTuple):
    """How a job ended, and what it said."""

    status: int
    said: str


@pytest.fixture(scope="session")
def do():
    """Return a function that has a job done by the server of stand_in.py that simulates, or that runs compiled code."""
    environment = os.environ | {"PYTHONPATH": str(Path(registry.__file__).parent), children.SERVES: "1"}
    with ExitStack() as running:

        @functools.cache
        def server(how):
            command = [sys.executable, STAND_IN, how]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            return running.enter_context(subprocess.Popen(command, env=environment, text=True, **pipes))

        def do(how, *job):
            print(json.dumps([str(part) for part in job]), file=server(how).stdin, flush=True)
            answer = server(how).stdout.readline()
            assert answer, f"the server of stand_in.py for {how} code has ended"
            return Done(*json.loads(answer))

        yield do


@pytest.fixture(scope="session")
def stand_in(do):
    """Return a function that holds a variant, damaged or not, to the suite without the GPU that it is for."""

    def stand_in(how, variant, examples, *damage):
        on_device = [ON_DEVICE[package] for package in variant.requires if package in ON_DEVICE]
        missing = [reason for package in (*variant.requires, *on_device) if (reason := registry.missing(package))]
        if missing:
            pytest.skip("; ".join(missing))
        return do(how, variant.operation, variant.name, examples, *damage)

    return stand_in
