"""slerp in torch, on the CPU or on CUDA by the same code; half precision is computed with in single."""

import torch

from registry import register


def normalized(x):
    """Return rows over their lengths, and which of them have none; they are divided by their largest entry first."""
    largest = x.abs().amax(dim=-1, keepdim=True)
    scaled = x / torch.where(largest > 0, largest, 1)
    size = scaled.square().sum(dim=-1, keepdim=True).sqrt()
    return scaled / torch.where(size == 0, 1, size), size == 0


@register(
    "slerp",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    batches=True,
    rank=50,
)
@register(
    "slerp",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    batches=True,
    rank=50,
)
def slerp(a, b, t):
    if a.dtype in (torch.float16, torch.bfloat16):
        return slerp(a.float(), b.float(), t).to(a.dtype)
    if not a.shape[-1]:
        return a + b
    (of_a, no_a), (of_b, no_b) = normalized(a), normalized(b)
    apart, together = (rows.square().sum(dim=-1, keepdim=True).sqrt() for rows in (of_a - of_b, of_a + of_b))
    w = 2 * torch.atan2(apart, together)
    straight = no_a | no_b | (together == 0) | (w == 0)
    near, far = (torch.where(straight, share, torch.sin(share * w) / torch.sin(w)) for share in (1 - t, t))
    return near * a + far * b
