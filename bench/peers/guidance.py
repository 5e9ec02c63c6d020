"""The peers of guidance, beside the variant `torch`: what pipelines of diffusion models have."""

from peers import CATALOGUE


@CATALOGUE.register("guidance", "torch, as published", arrays="torch", requires=("torch",), batches=True)
def published(unconditional, conditional, scale, rescale):
    """The formulas as they read, with norms as torch takes them: 0 over 0 is NaN, and squares may overflow."""
    import torch

    guided = unconditional + scale * (conditional - unconditional)
    wanted, size = (torch.linalg.vector_norm(rows, dim=-1, keepdim=True) for rows in (conditional, guided))
    return rescale * (guided * (wanted / size)) + (1 - rescale) * guided
