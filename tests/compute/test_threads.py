"""Parallel loops, and compiled kernels beside other threads: where one may die, in a process of its own."""

import os
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

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
import functools, os, sys, threading
import numpy as np
import registry

calls = {}
for operation, name in (each.split("/") for each in sys.argv[1:]):
    example = registry.contract(operation).example("medium")
    calls[operation, name] = functools.partial(registry.get(operation, name), *example.args, **example.kwargs)

def call():
    return {each: bytes(np.asarray(kernel())) for each, kernel in calls.items()}

def require_right():
    wrong = [each for each, result in call().items() if result != expected[each]]
    assert not wrong, f"other bits by {wrong}"

expected = call()
"""
CHILD_AFTER_A_FORK = """
for _ in range(2):  # a child, and after it the parent and another child
    child = os.fork()
    if not child:
        try:
            require_right()
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    require_right()
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
    for _ in range(3):
        require_right()
finally:
    stop.set()
"""
AS_THE_INTERPRETER_GOES_DOWN = """
import atexit

def last():
    try:
        require_right()
        os._exit(0)
    except BaseException as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)

atexit.register(last)
"""
SCENES = {
    "child_after_a_fork": CHILD_AFTER_A_FORK,
    "beside_torch": BESIDE_TORCH,
    "as_the_interpreter_goes_down": AS_THE_INTERPRETER_GOES_DOWN,
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_compiled_kernels_stay_right_and_alive(scene):
    if not COMPILED:
        pytest.skip("no kernel here is compiled for the CPU")
    if scene is CHILD_AFTER_A_FORK and not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    if scene is BESIDE_TORCH:
        pytest.importorskip("torch")
    alone(START + scene, *(f"{v.operation}/{v.name}" for v in COMPILED), NUMBA_NUM_THREADS="4")


def alone(code, *arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = run_unless_stuck(command, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cores", ["2", "8"])
def test_a_refused_thread_leaves_earlier_results_alone(cores):
    pytest.importorskip("resource", reason="this system has no limit of processes")
    pytest.importorskip("numba")
    alone(
        """
        import os, resource
        import numpy as np
        import registry

        rng = np.random.default_rng(0)
        a, b = (rng.integers(-8, 9, (600, 600)).astype("float32") for _ in range(2))
        product, mm = a @ b, registry.get("matmul", "numba")
        mm(a[:9, :9], b[:9, :9])
        if os.getuid() == 0:
            os.setuid(65534)  # the limit is not for root
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
        results = [mm(a, b) for _ in range(3)]
        for c in results:
            assert (c == product).all()
            c[:] = 7
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
        for _ in range(3):
            assert (mm(a, b) == product).all()
        assert all((c == 7).all() for c in results)
        """,
        NUMBA_NUM_THREADS=cores,
    )


@pytest.fixture
def threads(monkeypatch):
    """Return the module as it is in a new process of a machine with eight cores."""
    module = pytest.importorskip("kernels._compute.threads")
    for name in ("_loops", "_threads", "_starting"):
        monkeypatch.setattr(module, name, getattr(module, name))
    module._forget()
    monkeypatch.setattr(module, "CORES", 8)
    yield module
    for _ in range(module._threads):
        module._loops.put(SimpleNamespace(help=sys.exit))  # ends the thread that takes it, silently


def counted(threads, extent, during=lambda: None):
    counts = [0] * extent

    def work(start, stop):
        during()
        for i in range(start, stop):
            counts[i] += 1

    threads.parallel_for(work, extent)
    return counts


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
@pytest.mark.parametrize("granted", [0, 1, 4])
def test_each_chunk_runs_once_however_many_threads_are_refused(threads, monkeypatch, granted, error):
    start, started = threads.start_new_thread, []

    def refuse(*thread):
        if len(started) == granted:
            raise error("can't start new thread")
        started.append(start(*thread))

    monkeypatch.setattr(threads, "start_new_thread", refuse)
    for _ in range(20):
        assert counted(threads, 100) == [1] * 100
    assert len(started) == granted
    monkeypatch.setattr(threads, "start_new_thread", start)
    assert counted(threads, 100) == [1] * 100


def test_each_chunk_runs_once_for_eight_callers_and_within_chunks(threads):
    results, right = [], [1] * 40

    def caller():
        results.extend(counted(threads, 40, lambda: results.append(counted(threads, 40))) == right for _ in range(5))

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert len(results) == 8 * 5 * (1 + 8)
    assert all(result in (True, right) for result in results)


def test_a_chunk_that_raises_is_raised_once_the_others_have_ended(threads):
    begun, ended = [], []

    def work(start, stop):
        begun.append(start)
        if start == 50:
            raise ZeroDivisionError
        time.sleep(0.01)
        ended.append(start)

    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            threads.parallel_for(work, 100)
        assert sorted(begun) == sorted(ended + [50] * begun.count(50))
    assert counted(threads, 100) == [1] * 100


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system sends no signal to a thread")
def test_an_interrupt_waits_for_the_chunks_that_have_begun(threads):
    begun, ended, caller = [], [], threading.get_ident()

    def work(start, stop):
        begun.append(start)
        while len(begun) < 8:  # until the caller and seven threads are at a chunk each
            time.sleep(0.001)
        if threading.get_ident() != caller:
            signal.pthread_kill(caller, signal.SIGINT)
            time.sleep(0.05)
            ended.append(start)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            threads.parallel_for(work, 8)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert len(ended) == 7


def test_threads_keep_subnormal_numbers_whatever_the_one_that_starts_them_does(threads):
    torch = pytest.importorskip("torch")
    flushing, everyone = {}, threading.Barrier(8)

    def work(start, stop):
        everyone.wait()  # each chunk on a thread of its own
        flushing[threading.get_ident()] = sys.float_info.min * float("0.5") == 0

    if not torch.set_flush_denormal(True):
        pytest.skip("torch cannot flush subnormal numbers on this machine")
    try:
        threads.parallel_for(work, 8)
    finally:
        torch.set_flush_denormal(False)
    assert flushing.pop(threading.get_ident())
    assert list(flushing.values()) == [False] * 7
