"""Train a layer on pictures of digits in torch, with the zoo's matrix product in both directions."""

import torch
from sklearn.datasets import load_digits

from registry import get

matmul = get("matmul")


class Product(torch.autograd.Function):
    """A product that torch can differentiate: the zoo takes detached tensors, and the gradient is two more products."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return matmul(a.detach(), b.detach())

    @staticmethod
    def backward(ctx, gradient):
        a, b = ctx.saved_tensors
        return matmul(gradient, b.mT), matmul(a.mT, gradient)


x, y = map(torch.tensor, load_digits(return_X_y=True))
weights = torch.zeros(64, 10, dtype=x.dtype, requires_grad=True)
for i in range(1, 41):
    loss = torch.nn.functional.cross_entropy(Product.apply(x[:1500], weights), y[:1500])
    loss.backward()
    with torch.no_grad():
        weights -= 0.005 * weights.grad
    weights.grad = None
    if i % 10 == 0:
        print(f"step {i}: the loss is {loss.item():.3f}")
found = matmul(x[1500:], weights.detach()).argmax(dim=1)
print(f"of {len(found)} digits that were not trained on, {(found == y[1500:]).double().mean():.0%} are recognised")
