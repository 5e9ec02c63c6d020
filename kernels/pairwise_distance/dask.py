"""pairwise_distance of dask arrays, lazily: each pair of blocks by the registry's best variant."""

import dask.array as da

from kernels._dask.blocks import on_blocks, whole_rows, without_empty
from registry import register


@register(
    "pairwise_distance", "dask", arrays="dask", requires=("dask",), options={"selector": "auto"}, precision="expansion", rank=20
)
def pairwise_distance(x, y, metric, selector="auto"):
    call = on_blocks("pairwise_distance", selector, ("x", "y"), {"metric": metric})
    x, y = without_empty(whole_rows(x)), without_empty(whole_rows(y))
    return da.blockwise(call, "ij", x, "ik", y, "jk", dtype=x.dtype, meta=x._meta)
