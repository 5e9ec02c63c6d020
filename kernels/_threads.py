"""The cores, for compiled kernels that release the interpreter's lock: a range of work, in shares, on Python's own threads.

Numba's parallel loops need a threading layer, and each has a way to end the process: GNU OpenMP in a child forked after
the parent used it, workqueue when two threads enter at once. Python's threads have neither. Nothing a kernel computes may
depend on how the range is shared, so that results are the same on any number of cores.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numba

CORES = int(numba.config.NUMBA_NUM_THREADS)  # those this process may use, unless the environment says fewer

_pool: ThreadPoolExecutor | None = None


def share_out(work: Callable[[int, int], object], extent: int, least: int = 1) -> None:
    """Call `work(start, stop)` over shares of `range(extent)`, one on each core and none smaller than `least`."""
    global _pool
    shares = max(1, min(CORES, extent // max(1, least)))
    if shares == 1:
        work(0, extent)
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(CORES - 1, thread_name_prefix="kernel-zoo")
    mine, *theirs = itertools.pairwise(extent * i // shares for i in range(shares + 1))
    others: list[Future[object]] = []
    try:
        for share in theirs:
            try:
                others.append(_pool.submit(work, *share))
            except RuntimeError:  # no thread starts once the interpreter is going down
                work(*share)
        work(*mine)
    finally:
        for other in others:
            other.result()


def _forget() -> None:
    """A child has none of its parent's threads: it starts its own."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
