"""The peers of matmul, beside the variants `numpy` and `torch`, which are peers themselves."""

from peers import CATALOGUE


@CATALOGUE.register(
    "matmul",
    "torch halves",
    arrays="torch",
    requires=("torch",),
    device="cuda",
    dtypes=("float16", "bfloat16"),
    precision="wide",
)
def halves(a, b):
    """Torch's own product of half precision, with all sums in float32."""
    return a @ b
