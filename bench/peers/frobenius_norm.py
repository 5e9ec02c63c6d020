"""The peers of frobenius_norm: torch's, NumPy's and SciPy's own. NumPy and torch square entries as they are."""

from peers import CATALOGUE

TORCH = {"arrays": "torch", "requires": ("torch",)}


@CATALOGUE.register("frobenius_norm", "torch linalg.norm", **TORCH)
@CATALOGUE.register("frobenius_norm", "torch linalg.norm on CUDA", device="cuda", **TORCH)
def torch_norm(x):
    """torch.linalg.norm."""
    import torch

    return torch.linalg.norm(x)


@CATALOGUE.register("frobenius_norm", "NumPy")
def numpy_norm(x):
    """numpy.linalg.norm."""
    import numpy as np

    return np.linalg.norm(x)


@CATALOGUE.register("frobenius_norm", "SciPy", requires=("scipy",))
def scipy_norm(x):
    """scipy.linalg.norm, which asks LAPACK's lange."""
    import numpy as np
    from scipy.linalg import norm

    return x.dtype.type(norm(np.asarray(x), check_finite=False))
