"""Import the zoo's own files by their place, whatever else is called `kernels` here. Loads the standard library alone.

A script may lie beside a file kernels.py or a folder kernels/ of its author, and another distribution owns a regular
package of that name. Ours are found in our folder; theirs stay what they are to those who ask for them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "kernels"


class _Finder:
    """Finds the modules of `kernels` in the zoo's folders, before the folders of others are searched."""

    def __init__(self) -> None:
        self.folders = [Path(__file__).resolve().parent]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of one of our modules; None for any other."""
        first, *inner = name.split(".")
        if first == PACKAGE and inner:
            for folder in self.folders:
                place = folder.joinpath(*inner)
                if (place / "__init__.py").is_file():
                    return importlib.util.spec_from_file_location(name, place / "__init__.py")
                if Path(f"{place}.py").is_file():
                    return importlib.util.spec_from_file_location(name, f"{place}.py")
        return None


_finder = _Finder()
_lock = threading.RLock()  # of a file kernels.py that is about to run


class _ForeignFile(ModuleType):
    """A file kernels.py of somebody else, made a package so that our modules can be imported.

    Its author's names come first. If nobody had imported it, it runs when the first of them is asked for, not earlier:
    it may be a script.
    """

    def __getattr__(self, name: str) -> Any:
        inner = f"{PACKAGE}.{name}"
        machinery = name.startswith("_") and name != "__all__"
        if not (machinery and (name.startswith("__") or _finder.find_spec(inner))):
            _run(self)
        if name in self.__dict__:
            return self.__dict__[name]
        if inner in sys.modules:
            return sys.modules[inner]
        raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds each submodule to its package; here that could hide a name of the author's.
        if getattr(value, "__name__", None) != f"{PACKAGE}.{name}" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


_waiting: dict[str, ModuleSpec] = {}  # the file kernels.py of somebody else that has not run yet


def _run(module: ModuleType) -> None:
    with _lock:
        spec = _waiting.pop(PACKAGE, None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module(module)


def import_module(name: str, folder: Path) -> ModuleType:
    """Import a module; one of `kernels` comes from this folder if it is there, else from the zoo's own."""
    if name.partition(".")[0] != PACKAGE:
        return importlib.import_module(name)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if _finder.folders[0] != folder:
        _finder.folders = [folder, *(other for other in _finder.folders if other != folder)]
    _extend_path(folder)
    for inner in list(accumulate(name.split("."), "{}.{}".format))[1:]:
        _set_aside(inner)
    return importlib.import_module(name)


def _extend_path(folder: Path) -> None:
    """Make `kernels` a package whose path holds our folder, without running a file of somebody else."""
    package: Any = sys.modules.get(PACKAGE) or _found()
    if not hasattr(package, "__path__"):
        package.__class__ = _ForeignFile
        package.__path__ = []
    if str(folder) not in package.__path__:
        package.__path__.append(str(folder))


def _found() -> ModuleType:
    """Import the package `kernels`; a file kernels.py is entered as a module that waits to be run."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.submodule_search_locations is not None:
        return importlib.import_module(PACKAGE)
    with _lock:
        if PACKAGE not in sys.modules:
            module = ModuleType(PACKAGE) if spec is None else importlib.util.module_from_spec(spec)
            if spec is not None:
                _waiting[PACKAGE] = spec
            sys.modules[PACKAGE] = module
        return sys.modules[PACKAGE]


def _set_aside(name: str) -> None:
    """Where another file was imported under the name of one of ours, import ours; who holds the other keeps it."""
    there, ours = sys.modules.get(name), _finder.find_spec(name)
    if there is None or ours is None or _place(there.__spec__) == _place(ours):
        return
    parent, _, last = name.rpartition(".")
    bound = vars(sys.modules[parent]).get(last)
    del sys.modules[name]
    importlib.import_module(name)
    if bound is there:
        setattr(sys.modules[parent], last, there)


def _place(spec: ModuleSpec | None) -> str | None:
    return os.path.realpath(spec.origin) if spec is not None and spec.origin else None
