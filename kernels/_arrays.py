"""The front desk for arrays: whose arrays a call brings, how a kernel's own kind is made of them, and the way back.

Views are handed over wherever the layout and dtype allow: DLPack carries NumPy arrays into torch and foreign arrays
into NumPy, and array-api-compat names the caller's namespace.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

Array = Any  # a NumPy array, a torch tensor, or a foreign array: they share no base class
_DEVICES = {1: "cpu", 2: "cuda", 3: "cpu", 13: "cuda"}  # DLDeviceType: CPU, CUDA, CUDA's pinned host memory, managed memory


class Caller(NamedTuple):
    """Whose arrays a call brought: ``"numpy"``, ``"torch"`` or another package's, with the namespace, and where they are."""

    kind: str
    namespace: ModuleType
    device: str


def require_arrays(operation: str, arrays: dict[str, Array]) -> None:
    """Refuse what is not an array of numbers that a kernel can read, naming the operation and the argument.

    Raises
    ------
    TypeError
        For anything but an array, for masked arrays and matrices, and for arrays of two different kinds.
    ValueError
        For arrays on different devices, without memory, or with a gradient to record.
    """
    first_name, first = next(iter(arrays.items()))
    for name, array in arrays.items():
        where = f"{operation}: argument {name}:"
        if isinstance(array, np.ma.MaskedArray | np.matrix):
            raise TypeError(f"{where} expected a plain array, got {type(array).__name__}; its values alone: numpy.asarray(...)")
        if array_api_compat.is_torch_array(array):
            if array.requires_grad and sys.modules["torch"].is_grad_enabled():
                raise ValueError(f"{where} requires grad, and kernels record no gradient; pass {name}.detach()")
            if str(array.layout) != "torch.strided" or array.is_meta or array.is_nested or array.is_quantized:
                what = "nested" if array.is_nested else "quantized" if array.is_quantized else array.layout
                raise ValueError(f"{where} expected a dense tensor with its data in memory, got {what} on {array.device}")
        elif not isinstance(array, np.ndarray | np.generic) and not all(
            hasattr(array, a) for a in ("__dlpack__", "shape", "dtype", "ndim")
        ):
            raise TypeError(
                f"{where} expected a NumPy array, a torch tensor or another array that speaks DLPack, "
                f"got {type(array).__name__}; numpy.asarray(...) makes one of numbers and lists"
            )
        if array is not first:
            mine, theirs = _package(array), _package(first)
            if mine != theirs:
                raise TypeError(f"{where} expected an array of {theirs} like {first_name}, got one of {mine}; convert one")
            if place(array) != place(first):
                raise ValueError(
                    f"{where} expected device {place(first)} like {first_name}, got {place(array)}; move one of them"
                )


def _package(array: Array) -> str:
    return "numpy" if isinstance(array, np.ndarray | np.generic) else type(array).__module__.partition(".")[0]


def place(array: Array) -> str:
    """Name the device that an array is on, as its library does."""
    return "cpu" if isinstance(array, np.ndarray | np.generic) else str(getattr(array, "device", "cpu"))


def caller_of(array: Array) -> Caller:
    """Say whose array this is, by array-api-compat; DLPack tells where it is."""
    if isinstance(array, np.ndarray | np.generic):
        return Caller("numpy", np, "cpu")
    if array_api_compat.is_torch_array(array):
        return Caller("torch", array_api_compat.array_namespace(array), array.device.type)
    try:
        namespace: Any = array_api_compat.array_namespace(array)
    except TypeError:
        namespace = sys.modules[_package(array)]
    if not hasattr(namespace, "from_dlpack"):
        raise TypeError(
            f"{type(array).__name__} speaks DLPack, but {_package(array)} has no from_dlpack to hand the result back; "
            "pass numpy.from_dlpack(...)"
        )
    number = int(array.__dlpack_device__()[0])
    return Caller(_package(array), namespace, _DEVICES.get(number, f"DLPack device type {number}"))


def dtype_name(dtype: Any) -> str:
    """Name a dtype as registrations do: ``float32``, ``bfloat16``, ``longdouble`` (whatever its width here)."""
    if isinstance(dtype, np.dtype):
        return {"g": "longdouble", "G": "clongdouble"}.get(dtype.char, dtype.name)
    return str(dtype).rpartition(".")[2]


def described(array: Array, shape: tuple[int, ...] | None) -> str:
    """Describe an array of a kernel's own kind, for a message."""
    kind = f"tensor on {place(array)}" if array_api_compat.is_torch_array(array) else "NumPy array"
    return f"a {kind} of {dtype_name(array.dtype)}{'' if shape is None else f', shape {shape}'}"


def promoted(caller: Caller, arrays: Sequence[Array]) -> Any:
    """Return the dtype that the caller's own namespace promotes these arrays to."""
    first = arrays[0].dtype
    if all(a.dtype == first for a in arrays):
        return first
    return caller.namespace.result_type(*arrays)


def to_numpy(array: Array, dtype: Any = None) -> np.ndarray[Any, Any]:
    """Return any array's values as a NumPy array in native byte order, copying only if something must change.

    `dtype`, where given, is one of the array's own namespace.
    """
    if isinstance(array, np.ndarray | np.generic):
        plain: np.ndarray[Any, Any] = np.asarray(array)
        wanted = plain.dtype if dtype is None else dtype
        return plain.astype(wanted if wanted.isnative else wanted.newbyteorder("="), copy=False)
    if array_api_compat.is_torch_array(array):
        array = array.detach().cpu().resolve_conj().resolve_neg()
        return np.asarray((array if dtype is None else array.to(dtype)).numpy())
    if dtype is not None and array.dtype != dtype:
        array = array_api_compat.array_namespace(array).astype(array, dtype)
    return np.from_dlpack(array, device="cpu")


def to_torch(array: Array, device: str, dtype: Any = None) -> Array:
    """Return any array's values as a torch tensor on a device, copying only if something must change.

    `dtype`, where given, is one of the array's own namespace.
    """
    import torch

    if not isinstance(array, torch.Tensor):
        if caller_of(array).device == "cpu":
            array, dtype = to_numpy(array, dtype), None
        if min(getattr(array, "strides", None) or (0,)) < 0:
            array = array.copy()  # torch knows no negative strides, and its from_dlpack ends the process on one
        array = torch.from_dlpack(array)  # unlike from_numpy it takes a read-only array without a warning
    array = array.detach().resolve_conj().resolve_neg()
    return array.to(device=array.device if array.device.type == device else device, dtype=dtype)


def as_it_comes(array: Array, dtype: Any = None) -> Array:
    """Return an array of the CPU as its own library's: in native byte order, without a gradient or a pending conjugate."""
    if isinstance(array, np.ndarray | np.generic):
        return to_numpy(array, dtype)
    if array_api_compat.is_torch_array(array):
        return to_torch(array, "cpu", dtype)
    if caller_of(array).device != "cpu" or not array_api_compat.is_array_api_obj(array):
        return to_numpy(array, dtype)
    return array if dtype is None else array_api_compat.array_namespace(array).astype(array, dtype)


def contiguous(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a writable C-contiguous array of the same values: compiled kernels exist for that layout alone."""
    return array if array.flags.carray else np.array(array, order="C")


def hand_back(result: Array, caller: Caller, like: Array) -> Array:
    """Return a kernel's result as the caller's kind of array, on the device of `like`."""
    if caller.kind == "numpy":
        return to_numpy(result)[()]  # NumPy returns a scalar, not a 0-d array
    if caller.kind == "torch":
        return to_torch(result, "cpu" if isinstance(result, np.ndarray) else result.device.type).to(like.device)
    if isinstance(result, np.ndarray) and caller.device != "cpu":
        return caller.namespace.asarray(result, device=like.device)
    back = caller.namespace.from_dlpack(result)
    if not hasattr(like, "device") or back.device == like.device:
        return back
    return array_api_compat.to_device(back, like.device)  # a library may have several where DLPack knows one


def all_finite(array: Array) -> bool:
    """Whether no entry is NaN or infinite.

    A sum is finite only if all its terms are, and takes one pass without a mask; if it is not, it may have
    overflowed, and the entries are asked one by one. For NumPy the sum of squares comes from the BLAS, which
    has a third of the fixed cost of `sum` on a small array.
    """
    if type(array) is np.ndarray:
        return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())
    xp = array_api_compat.array_namespace(array)
    return math.isfinite(float(xp.sum(array))) or bool(xp.all(xp.isfinite(array)))
