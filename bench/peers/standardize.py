"""The peers of standardize: torch's own moments and layer normalisation, scikit-learn, and SciPy.

They subtract the mean as it is rounded, which the class "two-pass" grants. Of a constant column SciPy and torch make NaN.
"""

from peers import CATALOGUE

TORCH = {"arrays": "torch", "requires": ("torch",), "precision": "two-pass"}


@CATALOGUE.register("standardize", "torch var_mean", **TORCH)
@CATALOGUE.register("standardize", "torch var_mean on CUDA", device="cuda", **TORCH)
def var_mean(x):
    """Mean and variance in one pass, and three passes that apply them."""
    import torch

    variance, mean = torch.var_mean(x, dim=0, correction=0)
    return (x - mean) / variance.sqrt()


@CATALOGUE.register("standardize", "torch layer_norm", **TORCH)
@CATALOGUE.register("standardize", "torch layer_norm on CUDA", device="cuda", **TORCH)
def layer_norm(x):
    """Layer normalisation of the transpose, without weights and without an epsilon."""
    import torch

    return torch.nn.functional.layer_norm(x.T, (x.shape[0],), eps=0.0).T


@CATALOGUE.register("standardize", "scikit-learn", requires=("sklearn",), precision="two-pass")
def scikit_learn(x):
    """sklearn.preprocessing.StandardScaler."""
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit_transform(x)


@CATALOGUE.register("standardize", "SciPy", requires=("scipy",), precision="two-pass")
def zscore(x):
    """scipy.stats.zscore."""
    from scipy.stats import zscore

    return zscore(x, axis=0)
