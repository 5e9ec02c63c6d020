"""PTX of Numba's CUDA kernels for any device, none of which is here: compiled once, and kept on disk as Numba's own code is."""

import functools
from types import SimpleNamespace
from unittest import mock

import numba.cuda.dispatcher
from numba import cuda
from numba.cuda.cudadrv.nvvm import NVVM

from kernels._compute.sealed_cache import SealedCache
from kernels._compute.sealed_kernels import KernelCache


class Cache(SealedCache):
    """The files of one kernel's PTX."""

    versions = (*KernelCache.versions, NVVM().get_ir_version())

    def is_portable(self, _):
        return True

    def reduce(self, ptx):
        return ptx.text

    def rebuild(self, _, text):
        return text


@functools.cache
def ptx_of(kernel, signature, capability):
    """Return a kernel's PTX for types of arguments and a compute capability, such as (8, 0)."""
    device = SimpleNamespace(magic_tuple=lambda: ("PTX", capability))
    cache, target = Cache(kernel.py_func), SimpleNamespace(refresh=lambda: None, codegen=lambda: device)
    if text := cache.load_overload(signature, target):
        return text
    # Device functions ask the driver which device they are for, though their code is the same for all.
    one = SimpleNamespace(compute_capability=capability)
    with mock.patch.object(numba.cuda.dispatcher, "get_current_device", return_value=one):
        text, _ = cuda.compile_ptx(kernel.py_func, signature, cc=capability)
    cache.save_overload(signature, SimpleNamespace(text=text, codegen=device))
    return text
