"""matmul of dask arrays, lazily: products of blocks by the registry's best variant, and their sums as a tree."""

import dask.array as da

from kernels._dask.blocks import added, gathered, on_blocks, without_empty
from registry import register


@register(
    "matmul",
    "dask",
    arrays="dask",
    requires=("dask",),
    dtypes=("numeric",),
    batches=True,
    options={"selector": "auto"},
    rank=20,
)
def matmul(a, b, selector="auto"):
    a, b = without_empty(a), without_empty(b)
    batch = [f"batch {i}" for i in range(max(a.ndim, b.ndim) - 2)]
    left = (*batch[len(batch) - a.ndim + 2 :], "m", "k")[-a.ndim :]
    right = ("k",) if b.ndim == 1 else (*batch[len(batch) - b.ndim + 2 :], "k", "n")
    product = (*batch, *(["m"] if a.ndim > 1 else []), *(["n"] if b.ndim > 1 else []))
    products = da.blockwise(
        on_blocks("matmul", selector, ("a", "b"), {}), ("k", *product), a, left, b, right,
        adjust_chunks={"k": lambda _: 1}, dtype=a.dtype, meta=da.utils.meta_from_array(a._meta, ndim=1 + len(product)),
    )  # fmt: skip
    return gathered(products, 0, added)
