"""For variants that take dask arrays: what is asked of blocks on a worker, and how rows change the block that they are in."""
