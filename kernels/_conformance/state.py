"""What all of a process shares: set to unusual values before a call, so that a kernel which sets it is noticed, then put back.

While a state has its usual value, nobody notices a kernel that sets it to that value; while it has an unusual one, this is a
change. Some kernels set a state in their first call only, so the first call of a function under test is always watched, whichever
property makes it. In that first call a state of two values keeps the usual one, since a kernel does harm by setting the other; so
does a state that may change the last bits of a result, such as the number of threads.
"""

from __future__ import annotations

import functools
import gc
import locale
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from kernels._dispatch import neutral

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # libraries read them when they are loaded
NEVER_SAID = ("ignore", None, BytesWarning, None, 424_242)  # a filter of warnings


class Shared(NamedTuple):
    """A state that all of a process, or of a thread, shares."""

    name: str  # what a failure calls it
    read: Callable[[], Any]
    write: Callable[[Any], Any] | None = None  # takes what `read` returned; None where it cannot be put back
    # Makes an unusual value of the present one; None where any would change what a kernel must do.
    unusual: Callable[[Any], Any] | None = None
    code: str = ""  # what makes it unusual in the code of a failure, where a result may depend on it
    at_first: bool = True  # whether it is unusual in a first call too
    behind_dispatch: bool = False  # whether it is unusual only for a function called through dispatch, which makes it neutral
    # Of a state that importing a module may change: makes of the usual value, and of those before and after the import, the usual
    # one with what the import added.
    added: Callable[[Any, Any, Any], Any] | None = None
    module: str = "numpy"  # the module that has it: what was never imported has no state


def _silent(*_: object) -> None:
    """Be told of NumPy's floating-point errors."""


def _set_errors(errors: Any) -> None:
    how, call = errors
    np.seterr(**how)
    np.seterrcall(call)


def _set_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in variables.items() if os.environ.get(name) != value})


def _set_filters(filters: Any) -> None:
    warnings.filters[:] = filters  # type: ignore[index]


def _set_streams(streams: Any) -> None:
    sys.stdout, sys.stderr = streams


def _torch(name: str) -> Callable[..., Any]:
    """Return torch's function of this name, which is looked up only when it is called: torch need not be imported now."""
    return lambda *args, **kwargs: getattr(sys.modules["torch"], name)(*args, **kwargs)


def _keep_subnormal(_: Any) -> None:
    if "torch" in sys.modules:
        _torch("set_flush_denormal")(False)


def _another_dtype(dtype: Any) -> Any:
    torch = sys.modules["torch"]
    return torch.float32 if dtype == torch.float64 else torch.float64


def _backends() -> tuple[Any, ...]:
    backends = sys.modules["torch"].backends
    return (*neutral.ATTENTION.read(), backends.cudnn.benchmark, backends.cudnn.deterministic, backends.mkldnn.enabled)


def _numba_threads() -> int:
    from numba.np.ufunc import parallel

    # To ask starts the threads, which a first call may want to do in its own way.
    return int(parallel.get_num_threads() if parallel._is_initialized else sys.modules["numba"].config.NUMBA_NUM_THREADS)


def _set_numba_threads(number: int) -> None:
    from numba.np.ufunc import parallel

    if parallel._is_initialized:
        parallel.set_num_threads(number)


@functools.lru_cache(1)
def _blas(modules: int) -> list[Any]:
    """Return the libraries of a BLAS that are loaded with so many modules: to look for them takes milliseconds."""
    return [each for each in sys.modules["threadpoolctl"].ThreadpoolController().lib_controllers if each.user_api == "blas"]


def _set_blas_threads(numbers: dict[str, int]) -> None:
    for each in _blas(len(sys.modules)):
        if each.filepath in numbers:
            each.set_num_threads(numbers[each.filepath])


def _rounding() -> tuple[int, str]:
    context = sys.modules["decimal"].getcontext()
    return context.prec, context.rounding


def _set_rounding(value: tuple[int, str]) -> None:
    context = sys.modules["decimal"].getcontext()
    context.prec, context.rounding = value


SHARED = (
    Shared(
        "np.seterr",
        lambda: (np.geterr(), np.geterrcall()),
        _set_errors,
        lambda _: (dict.fromkeys(np.geterr(), "call"), _silent),
        'np.seterr(all="call"), np.seterrcall(lambda *_: None)',
    ),
    Shared(
        "np.random",
        lambda: np.random.get_state(legacy=False),
        np.random.set_state,
        lambda _: np.random.RandomState(424_242).get_state(legacy=False),
    ),
    Shared("np.printoptions", np.get_printoptions, lambda v: np.set_printoptions(**v), lambda v: {**v, "precision": 5}),
    Shared("np.setbufsize", np.getbufsize, np.setbufsize, lambda v: 2 * v, at_first=False),
    Shared("random", random.getstate, random.setstate, lambda _: random.Random(424_242).getstate()),
    Shared("how subnormal numbers are kept", lambda: neutral.SMALLEST * neutral.HALF > 0, _keep_subnormal),
    Shared("gc.disable", gc.isenabled, lambda v: (gc.enable if v else gc.disable)(), lambda v: not v, at_first=False),
    Shared("gc.set_threshold", gc.get_threshold, lambda v: gc.set_threshold(*v), lambda v: (v[0] + 1, *v[1:])),
    Shared(
        "the filters of warnings",
        lambda: list(warnings.filters),
        _set_filters,
        lambda v: [NEVER_SAID, *v],
        added=lambda usual, before, after: [each for each in after if each not in before] + usual,
    ),
    Shared(
        "os.environ",
        lambda: dict(os.environ),
        _set_environment,
        lambda v: {**v, **dict.fromkeys(THREADS, "3")},
        at_first=False,
        added=lambda usual, before, after: {key: after[key] for key in after.keys() - before.keys()} | usual,
    ),
    Shared("sys.setswitchinterval", sys.getswitchinterval, sys.setswitchinterval, lambda v: 0.75 * v),
    Shared("sys.setrecursionlimit", sys.getrecursionlimit, sys.setrecursionlimit, lambda v: v + 7),
    Shared("sys.stdout or sys.stderr", lambda: (sys.stdout, sys.stderr), _set_streams),
    Shared("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
    Shared("the working directory", os.getcwd, os.chdir),
    Shared(
        "the processors it may use",
        lambda: os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        lambda v: os.sched_setaffinity(0, v),
    ),
    Shared("the decimal context", _rounding, _set_rounding, lambda v: (v[0] + 1, v[1]), module="decimal"),
    Shared(
        "the threads of the BLAS",
        lambda: {each.filepath: each.num_threads for each in _blas(len(sys.modules))},
        _set_blas_threads,
        module="threadpoolctl",
    ),
    Shared(
        "torch's default dtype",
        _torch("get_default_dtype"),
        _torch("set_default_dtype"),
        _another_dtype,
        "torch.set_default_dtype(torch.float64)",
        at_first=False,
        module="torch",
    ),
    Shared("torch's default device", _torch("get_default_device"), _torch("set_default_device"), module="torch"),
    Shared(
        "torch's threads", _torch("get_num_threads"), _torch("set_num_threads"), lambda v: v + 1, at_first=False, module="torch"
    ),
    Shared(
        "torch's random generator",
        lambda: _torch("get_rng_state")().numpy(),
        lambda v: _torch("set_rng_state")(_torch("from_numpy")(v)),
        lambda _: _torch("Generator")().manual_seed(424_242).get_state().numpy(),
        module="torch",
    ),
    Shared(
        "torch's gradients",
        _torch("is_grad_enabled"),
        _torch("set_grad_enabled"),
        lambda v: not v,
        "torch.set_grad_enabled(False)",
        at_first=False,
        module="torch",
    ),
    Shared(
        "torch's precision of float32 products",
        _torch("get_float32_matmul_precision"),
        _torch("set_float32_matmul_precision"),
        lambda v: "high" if v == "medium" else "medium",
        at_first=False,
        behind_dispatch=True,
        module="torch",
    ),
    Shared(
        "torch's deterministic algorithms",
        lambda: (_torch("are_deterministic_algorithms_enabled")(), _torch("is_deterministic_algorithms_warn_only_enabled")()),
        lambda v: _torch("use_deterministic_algorithms")(v[0], warn_only=v[1]),
        module="torch",
    ),
    Shared("torch's autocast", lambda: _torch("is_autocast_enabled")("cpu"), module="torch"),
    Shared("torch's backends", _backends, module="torch"),
    Shared(
        "Numba's threads",
        _numba_threads,
        _set_numba_threads,
        lambda v: 1 if v > 1 else v,
        at_first=False,
        module="numba.np.ufunc.parallel",
    ),
)


def _plain(value: Any) -> Any:
    """Return a value whose equality is one truth value: arrays as bytes."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def _values() -> dict[Shared, Any]:
    return {each: each.read() for each in SHARED if each.module in sys.modules}


@contextmanager
def watched(*, unusual: bool = True, first: bool = False, dispatched: bool = True) -> Iterator[list[str]]:
    """Put the shared state back as it was after the body; the list names, after it, what the body changed.

    Parameters
    ----------
    unusual : bool
        Whether the state is unusual meanwhile.
    first : bool
        Whether the body makes a function's first call.
    dispatched : bool
        Whether it calls the function through dispatch.
    """
    usual = before = _values()
    changed = list[str]()
    modules = len(sys.modules)
    try:
        if unusual:
            for each, value in usual.items():
                if each.write and each.unusual and (each.at_first or not first) and (dispatched or not each.behind_dispatch):
                    each.write(each.unusual(value))
            before = _values()
        yield changed
    finally:
        after, imported = _values(), len(sys.modules) > modules
        for each, value in reversed(before.items()):
            if _plain(value) == _plain(after[each]):
                pass
            elif each.added and imported:  # what an import did, its module answers for
                usual[each] = each.added(usual[each], value, after[each])
            else:
                changed.append(each.name)
            if each.write and _plain(after[each]) != _plain(usual[each]):
                each.write(usual[each])


def circumstances() -> list[str]:
    """Return the code that makes the state unusual, as far as a result may depend on it."""
    return [each.code for each in SHARED if each.code and each.module in sys.modules]


class FirstCall:
    """The first call of a function under test, whoever makes it.

    Attributes
    ----------
    changed : list of str
        The shared states that it changed.
    """

    def __init__(self) -> None:
        self.changed: list[str] = []
        self._made = False
        self._lock = threading.Lock()

    def of(self, function: Callable[..., Any], dispatched: bool) -> Callable[..., Any]:
        """Return the function; one that watches its call, if there was none before."""
        if self._made:
            return function

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._lock:  # the threads that call meanwhile wait for this call
                if self._made:
                    return function(*args, **kwargs)
                self._made = True
                with watched(first=True, dispatched=dispatched) as self.changed:
                    return function(*args, **kwargs)

        return call
