"""meanshift_step of dask arrays, lazily: every block is moved on its worker, by the best variant there.

What needs to meet decides how (`method`):

tiles
    The points are sorted once into tiles of space (`_dask_tiles`). For compact kernels, and for the gaussian where every point is
    among the data, so that its weights sum to at least 1. Up to three dimensions.
ring
    Each block of points meets each block of data, one after another (`_dask_ring`). For any kernel and any data.

``"auto"`` takes tiles wherever they serve.
"""

from kernels._dask.blocks import compute, whole_rows
from kernels.meanshift_step import _dask_ring, _dask_tiles
from registry import register

MAX_DIMENSIONS = 3  # of tiles: with more, most of a tile's data is beside it


@register(
    "meanshift_step",
    "dask",
    arrays="dask",
    requires=("dask",),
    precision="truncated",
    limits={"weights": (None,)},
    options={"method": "auto", "selector": "auto"},
    rank=20,
)
def meanshift_step(x, bandwidth, data, kernel, weights=None, method="auto", selector="auto"):
    blurring = data is x
    x = whole_rows(x)
    data = x if blurring else whole_rows(data)
    tiled = 0 < x.shape[1] <= MAX_DIMENSIONS and (blurring or kernel != "gaussian")
    if method not in ("auto", "ring", "tiles") or (method == "tiles" and not tiled):
        raise ValueError(
            "meanshift_step: argument method: expected auto, ring, or tiles (up to three dimensions, and a gaussian only of x "
            f"itself), got {method!r} for {kernel} weights in {x.shape[1]} dimensions; auto takes what serves"
        )
    if not x.size:
        return x.copy()
    if method == "auto" and x.npartitions == data.npartitions == 1:
        given = {"bandwidth": bandwidth, "kernel": kernel, "check_finite": False}
        return compute("meanshift_step", selector, {"x": x} if blurring else {"x": x, "data": data}, x, **given)
    if method == "ring" or not tiled:
        return _dask_ring.step(x, bandwidth, data, kernel)
    return _dask_tiles.step(x, bandwidth, data, kernel, selector)
