"""matmul by torch: MKL or oneDNN on the CPU, cuBLAS on CUDA."""

import torch

from registry import register


@register(
    "matmul",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "complex64", "complex128"),
    batches=True,
    rank=60,
)
@register(
    "matmul",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float32", "float64", "complex64", "complex128"),
    batches=True,
    rank=60,
)
def matmul(a, b):
    return torch.matmul(a, b)
