"""The cores, for compiled kernels that release the interpreter's lock: a range of work, in shares, on Python's own threads.

Numba's parallel loops need a threading layer, and each has a way to end the process: GNU OpenMP in a child forked after
the parent used it, workqueue when two threads enter at once. Python's threads have neither. Nothing a kernel computes may
depend on how the range is shared, so that results are the same on any number of cores.

Threads only help: whoever is free takes the next share, the caller too. So each share is run once, and all are run, however
few threads the system grants; and a call within a share waits for no thread that waits for it.
"""

from __future__ import annotations

import itertools
import os
from _thread import allocate_lock, start_new_thread
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

import numba

CORES = int(numba.config.NUMBA_NUM_THREADS)  # those this process may use, unless the environment says fewer


class _Call:
    """The shares of one call that nobody has taken yet, and how many helpers are at one."""

    def __init__(self, work: Callable[[int, int], object], extent: int, shares: int) -> None:
        edges = itertools.pairwise(extent * i // shares for i in range(shares + 1))
        self.left = deque(partial(work, start, stop) for start, stop in edges)
        self.helping = 0
        self.failure: BaseException | None = None
        self.lock = allocate_lock()
        self.ended = allocate_lock()  # opened when the last helper has ended: needs no memory, unlike a queue
        self.ended.acquire()

    def take(self, helpers: int) -> partial[object] | None:
        with self.lock:
            if not self.left:
                return None
            self.helping += helpers
            return self.left.popleft()

    def drop(self) -> None:
        """Leave nothing to take. A helper may come upon this call much later: it must not keep the arrays alive until then."""
        with self.lock:
            self.left.clear()

    def help(self) -> None:
        while (share := self.take(1)) is not None:
            try:
                share()
            except BaseException as error:  # the caller raises it
                self.failure = error
                self.drop()
            share = None
            with self.lock:
                self.helping -= 1
                if not self.helping and self.ended.locked():
                    self.ended.release()

    def wait(self) -> None:
        """Wait for the helpers, through interrupts: none may write after the caller has left."""
        interrupt: BaseException | None = None
        while self.helping:
            try:
                self.ended.acquire()
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


_calls: SimpleQueue[_Call] = SimpleQueue()
_threads = 0
_starting = allocate_lock()


def _serve(calls: SimpleQueue[_Call]) -> None:
    while True:
        calls.get().help()


def _helpers(wanted: int) -> int:
    """Start the threads that are missing, and return how many there are: the system may refuse some."""
    global _threads
    if _threads < wanted:
        with _starting:
            try:
                while _threads < wanted:
                    start_new_thread(_serve, (_calls,))
                    _threads += 1
            except (RuntimeError, MemoryError):  # also once the interpreter is going down
                pass
    return min(_threads, wanted)


def share_out(work: Callable[[int, int], object], extent: int, least: int = 1) -> None:
    """Call `work(start, stop)` over shares of `range(extent)`, as many as cores and none smaller than `least`, each once.

    Where one raises, those that nobody has begun are left out, and the caller raises the same.
    """
    shares = max(1, min(CORES, extent // max(1, least)))
    if shares == 1:
        work(0, extent)
        return
    call = _Call(work, extent, shares)
    try:
        for _ in range(_helpers(shares - 1)):
            _calls.put(call)
        while (share := call.take(0)) is not None:
            share()
    finally:
        call.drop()
        call.wait()
    if call.failure is not None:
        try:
            raise call.failure
        finally:
            call.failure = None  # it refers to this frame, and so to the arrays


def _forget() -> None:
    """A child has none of its parent's threads: it starts its own."""
    global _calls, _threads, _starting
    _calls, _threads, _starting = SimpleQueue(), 0, allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
