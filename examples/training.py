"""Train a network of two layers on pictures of digits in torch, with the zoo's matrix product in both directions.

python examples/training.py [VARIANT]
"""

import sys

import torch
from sklearn.datasets import load_digits

from registry import get

matmul = get("matmul", *sys.argv[1:2])


class Product(torch.autograd.Function):
    """A matrix product that torch can differentiate: the zoo takes plain numbers, and gives the gradient by two more products."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return matmul(a.detach(), b.detach())

    @staticmethod
    def backward(ctx, gradient):
        a, b = ctx.saved_tensors
        return matmul(gradient, b.mT), matmul(a.mT, gradient)


torch.manual_seed(0)
digits = load_digits()
x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
layers = [(torch.randn(64, 32) / 8).requires_grad_(), (torch.randn(32, 10) / 6).requires_grad_()]
optimizer = torch.optim.Adam(layers, lr=0.03)
for i in range(1, 41):
    scores = Product.apply(Product.apply(x[:1500], layers[0]).relu(), layers[1])
    loss = torch.nn.functional.cross_entropy(scores, y[:1500])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if i % 10 == 0:
        print(f"step {i}: the loss is {loss.item():.3f}")
found = matmul(matmul(x[1500:], layers[0].detach()).relu(), layers[1].detach()).argmax(dim=1)
print(f"of the {len(found)} digits that were not trained on, {(found == y[1500:]).float().mean():.0%} are recognised")
