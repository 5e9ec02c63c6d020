"""difference_map by torch. float16 and bfloat16 are computed with in float32."""

import torch

from kernels.difference_map._share import share
from registry import register

HALVES = (torch.float16, torch.bfloat16)


def sum_planes(apart):
    """Add one half of the planes to the other, again and again: in one order for all places, so that a constant stays one.

    Torch's own sum adds the last places of a row in another order than the others.
    """
    planes = apart.flatten(0, 1)
    while len(planes) > 1:
        half = len(planes) // 2
        added, rest = planes[:half].add_(planes[half : 2 * half]), planes[2 * half :]
        added[: len(rest)] += rest
        planes = added
    return planes[0]


@register(
    "difference_map",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    precision="wide",
    rank=20,
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
    total = sum_planes((a - b).abs_())
    if not total.numel():
        return total
    overflowed = total.amax().isinf()
    if not a.is_cpu or overflowed:  # on CUDA both sums are computed, so that the host need not wait for this
        total = torch.where(overflowed, sum_planes((a * share(a) - b * share(a)).abs_()), total)
    above = total - total.amin()
    span = above.amax()
    return above / torch.where(span == 0, torch.ones_like(span), span)
