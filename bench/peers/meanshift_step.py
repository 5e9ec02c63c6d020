"""The peers of meanshift_step: KeOps, SciPy, scikit-learn, and plain torch in tiles."""

import numpy as np

from peers import CATALOGUE

TILE = 512
UNWEIGHTED = {"precision": "expansion", "limits": {"weights": (None,)}}
ALIKE = {"precision": "expansion", "limits": {"kernel": ("gaussian",), "weights": (None,)}}
FLAT = {"requires": ("sklearn",), "precision": "expansion", "limits": {"kernel": ("flat",), "weights": (None,)}}
ON_CUDA = ALIKE | {"arrays": "torch", "device": "cuda"}


@CATALOGUE.register("meanshift_step", "torch tiles", arrays="torch", requires=("torch",), **UNWEIGHTED)
@CATALOGUE.register("meanshift_step", "torch tiles on CUDA", requires=("torch",), **ON_CUDA)
def torch_tiles(x, bandwidth, data, weights, kernel):
    """-q^2/2 as one augmented product, [z, 1, z.z] by [2b, -b.b, -1]^T, in preallocated tiles; both sums as another.

    The exponent is clamped far above the denormals. Tiles lie data by points, so that the second product has few rows rather
    than few columns, which MKL takes six times as long for at d = 2.
    """
    import torch

    centre = data.mean(0)
    z = (data - centre) / (bandwidth * 2**0.5)
    b = z if data is x else (x - centre) / (bandwidth * 2**0.5)
    left = torch.cat([z, torch.ones_like(z[:, :1]), (z * z).sum(1, keepdim=True)], 1)
    right = torch.cat([2 * b, -(b * b).sum(1, keepdim=True), -torch.ones_like(b[:, :1])], 1).T.contiguous()
    sites = torch.cat([data - centre, torch.ones_like(z[:, :1])], 1).T.contiguous()
    least = -60.0 if x.dtype == torch.float32 else -600.0
    buffer = torch.empty(TILE * TILE, dtype=x.dtype, device=x.device)
    y = torch.empty_like(x)
    for row in range(0, len(x), TILE):
        points = right[:, row : row + TILE]
        sums = torch.zeros((len(sites), points.shape[1]), dtype=x.dtype, device=x.device)
        for column in range(0, len(data), TILE):
            columns = left[column : column + TILE]
            tile = buffer[: len(columns) * points.shape[1]].view(len(columns), -1)
            torch.mm(columns, points, out=tile)
            if kernel == "gaussian":
                tile.clamp_(min=least).exp_()
            elif kernel == "flat":
                tile.ge_(-0.5)
            else:
                q2 = tile.mul_(-2).clamp_(min=0)
                (q2.sqrt_() if kernel == "triangular" else q2).neg_().add_(1).clamp_(min=0)
            sums.addmm_(sites[:, column : column + TILE], tile)
        y[row : row + TILE] = torch.where(sums[-1] > 0, sums[:-1] / sums[-1] + centre[:, None], x[row : row + TILE].T).T
    return y


@CATALOGUE.register("meanshift_step", "KeOps", requires=("pykeops",), **ALIKE)
def keops(x, bandwidth, data, weights, kernel):
    """Symbolic distances, and KeOps's own softmax-weighted sum."""
    from pykeops.numpy import LazyTensor

    few = np.repeat(x, 2, axis=0) if len(x) == 1 else x  # a single point would be a parameter, and compiled anew
    return symbolic_step(LazyTensor, few, bandwidth, np.ascontiguousarray(data))[: len(x)]


@CATALOGUE.register("meanshift_step", "KeOps on CUDA", requires=("pykeops", "torch"), **ON_CUDA)
def keops_on_cuda(x, bandwidth, data, weights, kernel):
    """The same on tensors."""
    from pykeops.torch import LazyTensor

    return symbolic_step(LazyTensor, x, bandwidth, data)


def symbolic_step(lazy, x, bandwidth, data):
    """Take a gaussian step with KeOps's symbolic matrices, of NumPy arrays or of tensors."""
    rows, columns = lazy(x[:, None]), lazy(data[None])
    exponents = -((rows - columns) ** 2).sum(-1) / (2 * bandwidth**2)
    return exponents.sumsoftmaxweight(columns, axis=1)


@CATALOGUE.register("meanshift_step", "KeOps, one sum", requires=("pykeops",), **UNWEIGHTED)
def keops_sum(x, bandwidth, data, weights, kernel):
    """A matrix of symbols for the kernel, and a single reduction: a column of ones beside the data gives the sums of weights."""
    from pykeops.numpy import LazyTensor

    n, x = len(x), np.repeat(x, 2, axis=0) if len(x) == 1 else x  # a single point would be a parameter, and compiled anew
    sites = np.column_stack([data, np.ones(len(data), data.dtype)])
    q2 = ((LazyTensor(x[:, None]) - LazyTensor(np.ascontiguousarray(data)[None])) ** 2).sum(-1) / bandwidth**2
    if kernel == "gaussian":
        w = (-q2 / 2).exp()
    elif kernel == "flat":
        w = (1 - q2).step()
    else:
        w = (1 - (q2.sqrt() if kernel == "triangular" else q2)).relu()
    sums = (w * LazyTensor(sites[None])).sum(axis=1)
    return np.where(sums[:, -1:] > 0, sums[:, :-1] / sums[:, -1:], x)[:n]


@CATALOGUE.register("meanshift_step", "SciPy", requires=("scipy",), **ALIKE)
def scipy_cdist(x, bandwidth, data, weights, kernel):
    """Blocks of scipy.spatial.distance.cdist, and products for the sums."""
    from scipy.spatial.distance import cdist

    sites = np.column_stack([data, np.ones(len(data), x.dtype)])
    y = np.empty_like(x)
    for row in range(0, len(x), TILE):
        w = np.exp(cdist(x[row : row + TILE], data, "sqeuclidean") / (-2 * bandwidth**2))
        sums = w @ sites
        y[row : row + TILE] = sums[:, :-1] / sums[:, -1:]
    return y


@CATALOGUE.register("meanshift_step", "scikit-learn", **FLAT)
def scikit_learn(x, bandwidth, data, weights, kernel):
    """One iteration of sklearn.cluster.MeanShift from every point: the mean of what its neighbour search finds in reach."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(radius=bandwidth).fit(data)
    y = np.empty_like(x)
    for i, point in enumerate(x):
        (within,) = neighbours.radius_neighbors(point[None], return_distance=False)
        y[i] = data[within].mean(axis=0) if len(within) else point
    return y


@CATALOGUE.register("meanshift_step", "scikit-learn, one search", **FLAT)
def one_search(x, bandwidth, data, weights, kernel):
    """The same with a single search for all points, which MeanShift does not make: the best that can be had of scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(radius=bandwidth).fit(data)
    found = neighbours.radius_neighbors(x, return_distance=False)
    return np.stack([data[each].mean(axis=0) if len(each) else point for point, each in zip(x, found, strict=True)])
