"""pairwise_distance in torch: the differences of a batch of points from all of y, on the CPU or on CUDA by the same code.

A euclidean distance is summed in units of the pair's largest difference, so that no square overflows or vanishes: torch.cdist
squares as it is, and gives infinity at 1e30 and 0 at 1e-30. Nothing waits for the device.
"""

import torch

from registry import register


@register(
    "pairwise_distance",
    "torch",
    arrays="torch",
    requires=("torch",),
    dtypes=("float16", "bfloat16", "float32", "float64"),
    options={"batch_size": 16},
    rank=35,
)
@register(
    "pairwise_distance",
    "torch_cuda",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16", "float32", "float64"),
    options={"batch_size": 256},
    rank=40,
)
def pairwise_distance(x, y, metric, batch_size):
    distances = x.new_zeros((len(x), len(y)))
    for start in range(0, len(x) if distances.numel() and x.shape[1] else 0, batch_size):
        apart = (x[start : start + batch_size, None] - y).abs()
        distances[start : start + batch_size] = REDUCTIONS[metric](apart)
    return distances


def euclidean(apart):
    largest = apart.amax(dim=2)
    unit = torch.where((largest > 0) & (largest < torch.inf), largest, 1)
    return unit * (apart / unit[:, :, None]).square_().sum(dim=2).sqrt_()


REDUCTIONS = {
    "euclidean": euclidean,
    "sqeuclidean": lambda apart: apart.square().sum(dim=2),
    "cityblock": lambda apart: apart.sum(dim=2),
    "chebyshev": lambda apart: apart.amax(dim=2),
}
