"""frobenius_norm of a dask array, lazily: norms of blocks, and norms of those, as a tree."""

import functools

import dask.array as da

from kernels._dask.blocks import gathered, namespace, on_blocks, without_empty
from registry import register

FAN = 1024  # norms of which one is made: numbers, so many may be in a task, and few levels round more than once


@register("frobenius_norm", "dask", arrays="dask", requires=("dask",), precision="blocks", options={"selector": "auto"}, rank=20)
def frobenius_norm(x, selector="auto"):
    norm = on_blocks("frobenius_norm", selector, ("x",), {})
    one = {"adjust_chunks": dict.fromkeys("ij", lambda _: 1), "dtype": x.dtype, "meta": x._meta}
    norms = da.blockwise(norm, "ij", without_empty(x), "ij", **one)
    gather = functools.partial(norm_of_norms, norm)
    return gathered(gathered(norms, 1, gather, FAN), 0, gather, FAN)


def norm_of_norms(norm, norms):
    return norm(namespace(norms[0]).stack(norms)[None])
