"""outer of dask arrays, lazily: each pair of blocks by the registry's best variant."""

import dask.array as da

from kernels._dask.blocks import on_blocks, without_empty
from kernels.outer import outer as definition
from registry import register


@register("outer", "dask", arrays="dask", requires=("dask",), dtypes=("bool", "numeric"), options={"selector": "auto"}, rank=20)
def outer(a, b, function, selector="auto"):
    meta = definition(a._meta, b._meta, function=function)
    call = on_blocks("outer", selector, ("a", "b"), {"function": function})
    return da.blockwise(call, "ij", without_empty(a), "i", without_empty(b), "j", dtype=meta.dtype, meta=meta)
