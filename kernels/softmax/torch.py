"""softmax by torch; it computes with float16 and bfloat16 in float32, and rounds the result."""

import torch

from registry import register


@register(
    "softmax",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    batches=True,
    rank=60,
)
@register(
    "softmax",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    batches=True,
    rank=60,
)
def softmax(x):
    return torch.softmax(x, dim=-1).contiguous()
