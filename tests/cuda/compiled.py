"""Launches of kernels as they are compiled for a device, on the machine for PTX instead of one.

Import this before a kernel: Numba's take `launch` as they are imported. The rest of a launch is as it is on a device, from
the types that a kernel is compiled for to Triton's tuner, in which another tile wins each time.
"""

import functools
import itertools
import types
import zlib
from pathlib import Path

import numba
import numpy as np
import ptx
import torch
import triton
from hypothesis import reject
from numba_ptx import ptx_of
from ptx_memory import WARP
from triton.backends.compiler import GPUTarget

from kernels._compute import cuda as _cuda

CAPABILITY = (8, 0)  # the newest whose matrix products are instructions of one warp
PROPERTIES = {"max_shared_mem": 163 * 1024, "multiprocessor_count": 108}  # of an A100
MOST_THREADS = 1024  # of a block
FIRST = 4  # kernels that a process compiles whatever the share

share = 1  # of Numba's kernels, which take a second each, one in so many is compiled; a drawn call that needs another is rejected
loaded = []  # every kernel that has been compiled
only = None  # a function that names those blocks of a grid's that run, where not all of them do


def load(code, shared=0):
    loaded.append(ptx.Kernel(code, shared))
    return loaded[-1]


def run(kernel, blocks, threads, arguments):
    kernel.run(blocks, threads, *arguments, only=only and only(blocks))


def as_array(argument):
    if not isinstance(argument, torch.Tensor):
        return argument
    return (argument.view(torch.int16) if argument.dtype is torch.bfloat16 else argument).numpy()


def specialisation(kernel):
    """Return the constants that a kernel is made for: extents, types and the like."""
    contents = [cell.cell_contents for cell in kernel.py_func.__closure__ or ()]
    return [content for content in contents if isinstance(content, int | float | np.generic | numba.types.Type)]


@functools.cache
def compiled(kernel, signature):
    if len(loaded) >= FIRST and share > 1 and zlib.crc32(repr((signature, specialisation(kernel))).encode()) % share:
        reject()
    return load(ptx_of(kernel, signature, CAPABILITY))


def launch(kernel, blocks, threads, *arguments):
    """Stand in for `kernels._compute.cuda.launch`; Numba passes an array by its place, its extents and its strides."""
    if not blocks:
        return
    arrays = [as_array(argument) for argument in arguments]
    code = compiled(kernel, tuple(map(numba.typeof, arrays)))
    passed = [(0, 0, a.size, a.itemsize, a, *a.shape, *a.strides) if isinstance(a, np.ndarray) else (a,) for a in arrays]
    run(code, blocks, threads, itertools.chain.from_iterable(passed))


class Driver:
    """What Triton asks of a device's driver."""

    def __init__(self):
        self.utils = types.SimpleNamespace(load_binary=self._load, get_device_properties=lambda _: PROPERTIES)
        self.times = itertools.cycle([2.0, 1.0, 4.0, 3.0, 5.0])
        triton.knobs.runtime.kernel_load_start_hook.add(self._before_load)

    def get_current_target(self):
        return GPUTarget("cuda", 10 * CAPABILITY[0] + CAPABILITY[1], WARP)

    def get_current_device(self):
        return 0

    def get_current_stream(self, _):
        return 0

    def get_benchmarker(self):
        return lambda *_, **__: [next(self.times)] * 3

    def _before_load(self, _module, _function, _name, files, _hash):
        self.path = next(path for name, path in files.items() if name.endswith(".ptx"))

    def _load(self, _name, _binary, shared, _device):
        return object(), load(Path(self.path).read_text(encoding="utf-8"), shared), 0, 0, MOST_THREADS

    def launcher_cls(self, source, metadata):
        passed = [kind != "constexpr" for kind in source.signature.values()]

        def launch(blocks, _y, _z, _stream, code, _packed, _metadata, _enter, _leave, *arguments):
            arrays = map(as_array, itertools.compress(arguments, passed))
            run(code, blocks, WARP * metadata.num_warps, [*arrays, 0, 0])  # and no scratch memory

        return launch


_cuda.launch = launch
triton.runtime.driver.set_active(Driver())
