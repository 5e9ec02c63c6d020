"""The cache of `kernels/_compute/sealed_cache.py` for CUDA kernels."""

from __future__ import annotations

from typing import Any

from numba.core.target_extension import target_override
from numba_cuda import __version__

from kernels._compute.sealed_cache import VERSIONS, SealedCache


class KernelCache(SealedCache):
    """The files of one kernel: its code for a kind of device, and what Numba must know to launch it."""

    versions = (*VERSIONS, __version__)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return what was compiled earlier for a signature, or None."""
        with target_override("cuda"):
            return super().load_overload(signature, target)

    def is_portable(self, kernel: Any) -> bool:
        """Whether another process can use the code: it must not have been made for one shape of a launch."""
        return not getattr(kernel, "launch_config_sensitive", False)

    def reduce(self, kernel: Any) -> Any:
        """Return what is written of a kernel."""
        return type(kernel), kernel._reduce_states()

    def rebuild(self, target: Any, written: Any) -> Any:
        """Return a kernel from what was written."""
        kind, states = written
        return kind._rebuild(**states)
