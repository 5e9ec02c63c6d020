"""slerp of dask arrays, lazily: blocks of whole rows, each by the registry's best variant."""

from kernels._dask.blocks import by_rows
from registry import register


@register("slerp", "dask", arrays="dask", requires=("dask",), batches=True, options={"selector": "auto"}, rank=20)
def slerp(a, b, t, selector="auto"):
    return by_rows("slerp", selector, {"a": a, "b": b}, t=t)
