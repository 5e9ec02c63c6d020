"""A parallel loop for compiled kernels that release the interpreter's lock: a range in chunks, on Python's own threads.

Numba has parallel loops of its own, which need a threading layer. Each of its layers can end the process: GNU OpenMP where a
child is forked after the parent used it, workqueue where two threads enter at once. Python's threads can do neither.

The caller and the pool's threads each take the next chunk that nobody has taken. So every chunk runs exactly once, however few
threads the system grants, and a parallel loop within a chunk ends even where every thread of the pool is busy. Which
thread runs a chunk, and how long a chunk is, differs from run to run: a kernel's results must not depend on either.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
from _thread import allocate_lock, start_new_thread
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

import numba

CORES = int(numba.config.NUMBA_NUM_THREADS)  # how many this process may use; the environment may say fewer


def parallel_for(work: Callable[[int, int], object], extent: int, grain: int = 1) -> None:
    """Call `work(start, stop)` for chunks that together are `range(extent)`, each once, in parallel.

    Parameters
    ----------
    work : callable
        Called from several threads at once. Where a call raises, chunks that nobody has begun are left out, and the caller
        raises the same exception once the others have ended.
    extent : int
        The length of the range.
    grain : int
        The least length of a chunk. There are at most as many chunks as cores.
    """
    count = max(1, min(CORES, extent // max(1, grain)))
    if count == 1:
        work(0, extent)
        return
    loop = _Loop(work, extent, count)
    try:
        for _ in range(_pool_threads(count - 1)):
            _loops.put(loop)
        while (chunk := loop.take(0)) is not None:
            chunk()
    finally:
        loop.drop()
        loop.wait()
    if loop.failure is not None:
        try:
            raise loop.failure
        finally:
            loop.failure = None  # it refers to this frame, and so to the arrays


class _Loop:
    """The chunks of one parallel loop that nobody has taken yet, and how many threads of the pool are at work on one."""

    def __init__(self, work: Callable[[int, int], object], extent: int, count: int) -> None:
        edges = itertools.pairwise(extent * i // count for i in range(count + 1))
        self.left = deque(partial(work, start, stop) for start, stop in edges)
        self.helping = 0
        self.failure: BaseException | None = None
        self.lock = allocate_lock()
        self.ended = allocate_lock()  # released when the last thread has ended its chunk: unlike a queue, this needs no memory
        self.ended.acquire()

    def take(self, helpers: int) -> partial[object] | None:
        with self.lock:
            if not self.left:
                return None
            self.helping += helpers
            return self.left.popleft()

    def drop(self) -> None:
        """Leave no chunk to take. A thread may find this loop in the queue much later: it must not keep the arrays alive."""
        with self.lock:
            self.left.clear()

    def help(self) -> None:
        """Run chunks until none is left: what a thread of the pool does."""
        while (chunk := self.take(1)) is not None:
            try:
                chunk()
            except BaseException as error:  # the caller raises it
                self.failure = error
                self.drop()
            chunk = None
            with self.lock:
                self.helping -= 1
                if not self.helping and self.ended.locked():
                    self.ended.release()

    def wait(self) -> None:
        """Wait for the pool's threads, also through interrupts: none may write to the arrays after the caller has returned."""
        interrupt: BaseException | None = None
        while self.helping:
            try:
                self.ended.acquire()
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


_loops: SimpleQueue[_Loop] = SimpleQueue()
_threads = 0
_starting = allocate_lock()


def _serve(loops: SimpleQueue[_Loop]) -> None:
    _reset_floating_point()
    while True:
        loops.get().help()


def _reset_floating_point() -> None:
    """Give this thread C's default floating-point environment: subnormal numbers are kept, and results round to nearest.

    On Linux a new thread inherits the environment of the thread that starts it. A thread of the pool outlives the call that
    started it, and would compute with that caller's setting for all later callers.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).fesetenv(ctypes.c_void_p(-1))  # FE_DFL_ENV, in glibc and in musl


def _pool_threads(wanted: int) -> int:
    """Start the threads that are missing, and return how many there are: the system may refuse some."""
    global _threads
    if _threads < wanted:
        with _starting:
            try:
                while _threads < wanted:
                    start_new_thread(_serve, (_loops,))
                    _threads += 1
            except (RuntimeError, MemoryError):  # also once the interpreter is going down
                pass
    return min(_threads, wanted)


def _forget() -> None:
    """Start anew in a forked child, which has none of its parent's threads."""
    global _loops, _threads, _starting
    _loops, _threads, _starting = SimpleQueue(), 0, allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
