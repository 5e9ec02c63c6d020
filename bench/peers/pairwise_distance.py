"""The peers of pairwise_distance: SciPy, scikit-learn, and torch's cdist by differences and by its matrix product.

None of them scales before it squares, so that at 1e30 in float32 torch's are infinite; what is timed is drawn near the origin.
"""

from peers import CATALOGUE

SQUARES = {"limits": {"metric": ("euclidean",)}}


@CATALOGUE.register("pairwise_distance", "SciPy", requires=("scipy",))
def scipy_cdist(x, y, metric):
    """scipy.spatial.distance.cdist, which computes in float64."""
    from scipy.spatial.distance import cdist

    return cdist(x, y, metric).astype(x.dtype, copy=False)


@CATALOGUE.register("pairwise_distance", "torch.cdist, differences", arrays="torch", requires=("torch",), **SQUARES)
@CATALOGUE.register(
    "pairwise_distance", "torch.cdist, differences, on CUDA", arrays="torch", requires=("torch",), device="cuda", **SQUARES
)
def torch_differences(x, y, metric):
    """torch.cdist without its matrix product."""
    import torch

    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


@CATALOGUE.register(
    "pairwise_distance", "torch.cdist, product", arrays="torch", requires=("torch",), precision="expansion", **SQUARES
)
@CATALOGUE.register(
    "pairwise_distance",
    "torch.cdist, product, on CUDA",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    precision="expansion",
    **SQUARES,
)
def torch_product(x, y, metric):
    """torch.cdist as it comes: |x|^2 - 2xy + |y|^2 of points that are not centred."""
    import torch

    return torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist")


@CATALOGUE.register("pairwise_distance", "scikit-learn", requires=("sklearn",), precision="expansion", **SQUARES)
def scikit_learn(x, y, metric):
    """sklearn.metrics.pairwise.euclidean_distances: the same expansion, of float32 in blocks of float64."""
    from sklearn.metrics.pairwise import euclidean_distances

    return euclidean_distances(x, y)
