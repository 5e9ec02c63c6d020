"""The peers of difference_map: NumPy and torch, as one writes it without a thought of overflow or of constants."""

import numpy as np

from peers import CATALOGUE


@CATALOGUE.register("difference_map", "NumPy")
def numpy_map(a, b):
    """The definition on whole arrays."""
    mean = np.abs(a - b).mean(axis=(0, 1))
    return (mean - mean.min()) / (mean.max() - mean.min())


@CATALOGUE.register("difference_map", "torch's own", arrays="torch", requires=("torch",))
@CATALOGUE.register("difference_map", "torch's own on CUDA", arrays="torch", requires=("torch",), device="cuda")
def torch_map(a, b):
    """The definition on tensors."""
    mean = (a - b).abs().mean(dim=(0, 1))
    return (mean - mean.amin()) / (mean.amax() - mean.amin())
