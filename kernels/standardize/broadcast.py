"""standardize by broadcasting in NumPy: means, then deviations, of differences from the middle of each column."""

from kernels.standardize._numpy import standardized
from registry import register


@register("standardize", "broadcast", rank=50)
def standardize(x):
    return standardized(x)
