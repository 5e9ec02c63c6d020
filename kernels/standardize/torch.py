"""standardize by torch: means and deviations of differences from the middle of each column; half precision in float32."""

import torch

from registry import register


@register(
    "standardize",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=40,
)
@register(
    "standardize",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=40,
)
def standardize(x):
    if not x.numel():
        return torch.empty_like(x)
    entries = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    low, high = torch.aminmax(entries, dim=0)
    constant = low == high
    apart = entries - (low / 2 + high / 2)
    apart /= torch.where(constant, 1, apart.abs().amax(dim=0))  # so that no square leaves the range
    variance, mean = torch.var_mean(apart, dim=0, correction=0)
    apart -= mean
    apart /= variance.sqrt()
    return torch.where(constant, low - high, apart).to(x.dtype)  # a constant column is zeros; of equal infinities NaN
