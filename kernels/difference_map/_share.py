"""By what operands of difference_map are multiplied where their differences, or sums of them, overflow."""


def share(a):
    """Return a power of two by which the sum of all differences at a place, whatever they are, is within the dtype's range.

    What it takes from numbers near the smallest is nothing beside a sum that would overflow.
    """
    return 0.5 ** ((a.shape[0] * a.shape[1]).bit_length() + 1)
