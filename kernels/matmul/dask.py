"""matmul of dask arrays, lazily: products of blocks by the registry's best variant, and their sums as a tree."""

import dask.array as da

from kernels._dask.blocks import product_of_blocks, without_empty
from registry import register

FAN = 4  # sums that are added at a time


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
    vectors = a.ndim == 1, b.ndim == 1
    a, b = without_empty(a[None] if vectors[0] else a), without_empty(b[:, None] if vectors[1] else b)
    batch = [f"batch {i}" for i in range(max(a.ndim, b.ndim) - 2)]
    left, right = (*batch[len(batch) - a.ndim + 2 :], "m", "k"), (*batch[len(batch) - b.ndim + 2 :], "k", "n")
    products = da.blockwise(
        product_of_blocks, (*batch, "k", "m", "n"), a, left, b, right, selector=selector,
        adjust_chunks={"k": lambda _: 1}, dtype=a.dtype, meta=da.utils.meta_from_array(a._meta, ndim=len(batch) + 3),
    )  # fmt: skip
    c = products.sum(axis=len(batch), dtype=a.dtype, split_every=FAN)
    return c[..., 0, 0] if all(vectors) else c[..., 0, :] if vectors[0] else c[..., 0] if vectors[1] else c
