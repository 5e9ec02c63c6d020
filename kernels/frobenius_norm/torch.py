"""frobenius_norm by torch: the norm of the entries over the largest; half precision in float32."""

import torch

from registry import register


@register(
    "frobenius_norm",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=60,
)
@register(
    "frobenius_norm",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=60,
)
def frobenius_norm(x):
    if not x.numel():
        return x.new_zeros(())
    entries = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    largest = torch.linalg.vector_norm(entries, torch.inf)
    scale = torch.where((largest == 0) | largest.isinf(), 1, largest)
    return (scale * torch.linalg.vector_norm(entries / scale)).to(x.dtype)
