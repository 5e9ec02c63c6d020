"""difference_map by torch. float16 and bfloat16 are computed with in float32."""

import torch

from kernels.difference_map._share import share
from registry import register

HALVES = (torch.float16, torch.bfloat16)


def sums(a, b, factor):
    """Add plane by plane: torch's own sum adds in another order at the end of a row, where a constant is no constant then."""
    total = torch.zeros_like(a[0, 0])
    for here, there in zip(a.flatten(0, 1), b.flatten(0, 1), strict=True):
        total += (here * factor - there * factor).abs_() if factor != 1 else (here - there).abs_()
    return total


@register(
    "difference_map",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=40,
)
@register(
    "difference_map",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=40,
)
def difference_map(a, b):
    if a.dtype in HALVES:
        return difference_map(a.float(), b.float()).to(a.dtype)
    total = sums(a, b, 1)
    if not total.numel():
        return total
    overflowed = total.amax().isinf()
    if a.is_cuda or overflowed:  # on CUDA both sums are computed, so that the host need not wait for this
        total = torch.where(overflowed, sums(a, b, share(a)), total)
    above = total - total.amin()
    span = above.amax()
    return above / torch.where(span == 0, torch.ones_like(span), span)
