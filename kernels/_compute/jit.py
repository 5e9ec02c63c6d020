"""Numba's compiler, with a cache of compiled code on disk that knows all that the code depends on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba.core import config

try:
    from kernels._compute.sealed_cache import SealedCache, closure_suffix
except ImportError:  # this version of Numba has not the private parts that the cache is made of: compile without one
    SealedCache = None  # type: ignore[assignment, misc]


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a function that Numba compiles for each mix of argument types, and that runs without the interpreter's lock."""
    if function is None:
        return functools.partial(jit, **options)
    if config.DISABLE_JIT:
        raise RuntimeError("Numba's compiler is switched off: unset NUMBA_DISABLE_JIT, and leave numba.config.DISABLE_JIT at 0")
    if SealedCache is not None:
        function.__qualname__ += closure_suffix(function)
    dispatcher = numba.njit(nogil=True, **options)(function)
    if SealedCache is not None:
        dispatcher._cache = SealedCache(function)
    return dispatcher
