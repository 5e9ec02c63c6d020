"""PTX of Numba's CUDA kernels for any device, none of which is here: compiled once, and kept on disk as Numba's own code is.

Nearly all of the time goes into what Numba gives to NVVM, which is the same for every device and kept too.
"""

import functools
from types import SimpleNamespace
from unittest import mock

import numba.cuda.dispatcher
from numba import cuda
from numba.cuda.cudadrv import nvrtc, nvvm

from kernels._compute.sealed_cache import SealedCache
from kernels._compute.sealed_kernels import KernelCache

ANY = (8, 0)  # a compute capability


class Cache(SealedCache):
    """The files of one kernel's code at one stage."""

    versions = (*KernelCache.versions, nvvm.NVVM().get_ir_version())

    def is_portable(self, _):
        return True

    def reduce(self, made):
        return made.code

    def rebuild(self, _, code):
        return code


def _kept(kernel, signature, stage, make):
    """Return a kernel's code at a stage of its compilation: from disk, or else as a function makes it."""
    named = SimpleNamespace(magic_tuple=lambda: stage)
    cache, target = Cache(kernel.py_func), SimpleNamespace(refresh=lambda: None, codegen=lambda: named)
    if code := cache.load_overload(signature, target):
        return code
    code = make()
    cache.save_overload(signature, SimpleNamespace(code=code, codegen=named))
    return code


def _for_nvvm(kernel, signature):
    """Return what Numba gives to NVVM: pieces of LLVM's code, and options."""
    given = []

    def keep(pieces, **options):
        given.append((pieces, options))
        return b""

    # Device functions ask the driver which device they are for, though their code is the same for all.
    one = SimpleNamespace(compute_capability=ANY)
    with (
        mock.patch.object(numba.cuda.dispatcher, "get_current_device", return_value=one),
        mock.patch.object(nvvm, "compile_ir", keep),
    ):
        cuda.compile_ptx(kernel.py_func, signature, cc=ANY)
    (code,) = given
    return code


@functools.cache
def ptx_of(kernel, signature, capability):
    """Return a kernel's PTX for types of arguments and a compute capability, such as (8, 0)."""

    def make():
        pieces, options = _kept(kernel, signature, ("NVVM",), lambda: _for_nvvm(kernel, signature))
        ptx = nvvm.compile_ir(pieces, **options | {"arch": nvrtc.get_arch_option(*capability)})
        return ptx.decode().strip("\0").strip()

    return _kept(kernel, signature, ("PTX", capability), make)
