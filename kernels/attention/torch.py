"""attention by torch's scaled_dot_product_attention: on the CPU and on CUDA it has fused kernels, for four-dimensional tensors.

Torch's own causal mask lets row i see keys j <= i, whatever n and m. It serves where n is m, and where n is above m for the
last m rows; where n is below m, the mask is passed. Torch's fused kernels want as many entries in a value as in a key, so the
narrower are padded with zeros, which change no score.
"""

import math

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from kernels._dispatch.neutral import every_attention
from registry import register

WIDTH = 8  # fused kernels take a number of entries that is a multiple of this


@register("attention", "torch", arrays="torch", requires=("torch",), dtypes=("float16", "bfloat16", "float32", "float64"),
          precision="fused", batches=True, rank=60)  # fmt: skip
@register("attention", "torch_cuda", arrays="torch", requires=("torch",), device="cuda",
          dtypes=("float16", "bfloat16", "float32", "float64"), precision="fused", batches=True, rank=60)  # fmt: skip
@every_attention
def attention(q, k, v, causal):
    (n, d), (m, e) = q.shape[-2:], v.shape[-2:]
    batch = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    unseeing = max(0, n - m) if causal and m else n if not m else 0
    y = q.new_zeros((*batch, n, e))
    if unseeing == n or not y.numel():
        return y
    width = -(-max(d, e, 1) // WIDTH) * WIDTH
    q, k, v = (
        pad(x, (0, width - x.shape[-1])).expand(*batch, -1, -1).reshape(1, -1, x.shape[-2], width)
        for x in (q[..., unseeing:, :], k, v)
    )
    square = causal and n >= m
    mask = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n) if causal and not square else None
    out = scaled_dot_product_attention(q, k, v, mask, is_causal=square, scale=1 / math.sqrt(max(1, d)))
    y[..., unseeing:, :] = out[..., :e].reshape(*batch, -1, e)
    return y
