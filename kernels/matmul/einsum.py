"""matmul by Einstein summation: C_ij = sum_k A_ik B_kj."""

import torch

from registry import register


@register("matmul", "einsum", arrays="torch", requires=("torch",), rank=50)
@register("matmul", "einsum_cuda", arrays="torch", requires=("torch",), device="cuda", rank=50)
def matmul(a, b):
    return torch.einsum("ik,kj->ij", a, b)
