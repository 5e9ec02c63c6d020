"""Compiled kernels beside other threads and after a fork, in a process of their own: one that dies takes no test along."""

import os
import sys
import textwrap
from pathlib import Path

import pytest
from children import run_unless_stuck

import registry

ROOT = Path(registry.__file__).parent
COMPILED = [
    v
    for op in registry.operations()
    for v in registry.variants(op)
    if "numba" in v.requires and v.available and v.device == "cpu"
]

START = """
import os, sys, threading
import numpy as np
import registry

operation, name = sys.argv[1:]
example = registry.contract(operation).example("medium")
kernel = registry.get(operation, name)

def call():
    return kernel(*example.args, **example.kwargs).tobytes()

expected = call()
"""
CHILD_AFTER_A_FORK = """
for _ in range(2):  # a child, and after it the parent and another child
    child = os.fork()
    if not child:
        os._exit(call() != expected)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    assert call() == expected
"""
BESIDE_TORCH = """
import time, torch

stop, squares = threading.Event(), torch.ones(512, 512)

def busy():
    while not stop.is_set() and time.process_time() < 600:  # then all sleep, if the kernel is stuck, and it shows
        squares @ squares

others = [threading.Thread(target=busy) for _ in range(2)]
for other in others:
    other.start()
try:
    assert all(call() == expected for _ in range(5))
finally:
    stop.set()
"""
AS_THE_INTERPRETER_GOES_DOWN = """
import atexit

def last():
    right = False
    try:
        right = call() == expected
    finally:
        os._exit(not right)

atexit.register(last)
"""
SCENES = {
    "child_after_a_fork": CHILD_AFTER_A_FORK,
    "beside_torch": BESIDE_TORCH,
    "as_the_interpreter_goes_down": AS_THE_INTERPRETER_GOES_DOWN,
}


@pytest.mark.parametrize("variant", COMPILED, ids=lambda v: f"{v.operation}-{v.name}")
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_compiled_kernels_stay_right_and_alive(variant, scene):
    if scene is CHILD_AFTER_A_FORK and not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    if scene is BESIDE_TORCH:
        pytest.importorskip("torch")
    code = textwrap.dedent(START + scene)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "4"}
    command = [sys.executable, "-c", code, variant.operation, variant.name]
    done = run_unless_stuck(command, env=environment)
    assert done.returncode == 0, done.stderr
