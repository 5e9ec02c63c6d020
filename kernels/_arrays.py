"""Arrays of any library: whose arrays a call brings, how a kernel's own kind is made of them, and the way back.

Views are handed over wherever the layout and dtype allow: DLPack carries NumPy arrays into torch and foreign arrays
into NumPy, and array-api-compat names the caller's namespace.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

Array = Any  # a NumPy array, a torch tensor, or a foreign array: they share no base class
BLAS_ALONE = 10_000  # entries of float64 whose product OpenBLAS computes on the calling thread
_DEVICES = {1: "cpu", 2: "cuda", 3: "cpu", 13: "cuda"}  # DLDeviceType: CPU, CUDA, CUDA's pinned host memory, managed memory


class Caller(NamedTuple):
    """Whose arrays a call brought: ``"numpy"``, ``"torch"``, ``"dask"`` or another's, with the namespace, and where they are."""

    kind: str
    namespace: ModuleType
    device: str


def library(array: Array) -> str:
    """Name the library that an array is of."""
    if isinstance(array, np.ndarray | np.generic):
        return "numpy"
    if array_api_compat.is_torch_array(array):
        return "torch"
    package = type(array).__module__.partition(".")[0]
    return {"jaxlib": "jax"}.get(package, package)


def place(array: Array) -> str:
    """Name the device that an array is on, as its library does."""
    return "cpu" if isinstance(array, np.ndarray | np.generic) else str(getattr(array, "device", "cpu"))


def caller_of(array: Array) -> Caller:
    """Say whose array this is, by array-api-compat; DLPack tells where it is."""
    if isinstance(array, np.ndarray | np.generic):
        return Caller("numpy", np, "cpu")
    if array_api_compat.is_torch_array(array):
        return Caller("torch", array_api_compat.array_namespace(array), array.device.type)
    if array_api_compat.is_dask_array(array):  # where its blocks will be, only the workers know
        return Caller("dask", array_api_compat.array_namespace(array), "cpu")
    try:
        namespace: Any = array_api_compat.array_namespace(array)
    except TypeError:
        namespace = sys.modules[library(array)]
    if not hasattr(namespace, "from_dlpack"):
        raise TypeError(
            f"{type(array).__name__} speaks DLPack, but {library(array)} has no from_dlpack to hand the result back; "
            "pass numpy.from_dlpack(...)"
        )
    number = int(array.__dlpack_device__()[0])
    return Caller(library(array), namespace, _DEVICES.get(number, f"DLPack device type {number}"))


def dtype_name(dtype: Any) -> str:
    """Name a dtype as registrations do: ``float32``, ``bfloat16``, ``longdouble`` (whatever its width here)."""
    if isinstance(dtype, np.dtype):
        return _numpy_name(dtype)
    return str(dtype).rpartition(".")[2]


@functools.lru_cache(256)  # NumPy makes a name anew each time
def _numpy_name(dtype: np.dtype[Any]) -> str:
    return {"g": "longdouble", "G": "clongdouble"}.get(dtype.char, dtype.name)


def described(array: Array, dtype: str, shape: tuple[int, ...]) -> str:
    """Describe an array of a kernel's own kind, with a dtype and a shape, for a message."""
    kind = "dask array" if array_api_compat.is_dask_array(array) else "NumPy array"
    kind = f"tensor on {place(array)}" if array_api_compat.is_torch_array(array) else kind
    return f"a {kind} of {dtype}, shape {shape}"


def promoted(caller: Caller, arrays: Sequence[Array]) -> Any:
    """Return the dtype that the caller's own namespace promotes these arrays to."""
    first = arrays[0].dtype
    if all(a.dtype == first for a in arrays):
        return first
    return caller.namespace.result_type(*arrays)


def to_numpy(array: Array, dtype: Any = None) -> np.ndarray[Any, Any]:
    """Return any array's values as a NumPy array in native byte order, copying only if something must change.

    `dtype`, where given, is one of the array's own namespace. NumPy has bfloat16 from the package ml_dtypes.
    """
    if isinstance(array, np.ndarray | np.generic):
        plain: np.ndarray[Any, Any] = np.asarray(array)
        wanted = plain.dtype if dtype is None else dtype
        return plain.astype(wanted if wanted.isnative else wanted.newbyteorder("="), copy=False)
    if array_api_compat.is_torch_array(array):
        array = _plain_tensor(array).cpu()
        array = array if dtype is None else array.to(dtype)
        if dtype_name(array.dtype) != "bfloat16":
            return np.asarray(array.numpy())
        import ml_dtypes

        return np.asarray(array.view(sys.modules["torch"].int16).numpy()).view(ml_dtypes.bfloat16)
    if dtype is not None and array.dtype != dtype:
        array = array_api_compat.array_namespace(array).astype(array, dtype)
    if dtype_name(array.dtype) == "bfloat16":
        return np.asarray(array)  # NumPy's DLPack knows no such dtype
    return np.from_dlpack(array, device="cpu")


def to_torch(array: Array, device: str, dtype: Any = None) -> Array:
    """Return any array's values as a torch tensor on a device, copying only if something must change.

    `dtype`, where given, is one of the array's own namespace.
    """
    import torch

    if isinstance(array, torch.Tensor):
        tensor = _plain_tensor(array)
    else:
        if caller_of(array).device == "cpu":
            array, dtype = to_numpy(array, dtype), None
            # Without what DLPack cannot say of a NumPy array: torch's from_dlpack even ends the process on a negative stride.
            if not array.flags.aligned or any(stride < 0 or stride % array.itemsize for stride in array.strides):
                array = array.copy()
        elif min(getattr(array, "strides", None) or (0,)) < 0:
            array = array.copy()
        bfloat16 = isinstance(array, np.ndarray) and dtype_name(array.dtype) == "bfloat16"
        # Unlike from_numpy it takes a read-only array without a warning.
        tensor = torch.from_dlpack(array.view(np.int16)).view(torch.bfloat16) if bfloat16 else torch.from_dlpack(array)
    return tensor.to(device=tensor.device if tensor.device.type == device else device, dtype=dtype)


def to_dask(array: Array, dtype: Any = None) -> Array:
    """Return a dask array of any array's values; what is none yet becomes chunks of the size that dask's configuration says.

    `dtype`, where given, is one of the array's own namespace.
    """
    import dask.array as da

    if not isinstance(array, da.Array):
        return da.from_array(to_numpy(array, dtype))
    return array if dtype is None else array.astype(dtype)


def _plain_tensor(tensor: Array) -> Array:
    """Return a tensor of the base class, without a gradient, whose memory holds its values and not their conjugates."""
    torch: Any = sys.modules["torch"]
    tensor = tensor.detach().resolve_conj().resolve_neg()
    return tensor if type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor)


def as_it_comes(array: Array, dtype: Any = None) -> Array:
    """Return an array on the CPU as one of its own library: in native byte order, without a gradient or a pending conjugate."""
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


def convert_back(result: Array, caller: Caller, like: Array) -> Array:
    """Return a kernel's result as the caller's kind of array, on the device of `like`."""
    if caller.kind == "dask":
        return result
    if array_api_compat.is_dask_array(result):
        result = to_numpy(result.compute())
    if caller.kind == "numpy":
        return to_numpy(result)[()]  # NumPy returns a scalar, not a 0-d array
    if caller.kind == "torch":
        return to_torch(result, "cpu" if isinstance(result, np.ndarray) else result.device.type).to(like.device)
    if isinstance(result, np.ndarray) and (caller.device != "cpu" or dtype_name(result.dtype) == "bfloat16"):
        return caller.namespace.asarray(result, device=like.device)
    back = caller.namespace.from_dlpack(result)
    if not hasattr(like, "device") or back.device == like.device:
        return back
    return array_api_compat.to_device(back, like.device)  # a library may have several where DLPack knows one


def all_finite(array: Array) -> bool:
    """Whether no entry is NaN or infinite.

    A sum is finite only if all its terms are, and takes one pass without a mask; if it is not, it may have
    overflowed, and the entries are asked one by one. For NumPy the sum of squares comes from the BLAS, which
    has a third of the fixed cost of `sum` on a small array. OpenBLAS wakes threads for more entries in float64; they go on
    spinning beside the kernel, which may double its time. A dask array is not asked: its blocks are, once they are computed.
    """
    if type(array) is np.ndarray:
        alone = array.itemsize <= 4 or array.size <= BLAS_ALONE
        return (alone and math.isfinite(np.vdot(array, array))) or bool(np.isfinite(array).all())
    if array_api_compat.is_dask_array(array):
        return True
    xp = array_api_compat.array_namespace(array)
    return math.isfinite(float(xp.sum(array))) or bool(xp.all(xp.isfinite(array)))
