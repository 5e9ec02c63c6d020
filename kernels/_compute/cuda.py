"""Numba's CUDA kernels on torch's tensors: the stream, the device and the launch, with nothing that waits for the device.

Where Numba's simulator stands in for a device (NUMBA_ENABLE_CUDASIM=1), the same launch runs on tensors in the host's memory.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import cuda
from numba.extending import intrinsic

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
DTYPES = {torch.float32: numba.float32, torch.float64: numba.float64}  # what a kernel's own arrays hold

_one_at_a_time = threading.Lock()  # the simulator keeps the running kernel in a global

try:
    from kernels._compute.sealed_kernels import KernelCache
except ImportError:  # this version of Numba has not the private parts that the cache is made of: compile without one
    KernelCache = None  # type: ignore[assignment, misc]


def jit(function: Callable[..., Any]) -> Any:
    """Decorate a kernel that Numba compiles for each mix of argument types, with a cache on disk that knows its helpers too.

    Numba's own (`cache=True`) serves old code after an edit of a helper in another file.
    """
    dispatcher = cuda.jit(function)
    if KernelCache is not None and not SIMULATED:
        dispatcher._cache = KernelCache(function)
    return dispatcher


def launch(kernel: Any, blocks: int, threads: int | tuple[int, int], *arguments: Any) -> None:
    """Launch a kernel on torch's current stream of the device that its first argument is on; with no blocks, not at all.

    Parameters
    ----------
    kernel : Numba CUDA kernel
        Compiled, at its first call, for the arguments' types.
    blocks : int
        The grid is one-dimensional: that dimension alone takes more than 65,535 blocks (2^31 - 1).
    threads : int or tuple of int
        The block's extents.
    *arguments
        Tensors, which the kernel reads as arrays without a copy, and NumPy scalars.
    """
    if not blocks:
        return
    if SIMULATED:
        with _one_at_a_time:
            kernel[blocks, threads](*(a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments))
        return
    device = arguments[0].device
    with torch.cuda.device(device):
        stream = cuda.external_stream(torch.cuda.current_stream(device).cuda_stream)
        views = [cuda.as_cuda_array(a, sync=False) if isinstance(a, torch.Tensor) else a for a in arguments]
        kernel[blocks, threads, stream](*views)


def ceildiv(extent: int, size: int) -> int:
    """Return how many pieces of a size cover an extent."""
    return -(-extent // size)


def scalar(value: float, like: torch.Tensor) -> Any:
    """Return a number in a tensor's dtype: a Python float would be float64 in the kernel."""
    return np.float32(value) if like.dtype is torch.float32 else np.float64(value)


if SIMULATED:

    def exp2(x: Any) -> Any:
        """Return 2^x."""
        return type(x)(math.exp2(x))

else:

    @intrinsic
    def exp2(_: Any, x: Any) -> Any:
        """Return 2^x; in float32 by one instruction, within 2^-22 and without denormals."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if x == numba.float64:
                return context.get_function(math.exp2, signature)(builder, arguments)
            of_one = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
            return builder.call(ir.InlineAsm(of_one, "ex2.approx.ftz.f32 $0, $1;", "=f,f"), arguments)

        return x(x), generate
