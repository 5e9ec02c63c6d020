"""guidance in torch, on the CPU or on CUDA by the same code; half precision is computed with in single."""

import torch

from registry import register


def length(x):
    """Return rows' largest magnitudes and their lengths as multiples of those: no square overflows or vanishes."""
    largest = x.abs().amax(dim=-1, keepdim=True)
    largest = torch.where(largest > 0, largest, 1)
    return largest, (x / largest).square().sum(dim=-1, keepdim=True).sqrt()


@register(
    "guidance",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    batches=True,
    rank=50,
)
@register(
    "guidance",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    batches=True,
    rank=50,
)
def guidance(unconditional, conditional, scale, rescale):
    if conditional.dtype in (torch.float16, torch.bfloat16):
        return guidance(unconditional.float(), conditional.float(), scale, rescale).to(conditional.dtype)
    guided = unconditional + scale * (conditional - unconditional)
    if rescale == 0 or not guided.shape[-1]:
        return guided
    (unit_c, of_c), (unit_g, of_g) = length(conditional), length(guided)
    return rescale * (unit_c * of_c) * (guided / unit_g / torch.where(of_g == 0, 1, of_g)) + (1 - rescale) * guided
