"""A cache of compiled code on disk that knows all that the code depends on, for Numba's functions and CUDA kernels.

Numba's own cache (`cache=True`) knows the text of a function's file, and the processor. It serves old code after an edit of a
helper in another file, finds nothing again where a function closes over a compiled one, mixes the files of processes that
save at once, and raises where a file is truncated or no folder can be written. Here a piece of code has a file of its own,
named after what was compiled and what for. The file starts with a hash of the sources and of the code that follows: what is
stale or damaged is compiled anew, and overwritten. A cache that cannot be written or read costs time alone.

All that this file takes of Numba is private: where a version lacks it, `kernels/_compute/jit.py` compiles without a cache.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import pickle
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

VERSIONS = (sys.version, np.__version__, numba.__version__, llvmlite.__version__)
SETTINGS = (  # of Numba, that change what it compiles
    "BOUNDSCHECK",
    "CUDA_DEBUGINFO_DEFAULT",
    "DEBUG_NRT",
    "DEBUGINFO_DEFAULT",
    "ENABLE_AVX",
    "EXTEND_VARIABLE_LIFETIMES",
    "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS",
    "LOOP_VECTORIZE",
    "OPT",
    "SLP_VECTORIZE",
    "USING_SVML",
)


class SealedCache(NullCache):  # type: ignore[misc]
    """The files of one function.

    It is what Numba asks before it compiles, and tells afterwards. Whatever goes wrong in it costs time alone: a damaged file, a
    full disk, and a version of Numba that calls its parts otherwise.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self.sources = _sources(function)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return what was compiled earlier for a signature, or None."""
        try:
            target.refresh()
            name = self._name(signature, target.codegen())
        except Exception:
            return None
        for folder in _folders(self.function):
            try:
                content = (folder / name).read_bytes()
                if content[:32] == self._seal(content[32:]):
                    return self.rebuild(target, pickle.loads(content[32:]))
            except Exception:  # whatever is wrong with a file, compiling mends it
                continue
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Write what was compiled for a signature."""
        try:
            if not self.is_portable(compiled):
                return
            name, code = self._name(signature, compiled.codegen), dumps(self.reduce(compiled))
        except Exception:
            return
        for folder in _folders(self.function):
            temporary = folder / f"{name}.{uuid.uuid4().hex}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(self._seal(code) + code)
                temporary.replace(folder / name)
                return
            except OSError:  # read-only, full, gone, or another user's
                continue
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()

    # What differs between functions of the host and kernels of a device

    versions: tuple[Any, ...] = VERSIONS

    def is_portable(self, compiled: Any) -> bool:
        """Whether another process can use the code."""
        return not compiled.library.has_dynamic_globals and all(loop.can_cache for loop in compiled.lifted)

    def reduce(self, compiled: Any) -> Any:
        """Return what is written of compiled code."""
        return compiled._reduce()

    def rebuild(self, target: Any, written: Any) -> Any:
        """Return compiled code from what was written."""
        return CompileResult._rebuild(target, *written)

    def _seal(self, code: bytes) -> bytes:
        return hashlib.sha256(self.sources + code).digest()

    def _name(self, signature: Any, codegen: Any) -> str:
        settings = [(name, str(getattr(config, name, None))) for name in SETTINGS]
        what = (_facts(self.function, set()), str(signature), codegen.magic_tuple(), settings, self.versions)
        return f"{self.function.__name__}-{hashlib.sha256(repr(what).encode()).hexdigest()[:32]}.nbc"


def closure_suffix(function: Any) -> str:
    """Return what to add to the name of a function that closes over others.

    Numba names machine code after the function: two that close over different things must not go by one name.
    """
    if not function.__closure__:
        return ""
    cells = repr([_facts(cell.cell_contents, set()) for cell in function.__closure__])
    return "_" + hashlib.sha256(cells.encode()).hexdigest()[:16]


def _folders(function: Any) -> list[Path]:
    """Where Numba keeps its own: in the folder that it was told, or else beside the source, or else in the user's cache."""
    if config.CACHE_DIR:
        return [Path(config.CACHE_DIR, "kernel-zoo")]
    return [
        Path(function.__code__.co_filename).parent / "__pycache__",
        Path(AppDirs("numba", False).user_cache_dir, "kernel-zoo"),
    ]


@functools.cache
def _text(file: str) -> bytes:
    """Return a hash of a file as it was when a module was imported from it, not as it may be when a function is compiled."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).digest()
    except OSError:  # within an archive, say: what cannot be compared is always new
        return uuid.uuid4().bytes


def _sources(function: Any) -> bytes:
    """Hash the files of a function's module and of all in the same package whose functions and classes that one imports."""
    package = function.__module__.partition(".")[0]
    texts: dict[str, bytes] = {}
    waiting = [function.__module__]
    while waiting:
        name = str(waiting.pop())
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in texts or name.partition(".")[0] != package or not file:
            continue
        texts[name] = _text(file)
        for value in list(vars(sys.modules[name]).values()):
            waiting.append(value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None))
    return hashlib.sha256(repr((sorted(texts.items()), function.__code__.co_firstlineno)).encode()).digest()


def _facts(value: Any, met: set[Any]) -> Any:
    """Say what code compiled from a value may hold of it: constants, and which functions; the same in every process."""
    value = getattr(value, "py_func", getattr(value, "_defn", value))  # of a compiled function, or of an intrinsic
    if isinstance(value, FunctionType):
        where = value.__code__.co_filename, value.__qualname__
        if value in met:
            return where
        met.add(value)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        names = [name for name in sorted(set(_names(value.__code__))) if name in value.__globals__]
        return where, [_facts(cell, met) for cell in cells], [(name, _facts(value.__globals__[name], met)) for name in names]
    if isinstance(value, tuple | list):
        return [_facts(each, met) for each in value]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, numba.types.Type):
        return type(value).__qualname__, str(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return type(value).__name__, repr(value)
    return type(value).__qualname__, str(getattr(value, "__name__", ""))  # of modules and types the name alone: they have sources


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
