"""guidance of dask arrays, lazily: blocks of whole rows, each by the registry's best variant."""

from kernels._dask.blocks import by_rows
from registry import register


@register("guidance", "dask", arrays="dask", requires=("dask",), batches=True, options={"selector": "auto"}, rank=20)
def guidance(unconditional, conditional, scale, rescale, selector="auto"):
    rows = {"unconditional": unconditional, "conditional": conditional}
    return by_rows("guidance", selector, rows, scale=scale, rescale=rescale)
