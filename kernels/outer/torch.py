"""outer by broadcasting tensors, on the CPU or on CUDA."""

import torch

from registry import register

FUNCTIONS = {
    "multiply": torch.mul,
    "add": torch.add,
    "subtract": torch.sub,
    "less": torch.lt,
    "less_equal": torch.le,
    "equal": torch.eq,
}


@register(
    "outer",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=(
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ),
    rank=40,
)
@register(
    "outer",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=(
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ),
    rank=40,
)
def outer(a, b, function):
    return FUNCTIONS[function](a[:, None], b[None, :])
