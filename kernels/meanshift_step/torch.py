"""meanshift_step in torch: a batch of points against all the data, on the CPU or on CUDA by the same code."""

import torch

from kernels.meanshift_step._weights import mean, of_pairs, relative
from registry import register


@register("meanshift_step", "torch", arrays="torch", requires=("torch",), options={"batch_size": 64}, rank=40)
@register(
    "meanshift_step", "torch_cuda", arrays="torch", requires=("torch",), device="cuda", options={"batch_size": 1024}, rank=40
)
def meanshift_step(x, bandwidth, data, weights, kernel, batch_size):
    y, v = torch.empty_like(x, memory_format=torch.contiguous_format), relative(weights)
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        difference = data - batch[:, None]
        w = of_pairs(((difference / bandwidth) ** 2).sum(dim=2), kernel, v)
        y[start : start + batch_size] = batch + mean((w[..., None] * difference).sum(dim=1), w.sum(dim=1))
    return y
