"""The peers of slerp, beside the variant `torch`: SciPy's, of rows of length 1, and what pipelines of diffusion models have."""

import numpy as np

from peers import CATALOGUE


@CATALOGUE.register("slerp", "SciPy, and lengths", requires=("scipy",))
def scipy_slerp(a, b, t):
    """scipy.spatial.geometric_slerp between the rows over their lengths; the lengths are then those of a sum with its weights.

    SciPy takes the ends of one arc, so that rows go one by one.
    """
    from scipy.spatial import geometric_slerp

    dtype, a, b = a.dtype, a.astype(float), b.astype(float)
    size_a, size_b = np.linalg.norm(a), np.linalg.norm(b)
    ends = a / size_a, b / size_b
    whole = np.arccos(np.clip(ends[0] @ ends[1], -1, 1))
    at = geometric_slerp(*ends, t)
    near = np.sin((1 - t) * whole) / np.sin(whole)
    return (size_b * at + (size_a - size_b) * near * ends[0]).astype(dtype)


@CATALOGUE.register("slerp", "torch, as published", arrays="torch", requires=("torch",), batches=True)
def published(a, b, t):
    """A product of rows over their lengths, its arc cosine, and a linear sum past a cosine of 0.9995."""
    import torch

    of_a, of_b = (x / torch.linalg.vector_norm(x, dim=-1, keepdim=True) for x in (a, b))
    cosine = (of_a * of_b).sum(dim=-1, keepdim=True)
    whole = torch.acos(cosine)
    arc = torch.sin((1 - t) * whole) / torch.sin(whole) * a + torch.sin(t * whole) / torch.sin(whole) * b
    return torch.where(cosine.abs() > 0.9995, (1 - t) * a + t * b, arc)
