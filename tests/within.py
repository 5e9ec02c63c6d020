"""Results of the dask variants beside their operations' definitions."""

import numpy as np

import registry


def hold(operation, result, *args, rows=None, **kwargs):
    """Hold a result, or so many rows of it, to the bound of the class of error that the operation's dask variant claims."""
    contract = registry.contract(operation)
    (variant,) = registry.zoo().candidates(operation, "dask")
    dtype = str(args[0].dtype)
    if rows is not None:
        chosen = np.random.default_rng(0).choice(len(result), rows, replace=False)
        result = contract.rows_of(result, chosen, *args, **kwargs)
        args, kwargs = contract.rows(chosen, *args, **kwargs)
    failure = contract.verdict(result, *args, dtype=dtype, precision=variant.precision, **kwargs).failure
    assert failure is None, failure
