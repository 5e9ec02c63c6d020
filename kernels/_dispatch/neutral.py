"""A neutral state for kernels: what the caller set for process or thread changes no result, and is the caller's again after.

Neutral means that NumPy ignores floating-point errors, that subnormal numbers are kept, that torch casts nothing by itself,
and that it multiplies float32 as float32. Modes of torch that look on, such as a counter of operations, go on looking on.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import Context
from typing import Any, NamedTuple

import numpy as np
from numpy._core import umath

SMALLEST, HALF = sys.float_info.min, 0.5  # their product is 0 where this thread flushes subnormal numbers
# What np.errstate does, which takes ten times as long in Python.
set_errors, reset_errors = umath._extobj_contextvar.set, umath._extobj_contextvar.reset
COMPLAINTS = (FloatingPointError, RuntimeWarning)  # how NumPy stops a kernel if the caller asked for that
IGNORED = umath._make_extobj(all="ignore")
# For functions that look at no other context variable: to run one in a context takes half of what setting and resetting does.
IGNORING = Context()
IGNORING.run(set_errors, IGNORED)
BACKENDS = {"cpu": "mkldnn", "cuda": "cuda"}  # whose setting says how float32 is multiplied there
EXACT = ("none", "ieee")  # and the values that keep all its digits


class ProcessWide:
    """Settings that every thread shares: neutral while any call needs them, then again what they were.

    Parameters
    ----------
    read : callable
        Returns the settings.
    write : callable
        Takes what `read` returned, or `neutral`.
    neutral : tuple
        What `read` returns while they are neutral.
    """

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None], neutral: Any) -> None:
        self.read, self.write, self.neutral = read, write, neutral
        self.calls = 0  # while one of them holds the settings, another must hold them too: the first may end before it
        self._before: Any = None
        self._lock = threading.Lock()

    def disturbed(self) -> bool:
        """Whether a call has to hold the settings."""
        return bool(self.calls or self.read() != self.neutral)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the settings neutral; what someone else sets meanwhile stays."""
        with self._lock:
            if not self.calls:
                self._before = self.read()
                self.write(self.neutral)
            self.calls += 1
        try:
            yield
        finally:
            with self._lock:
                self.calls -= 1
                if not self.calls and self.read() == self.neutral:
                    self.write(self._before)


def _precisions() -> tuple[str, ...]:
    import torch

    read = torch._C._get_fp32_precision_getter  # the public attribute costs ten times as much
    return tuple("ieee" if (value := read(backend, "matmul")) in EXACT else value for backend in BACKENDS.values())


def _set_precisions(values: tuple[str, ...]) -> None:
    import torch

    for backend, value in zip(BACKENDS.values(), values, strict=True):
        if value != "ieee":
            torch._C._set_fp32_precision_setter(backend, "matmul", "none")  # inherits, and may be right by that
        if torch._C._get_fp32_precision_getter(backend, "matmul") not in (EXACT if value == "ieee" else (value,)):
            torch._C._set_fp32_precision_setter(backend, "matmul", value)


def _attentions() -> tuple[bool, ...]:
    from torch.backends import cuda

    return cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled(), cuda.cudnn_sdp_enabled()


def _set_attentions(values: tuple[bool, ...]) -> None:
    from torch.backends import cuda

    setters = cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_math_sdp, cuda.enable_cudnn_sdp
    for enable, value in zip(setters, values, strict=True):
        enable(value)


PRECISION = ProcessWide(_precisions, _set_precisions, ("ieee",) * len(BACKENDS))
ATTENTION = ProcessWide(_attentions, _set_attentions, (True,) * 4)


def every_attention(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Let torch choose among all its ways to compute attention, whichever the caller allows: for kernels that call it."""

    @functools.wraps(kernel)
    def call(*args: Any, **kwargs: Any) -> Any:
        with ATTENTION.held() if ATTENTION.disturbed() else nullcontext():
            return kernel(*args, **kwargs)

    return call


class Tests(NamedTuple):
    """Python expressions, and the names in them."""

    tests: tuple[str, ...]
    names: dict[str, Any]


def torch_disturbances(device: str) -> Tests:
    """Return cheap tests, each true where torch's state on a device is anything but neutral.

    True also in a transformation of functions, with forward-mode derivatives, in modes that see each operation, and while
    torch.compile or torch.jit.trace traces: there, arrays must be looked at more closely.
    """
    import torch
    from torch.autograd import forward_ad

    tests = (
        "compiling()",
        "not no_autocast(autocast_key)",
        "forward_ad._current_level >= 0",
        "transformation() is not None",
        "tracing()",
        "modes()",
        "PRECISION.calls",
        f"precision({BACKENDS[device]!r}, 'matmul') not in EXACT",
    )
    names = {
        "compiling": torch.compiler.is_dynamo_compiling,
        "no_autocast": torch._C._dispatch_tls_is_dispatch_key_excluded,
        "autocast_key": getattr(torch._C.DispatchKey, f"Autocast{device.upper()}"),
        "forward_ad": forward_ad,
        "transformation": torch._C._functorch.peek_interpreter_stack,
        "tracing": torch._C._is_tracing,
        "modes": torch._C._len_torch_dispatch_stack,
        "PRECISION": PRECISION,
        "precision": torch._C._get_fp32_precision_getter,
        "EXACT": EXACT,
    }
    return Tests(tests, names)


@contextmanager
def neutral() -> Iterator[None]:
    """Make the state neutral, and put back what it was."""
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        torch: Any = sys.modules.get("torch")  # what was never imported has no state
        if torch is not None:
            if SMALLEST * HALF == 0:
                torch.set_flush_denormal(False)  # of this thread, and of those that it starts meanwhile
                stack.callback(torch.set_flush_denormal, True)
            for device in BACKENDS:
                if torch.is_autocast_enabled(device):
                    torch.set_autocast_enabled(device, False)
                    stack.callback(torch.set_autocast_enabled, device, True)
            if PRECISION.disturbed():
                stack.enter_context(PRECISION.held())
        yield


def in_neutral_state(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs in a neutral state and that torch.compile does not trace: there its graph breaks."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with neutral():
            return function(*args, **kwargs)

    untraced: list[Callable[..., Any]] = []  # torch.compile warns of a functools.cache that it traces

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        loaded = sys.modules.get("torch._dynamo")  # torch.compile loads it; to load it takes a second
        if loaded and not untraced:
            untraced.append(loaded.disable(run))
        return (untraced[0] if loaded else run)(*args, **kwargs)

    return call
