"""outer by the method that every NumPy function of two numbers has."""

import numpy as np

from registry import register


@register("outer", "ufunc", dtypes=("bool", "numeric"), rank=50)
def outer(a, b, function):
    return getattr(np, function).outer(a, b)
