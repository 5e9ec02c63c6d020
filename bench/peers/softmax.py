"""The peers of softmax, beside the variant `torch`, which is a peer itself."""

from peers import CATALOGUE


@CATALOGUE.register("softmax", "SciPy", requires=("scipy",), batches=True)
def scipy_softmax(x):
    """SciPy's scipy.special.softmax."""
    from scipy.special import softmax

    return softmax(x, axis=-1)
