"""Which arrays a kernel can read; for anything else, one line that says what to pass instead.

An array whose library gives it a meaning beyond its numbers is refused, since a kernel would lose that without a word: units,
a mask, names, a derivative. A subclass that changes nothing about operations is read as the plain array that it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import array_api_compat
import numpy as np

from kernels._arrays import Array, library, place

# How objects that are no arrays give their values: frames and xarray, sparse arrays, pint, dask, TensorFlow.
CONVERSIONS = ("to_numpy", "toarray", "todense", "magnitude", "to_dataarray", "compute", "numpy")


def require_arrays(operation: str, arrays: Mapping[str, Array]) -> None:
    """Refuse what is not an array of numbers that a kernel can read, naming the operation and the argument.

    Raises
    ------
    TypeError
        For anything but an array, for an array with a meaning beyond its numbers, and for arrays of two different kinds.
    ValueError
        For arrays on different devices, without memory, or with a derivative to record.
    """
    first_name, first = next(iter(arrays.items()))
    for name, array in arrays.items():
        if isinstance(array, np.ndarray | np.generic):
            error = numpy_error(array)
        elif array_api_compat.is_torch_array(array):
            error = _torch_error(name, array)
        elif array_api_compat.is_dask_array(array):
            error = _dask_error(name, array)
        else:
            error = _foreign_error(name, array)
        if error is None and array is not first:
            error = _error_beside(array, first_name, first)
        if error is not None:
            raise type(error)(f"{operation}: argument {name}: {error}")


def numpy_error(array: Array) -> Exception | None:
    """Return the error of a NumPy array that means more than its numbers, or None."""
    hooks = ("__array_ufunc__", "__array_function__")
    overrides = isinstance(array, np.ndarray) and any(
        getattr(type(array), hook) is not getattr(np.ndarray, hook) for hook in hooks
    )
    if overrides or isinstance(array, np.ma.MaskedArray | np.matrix):
        return TypeError(f"expected a plain array, got {type(array).__name__}; its values alone: numpy.asarray(...)")
    return None


def _torch_error(name: str, tensor: Array) -> Exception | None:
    torch = sys.modules["torch"]
    if _overrides(type(tensor), torch):
        return TypeError(
            f"expected a plain tensor, got {type(tensor).__name__}, which gives operations a meaning of its own; "
            "pass a plain tensor of its values"
        )
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor) or torch._is_functional_tensor(tensor):
        return ValueError(
            "expected a plain tensor, got one inside a transformation of torch.func (vmap, grad, jvp), which cannot look into "
            "kernels; call the operation outside it"
        )
    if torch._C._is_tracing() or torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY):
        return ValueError(
            "expected a tensor outside of torch.jit.trace and make_fx, which would keep a kernel's result as a constant; "
            "call the operation outside"
        )
    if tensor.requires_grad and torch.is_grad_enabled():
        return ValueError(f"requires grad, and kernels record no gradient; pass {name}.detach()")
    if str(tensor.layout) != "torch.strided" or tensor.is_meta or tensor.is_nested or tensor.is_quantized:
        what = "nested" if tensor.is_nested else "quantized" if tensor.is_quantized else tensor.layout
        return ValueError(f"expected a dense tensor with its data in memory, got {what} on {tensor.device}")
    if torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None:
        return ValueError(
            f"carries a forward-mode tangent, and kernels compute none; pass torch.autograd.forward_ad.unpack_dual({name}).primal"
        )
    return None


def _overrides(kind: type, torch: Any) -> bool:
    """Whether a tensor's class gives operations a meaning of its own; a Parameter, or a subclass that adds methods, does not."""
    function = getattr(kind.__torch_function__, "__func__", kind.__torch_function__)  # type: ignore[attr-defined]
    harmless = (torch.Tensor.__torch_function__.__func__, torch._C._disabled_torch_function_impl)
    return function not in harmless or kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__  # type: ignore[attr-defined]


def _dask_error(name: str, array: Array) -> Exception | None:
    if isinstance(array._meta, np.ndarray) and (error := numpy_error(array._meta)):
        return error
    if any(map(math.isnan, array.shape)):
        return ValueError(f"expected known sizes of chunks, got shape {array.shape}; call {name}.compute_chunk_sizes() before")
    return None


def _foreign_error(name: str, array: Any) -> Exception | None:
    kind = type(array)
    # On the type: a wrapper that forwards what it lacks to an array within has another meaning.
    if all(hasattr(kind, method) for method in ("__dlpack__", "__dlpack_device__")) and all(
        hasattr(array, attribute) for attribute in ("shape", "dtype", "ndim")
    ):
        return None
    if kind.__name__.endswith("Tracer"):
        remedy = "it has no values while a function is traced: call the operation outside"
    else:
        conversion = next((each for each in CONVERSIONS if hasattr(kind, each)), "")
        remedy = (
            f"pass {name}.{conversion}{'()' if callable(getattr(kind, conversion)) else ''}"
            if conversion
            else "numpy.asarray(...) makes one of numbers and lists"
        )
    return TypeError(f"expected a NumPy array, a torch tensor or another array that speaks DLPack, got {kind.__name__}; {remedy}")


def _error_beside(array: Array, first_name: str, first: Array) -> Exception | None:
    mine, theirs = library(array), library(first)
    if mine != theirs:
        return TypeError(f"expected an array of {theirs} like {first_name}, got one of {mine}; convert one")
    if place(array) != place(first):
        return ValueError(f"expected device {place(first)} like {first_name}, got {place(array)}; move one of them")
    return None
