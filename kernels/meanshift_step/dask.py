"""meanshift_step of dask arrays, lazily: every block is moved on its worker, by the best variant there.

What needs to meet decides how (`method`):

tiles
    The points are sorted once into tiles of space (`_dask_tiles`). Up to three dimensions. A gaussian's points that are no data,
    and lie more than a few bandwidths from any, or where all data near are light beside the heaviest, meet all data in the end
    (`_dask_rest`): they should be few.
ring
    Each block of points meets each block of data, one after another (`_dask_ring`). For any kernel and any data.
fast_gauss
    Blocks tell each other coefficients of cells, and no points (`_dask_fast_gauss`). For a gaussian of crowded data, of which
    most are within a few bandwidths of each other: there a tile would need most of the data, and the ring takes all pairs. Of
    float32 in NumPy blocks, up to three dimensions.

``"auto"`` takes tiles wherever they serve, and else the ring. How crowded the data are it does not know before they are read: a
caller who knows names fast_gauss.
"""

import numpy as np

from kernels._dask.blocks import compute, whole_rows
from kernels.meanshift_step import _dask_ring, _dask_tiles
from kernels.meanshift_step._dask_weights import beside
from registry import missing, register

MAX_DIMENSIONS = 3  # of tiles: with more, most of a tile's data is beside it


@register(
    "meanshift_step",
    "dask",
    arrays="dask",
    requires=("dask",),
    precision="truncated",
    options={"method": "auto", "selector": "auto"},
    rank=20,
)
def meanshift_step(x, bandwidth, data, kernel, weights=None, method="auto", selector="auto"):
    blurring = data is x
    x = whole_rows(x)
    data = x if blurring else whole_rows(data)
    few = x.shape[1] <= MAX_DIMENSIONS
    expanded = few and kernel == "gaussian" and x.dtype == np.float32 and isinstance(x._meta, np.ndarray)
    if method not in ("auto", "ring", *["tiles"] * few, *["fast_gauss"] * expanded):
        raise ValueError(
            "meanshift_step: argument method: expected auto, ring, tiles (up to three dimensions) or "
            "fast_gauss (a gaussian of float32 in NumPy blocks, up to three dimensions), "
            f"got {method!r} for {kernel} kernel and {x.dtype} in {x.shape[1]} dimensions; auto takes what serves"
        )
    if not x.size:
        return x.copy()
    if method == "auto" and x.npartitions == data.npartitions == 1:
        arrays = {"x": x} | ({} if blurring else {"data": data}) | ({} if weights is None else {"weights": weights.rechunk(-1)})
        given = {"bandwidth": bandwidth, "kernel": kernel, "check_finite": False}
        return compute("meanshift_step", selector, arrays, x, **given)
    if weights is not None:
        data = beside(data, weights)
    if method == "fast_gauss":
        if lacking := missing("numba"):
            raise ModuleNotFoundError(f"meanshift_step: argument method: fast_gauss {lacking}")
        from kernels.meanshift_step import _dask_fast_gauss

        return _dask_fast_gauss.step(x, bandwidth, data)
    if method == "ring" or not few:
        return _dask_ring.step(x, bandwidth, data, kernel)
    return _dask_tiles.step(x, bandwidth, data, kernel, selector)
