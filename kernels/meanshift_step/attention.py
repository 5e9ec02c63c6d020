"""meanshift_step with gaussian weights as softmax attention, which torch computes without the n x m matrix.

For points x and data y in bandwidths, exp(-|x - y|^2 / 2) is exp(x.y - |y|^2 / 2) times a factor that is the same for all data,
and softmax divides that factor out. So the queries are x, and the keys and values are y. They are centred on the data first,
since the product x.y loses the digits that they have in common. The term -|y|^2 / 2 is one more coordinate of the keys, and 1
in the queries: with a bias instead, torch could not use its fused kernels. Weights multiply the values, and are one more
coordinate of these: so the result has their sum, by which the others are divided. For float64 on CUDA torch has no fused kernel,
and forms the n x m matrix.
"""

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from kernels._dispatch.neutral import every_attention
from kernels.meanshift_step._weights import with_weight
from registry import register

WIDTH = 8  # fused kernels take a number of coordinates that is a multiple of this


@register(
    "meanshift_step",
    "attention",
    arrays="torch",
    requires=("torch",),
    precision="expansion",
    limits={"kernel": ("gaussian",)},
    rank=45,
)
@register(
    "meanshift_step",
    "attention_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    precision="expansion",
    limits={"kernel": ("gaussian",)},
    rank=45,
)
@every_attention
def meanshift_step(x, bandwidth, data, weights, kernel):
    d = x.shape[1]
    data, v = with_weight(data, weights)
    if not (x.numel() and len(data)):
        return x.clone(memory_format=torch.contiguous_format)
    centre = data.mean(dim=0) if v is None else v @ data / v.sum()
    queries, keys = (x - centre) / bandwidth, (data - centre) / bandwidth
    spare = -(d + 1) % WIDTH
    q = pad(torch.cat([queries, torch.ones_like(queries[:, :1])], dim=1), (0, spare))
    k = pad(torch.cat([keys, keys.square().sum(dim=1, keepdim=True) / -2], dim=1), (0, spare))
    values = pad(keys, (0, 1 + spare)) if v is None else pad(v[:, None] * pad(keys, (0, 1), value=1.0), (0, spare))
    y = scaled_dot_product_attention(q[None, None], k[None, None], values[None, None], scale=1.0)[0, 0]
    return centre + (y[:, :d] if v is None else y[:, :d] / y[:, d : d + 1]) * bandwidth
