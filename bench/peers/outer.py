"""The peers of outer: the functions of NumPy and torch."""

import numpy as np

from peers import CATALOGUE


@CATALOGUE.register("outer", "NumPy")
def numpy_outer(a, b, function):
    """The method `outer` of NumPy's function."""
    return getattr(np, function).outer(a, b)


@CATALOGUE.register("outer", "torch's own", arrays="torch", requires=("torch",))
@CATALOGUE.register(
    "outer", "torch's own on CUDA", arrays="torch", requires=("torch",), device="cuda", limits={"function": ("multiply",)}
)
def torch_outer(a, b, function):
    """torch.outer for products; broadcasting for the rest."""
    import torch

    if function == "multiply":
        return torch.outer(a, b)
    names = {"add": "add", "subtract": "sub", "less": "lt", "less_equal": "le", "equal": "eq"}
    return getattr(torch, names[function])(a[:, None], b)
