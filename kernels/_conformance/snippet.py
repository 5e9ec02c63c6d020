"""A failing example as code that its author can paste: the imports, the arrays, and the call in the form the function got."""

from __future__ import annotations

import functools
import getpass
import inspect
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kernels._conformance.cases import Case
from kernels._conformance.draws import properties_of
from kernels._conformance.forms import Bare
from kernels._conformance.implementation import Implementation, Trial

LITERAL = 300  # characters of an array that a failure shows; a longer one goes to a file


def snippet(implementation: Implementation, trial: Trial) -> str:
    """Return the last call that was tried, and what came before it where that matters."""
    case: Any = trial.case
    lines = list(trial.circumstances)
    if trial.before is not None:
        lines += [*_arrays(implementation, trial, trial.before), _call(implementation, trial, trial.before)]
    arrays = list(_arrays(implementation, trial, case))
    if trial.in_place:
        arrays = [line.replace(" = ", "[...] = ", 1) for line in arrays]
    lines += [*arrays, _call(implementation, trial, case)]
    return "\n".join([*_imports(implementation, "\n".join(lines)), "", *lines])


def hints(implementation: Implementation, trial: Trial, error: Exception) -> list[str]:
    """Say what an operation knows of a wrong result, and which claims might be missing where a function takes no such call."""
    known = getattr(properties_of(implementation.contract), "hint", None)
    if known and trial.called and isinstance(error, AssertionError):
        case, _, result = trial.called
        return [hint] if (hint := known(case, result)) else []
    if implementation.form is None or not isinstance(error, TypeError | AttributeError):
        return []
    variant, limits = implementation.form.variant, implementation.form.variant.limits
    arrays = {
        "numpy": "NumPy arrays; arrays='torch' gives it tensors",
        "torch": "tensors; arrays='numpy' gives it NumPy arrays",
        "dask": "dask arrays",
    }
    if implementation.bare:
        every = f"it is called with every kind of array: {arrays['numpy']}, and the reverse"
        return [every] if len(implementation.kinds) > 1 else []
    lines = [
        f"it has no parameter {name!r}: one that needs none claims limits={{{name!r}: ({default!r},)}}"
        for name, default in implementation.form.lacking.items()
        if name not in limits
    ]
    layouts = trial.case.layouts.values() if trial.case else ()
    if isinstance(error, TypeError) and variant.layout == "any" and set(layouts) - {"contiguous"}:
        lines.append("it is called with every layout: layout='C' gives it writable C-contiguous arrays")
    return [*lines, f"it is called with {arrays[variant.arrays]}"]


def _name(implementation: Implementation) -> str:
    name = getattr(implementation.form.function, "__name__", "") if implementation.form else implementation.operation
    return name if name.isidentifier() else "function"


def _imports(implementation: Implementation, code: str) -> Iterator[str]:
    names = {
        "import numpy as np": "np.",
        "import torch": "torch.",
        "import array_api_strict": "array_api_strict.",
        "from registry import contract": "contract(",
        "from kernels._definition.results import over_batches": "over_batches(",
        "from kernels._conformance.cases import LAYOUTS": "LAYOUTS[",
    }
    yield from (line for line, used in names.items() if used in code)
    name = _name(implementation)
    if implementation.form is None:
        selector = getattr(implementation.function, "__qualname__", "").partition(":")[2]
        if selector:
            yield f"from registry import get\n\n{name} = get({implementation.operation!r}, {selector!r})"
        return
    function = inspect.unwrap(implementation.form.function)  # the command wraps it in a limit of time
    module = getattr(function, "__module__", None) or "numpy"  # which NumPy's functions in C do not say
    if module != "__main__" and inspect.unwrap(getattr(sys.modules.get(module), name, _name)) is function:
        yield f"from {module} import {name}"
    else:
        yield f"# {name} is the function under test"


def _arrays(implementation: Implementation, trial: Trial, case: Case) -> Iterator[str]:
    """Yield the statements that make a case's arrays, each object once."""
    seen: dict[int, str] = {}
    for name, array in case.arrays.items():
        if id(array) in seen:
            continue
        others = [other for other, one in case.arrays.items() if id(one) in seen and np.shares_memory(array, one)]
        seen[id(array)] = name
        shared = f"  # it shares memory with {', '.join(others)}" if others else ""
        yield f"{name} = {_array(implementation, trial, case, name)}{shared}"


def _array(implementation: Implementation, trial: Trial, case: Case, name: str) -> str:
    """Return one array as an expression, in the layout and of the kind that the function gets."""
    array, variant = case.arrays[name], implementation.form.variant if implementation.form else None
    text = _expression(array, "float32" if case.dtype == "bfloat16" else case.dtype)
    kind = variant.arrays if variant and not implementation.bare else trial.kind
    unknown_layout = kind == "torch" and any(stride < 0 for stride in array.strides)
    if case.layouts.get(name, "contiguous") != "contiguous" and not (unknown_layout or (variant and variant.layout == "C")):
        text = f"LAYOUTS[{case.layouts[name]!r}]({text})"
    if kind == "torch" or case.dtype == "bfloat16" or implementation.device != "cpu":
        text = f"torch.from_dlpack({text})"
        text += ".to(torch.bfloat16)" if case.dtype == "bfloat16" else ""
        return text + (f".to({implementation.device!r})" if implementation.device != "cpu" else "")
    return f"array_api_strict.asarray({text})" if kind == "array_api_strict" else text


def _call(implementation: Implementation, trial: Trial, case: Case) -> str:
    """Return the call: of a registered variant as any caller's, of a function as dispatch makes it."""
    names = {id(array): name for name, array in reversed(case.arrays.items())}

    def written(value: Any) -> str:
        return names.get(id(value)) or repr(value)

    name, given = _name(implementation), {**case.arrays, **case.parameters}
    if implementation.form is None:
        return f"{name}({', '.join(f'{key}={written(value)}' for key, value in given.items())})"
    if isinstance(implementation.form, Bare):
        by_position, kwargs = implementation.form.arguments(given, trial.left_out)
        return f"{name}({', '.join([*map(written, by_position), *(f'{key}={written(value)}' for key, value in kwargs.items())])})"
    # What a kernel has written into its arguments need not be valid.
    unchecked = {"check_finite": False} if implementation.contract.signature.finite else {}
    args, kwargs = implementation.contract.validate(**given, **unchecked)
    named = {**dict(zip(implementation.contract.signature.public.parameters, args, strict=False)), **kwargs}
    kwargs = implementation.form.keywords_given(args, {**kwargs, **implementation.form.variant.options}, trial.left_out)
    keywords = [f"{key}={written(value)}" for key, value in kwargs.items()]
    if not (implementation.form.variant.batches or implementation.contract.signature.is_core(named)):
        function = f"lambda *arrays: {name}({', '.join(['*arrays', *keywords])})" if keywords else name
        call = ", ".join(f"{key!r}: {written(value)}" for key, value in named.items())
        return f"over_batches(contract({implementation.operation!r}).signature, {function}, {{{call}}})"
    return f"{name}({', '.join([*map(written, args), *keywords])})"


def _expression(array: np.ndarray[Any, Any], dtype: str) -> str:
    text = f"np.array({array.tolist()!r}, dtype={dtype!r}).reshape({array.shape})"
    text = text.replace("nan", "np.nan").replace("inf", "np.inf")
    if len(text) > LITERAL or (array.dtype.kind == "c" and not np.isfinite(array).all()):  # a complex NaN has no literal
        path = _folder() / f"{zlib.crc32(text.encode()):08x}.npy"
        np.save(path, np.array(array, order="C"))
        text = f"np.load({str(path)!r}{', allow_pickle=True' if dtype == 'object' else ''})"
    return text


@functools.cache
def _folder() -> Path:
    """Return the place for arrays that are too large to show: one for each user, where temporary files go."""
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir(), f"kernel-zoo-{getpass.getuser() if user is None else user}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        usable = folder.is_dir() and not folder.is_symlink() and user in (None, folder.stat().st_uid)
    except OSError:  # a file has its name
        usable = False
    return folder if usable else Path(tempfile.mkdtemp(prefix="kernel-zoo-"))
