"""The zoo beside its peers: the same work through scikit-learn, SciPy, KeOps and plain torch, in one run with ours.

    pip install -c constraints.txt -e '.[all,peers]'
    python bench/peers.py [--only TEXT] [--json FILE] [--plot FILE]

Peers register as variants of this one process, so that they are checked and timed exactly as ours are: nothing is timed
that did not first pass its bound, variants take turns, and a ratio is that of medians.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import registry
from kernels import _measure
from kernels._definition.examples import Example

TILE = 512


@registry.register("meanshift_step", "torch tiles", arrays="torch", requires=("torch",), precision="expansion")
def torch_tiles(x, bandwidth, data, kernel):
    """-q^2/2 as one augmented product, [z, 1, z.z] by [2b, -b.b, -1]^T, in preallocated tiles; both sums as another.

    The exponent is clamped far above the denormals. Tiles lie data by points, so that the second product has few rows rather
    than few columns, which MKL takes six times as long for at d = 2.
    """
    import torch

    centre = data.mean(0)
    z = (data - centre) / (bandwidth * 2**0.5)
    b = z if data is x else (x - centre) / (bandwidth * 2**0.5)
    left = torch.cat([z, torch.ones_like(z[:, :1]), (z * z).sum(1, keepdim=True)], 1)
    right = torch.cat([2 * b, -(b * b).sum(1, keepdim=True), -torch.ones_like(b[:, :1])], 1).T.contiguous()
    sites = torch.cat([data - centre, torch.ones_like(z[:, :1])], 1).T.contiguous()
    least = -60.0 if x.dtype == torch.float32 else -600.0
    buffer = torch.empty(TILE * TILE, dtype=x.dtype, device=x.device)
    y = torch.empty_like(x)
    for row in range(0, len(x), TILE):
        points = right[:, row : row + TILE]
        sums = torch.zeros((len(sites), points.shape[1]), dtype=x.dtype, device=x.device)
        for column in range(0, len(data), TILE):
            columns = left[column : column + TILE]
            tile = buffer[: len(columns) * points.shape[1]].view(len(columns), -1)
            torch.mm(columns, points, out=tile)
            sums.addmm_(sites[:, column : column + TILE], tile.clamp_(min=least).exp_())
        y[row : row + TILE] = (sums[:-1] / sums[-1]).T + centre
    return y


@registry.register("meanshift_step", "KeOps", requires=("pykeops",), precision="expansion")
def keops(x, bandwidth, data, kernel):
    """Symbolic distances, and KeOps's own softmax-weighted sum."""
    from pykeops.numpy import LazyTensor

    return symbolic_step(LazyTensor, x, bandwidth, np.ascontiguousarray(data))


def symbolic_step(lazy, x, bandwidth, data):
    """Take a gaussian step with KeOps's symbolic matrices, of NumPy arrays or of tensors."""
    rows, columns = lazy(x[:, None]), lazy(data[None])
    exponents = -((rows - columns) ** 2).sum(-1) / (2 * bandwidth**2)
    return exponents.sumsoftmaxweight(columns, axis=1)


@registry.register("meanshift_step", "KeOps, two sums", requires=("pykeops",), precision="expansion")
def keops_sums(x, bandwidth, data, kernel):
    """The step as its formula reads: a kernel matrix of symbols, its product with the data, and its row sums."""
    from pykeops.numpy import LazyTensor

    data = np.ascontiguousarray(data)
    weights = (-((LazyTensor(x[:, None]) - LazyTensor(data[None])) ** 2).sum(-1) / (2 * bandwidth**2)).exp()
    return (weights @ data) / weights.sum(axis=1)


@registry.register("meanshift_step", "SciPy", requires=("scipy",), precision="expansion")
def scipy_cdist(x, bandwidth, data, kernel):
    """Blocks of scipy.spatial.distance.cdist, and products for the sums."""
    from scipy.spatial.distance import cdist

    sites = np.column_stack([data, np.ones(len(data), x.dtype)])
    y = np.empty_like(x)
    for row in range(0, len(x), TILE):
        weights = np.exp(cdist(x[row : row + TILE], data, "sqeuclidean") / (-2 * bandwidth**2))
        sums = weights @ sites
        y[row : row + TILE] = sums[:, :-1] / sums[:, -1:]
    return y


@registry.register("meanshift_step", "scikit-learn", requires=("sklearn",), precision="expansion", limits={"kernel": ("flat",)})
def scikit_learn(x, bandwidth, data, kernel):
    """One iteration of sklearn.cluster.MeanShift from every point: the mean of what its neighbour search finds in reach."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(radius=bandwidth).fit(data)
    y = np.empty_like(x)
    for i, point in enumerate(x):
        (within,) = neighbours.radius_neighbors(point[None], return_distance=False)
        y[i] = data[within].mean(axis=0)
    return y


def clusters(n, d, rng):
    """Draw the lecture's six clusters, with more points each and in more dimensions."""
    centroids = rng.uniform(-35, 35, (6, d))
    return centroids[np.arange(n) % 6] + rng.standard_normal((n, d)) * 5**0.5


def constant_density(n, d, rng):
    """Draw points with ten neighbours within a distance of 1, however many they are."""
    ball = {2: np.pi, 3: 4 / 3 * np.pi}[d]
    return rng.uniform(-0.5, 0.5, (n, d)) * (n / 10 * ball) ** (1 / d)


def normal(n, d, rng):
    """Draw points from the standard normal distribution."""
    return rng.standard_normal((n, d))


@dataclass(frozen=True)
class Work:
    """One example of meanshift_step or matmul, and what takes part beside ours."""

    points: object
    n: int
    d: int
    bandwidth: float = 2.5
    kernel: str = "gaussian"
    dtype: str = "float32"
    steps: int = 1
    peers: tuple[str, ...] = ()
    ours: tuple[str, ...] = ("numba",)
    product: tuple[int, int, int] | None = None

    @property
    def operation(self):
        """The operation it is an example of."""
        return "matmul" if self.product else "meanshift_step"

    @property
    def title(self):
        """What it is, for a heading."""
        if self.product:
            m, k, n = self.product
            return f"matmul {m}x{k} @ {k}x{n}, {self.dtype}"
        steps = f", {self.steps} steps" if self.steps > 1 else ""
        return f"{self.points.__name__}, {self.kernel}, {self.dtype}, n = {self.n:,}, d = {self.d}{steps}"

    def example(self):
        """Draw its arrays."""
        rng = np.random.default_rng(0)
        if self.product:
            m, k, n = self.product
            a, b = (rng.standard_normal(shape).astype(self.dtype) for shape in ((m, k), (k, n)))
            return Example((a, b), {}, self.title)
        x = self.points(self.n, self.d, rng)
        x = (x - x.mean(axis=0)).astype(self.dtype)  # centred, since not every peer does that for itself
        return Example((x, self.bandwidth), {"kernel": self.kernel}, self.title, self.steps)


BRUTE = ("torch tiles", "KeOps", "SciPy")
WORKS = [
    Work(clusters, 10_000, 2, peers=(*BRUTE, "KeOps, two sums")),
    Work(clusters, 10_000, 2, kernel="flat", peers=("scikit-learn",)),
    Work(clusters, 1_500, 2, steps=5, peers=BRUTE, ours=("loop", "numba")),
    Work(clusters, 1_500, 2, dtype="float64", peers=("torch tiles", "SciPy")),
    Work(clusters, 10_000, 2, dtype="float64", peers=("torch tiles", "SciPy")),
    Work(normal, 10_000, 16, 2.8, peers=BRUTE, ours=("numba", "tiles")),
    Work(normal, 5_000, 64, 5.6, peers=BRUTE, ours=("numba", "tiles")),
    *[
        Work(constant_density, n, d, 1.0, kernel, ours=("numba_grid",))
        for d in (2, 3)
        for kernel in ("gaussian", "triangular", "epanechnikov", "flat")
        for n in (10_000, 100_000, 1_000_000)
    ],
    *[Work(clusters, n, d, ours=("numba_grid", "fast_gauss")) for d in (2, 3) for n in (100_000, 1_000_000)],
    *[
        Work(None, 0, 0, product=shape, peers=("torch", "numpy"))
        for shape in [(s, s, s) for s in (128, 256, 512, 1024, 1536, 2048)]
        + [(50_000, 784, 10), (10, 784, 50_000), (784, 50_000, 10), (4096, 128, 4096), (128, 4096, 128), (4096, 4096, 16)]
    ],
]
# The growth of time with n, for the picture: each as far as the limit lets it.
GROWTH = [
    Work(points, n, d, bandwidth, peers=BRUTE, ours=("loop", "torch", "numba", *more))
    for points, d, bandwidth, more in (
        (clusters, 2, 2.5, ("numba_grid", "fast_gauss")),
        (clusters, 3, 2.5, ("numba_grid", "fast_gauss")),
        (normal, 16, 2.8, ("tiles",)),
    )
    for n in (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
]


def measure(work, limit):
    """Check and time everything that takes part in a work; return one record for each."""
    contract = registry.contract(work.operation)
    example = work.example()
    trial = _measure.Trial(contract, example, work.dtype, rows=256 if work.n <= 10_000 else 32)
    variants = {variant.name: variant for variant in registry.variants(work.operation)}
    taking_part = [variants[name] for name in (*work.ours, *work.peers) if name in variants]
    admitted = list(_measure.admit(trial, taking_part, limit))
    timed = [(measurement, function) for measurement, function in admitted if measurement.status == "timed"]
    for _ in _measure.time_in_turns(trial, timed):
        pass
    return [record(work, trial, measurement, measurement.variant.name in work.ours) for measurement, _ in admitted]


def record(work, trial, measurement, ours):
    """Return what is kept of a variant on a work."""
    return {
        "work": trial.example.title,
        "operation": work.operation,
        "n": work.n,
        "d": work.d,
        "name": measurement.variant.name,
        "ours": ours,
        "status": measurement.status,
        "reason": measurement.reason,
        "precision": measurement.variant.precision,
        "error_over_bound": measurement.agreement.share if measurement.agreement else None,
        "seconds": measurement.median if measurement.samples else None,
        "samples": len(measurement.samples),
        "rate": _measure.rate(measurement.rate, trial.unit) if measurement.samples else None,
    }


def table(records, console):
    """Print one work: each time, and how many times slower than the best of ours."""
    best = min((r["seconds"] for r in records if r["ours"] and r["seconds"]), default=None)
    shown = Table(title=records[0]["work"], title_justify="left")
    for column in ("", "median", "rate", "x best of ours", "of bound"):
        shown.add_column(column, justify="left" if not column else "right")
    for r in sorted(records, key=lambda r: r["seconds"] or np.inf):
        if r["seconds"]:
            ratio = f"{r['seconds'] / best:.3g}" if best else ""
            shown.add_row(r["name"], _measure.duration(r["seconds"]), r["rate"], ratio, f"{r['error_over_bound']:.1%}")
        else:
            shown.add_row(r["name"], r["status"], r["reason"][:60], "", "")
    console.print(shown)


def exponents(records):
    """Fit time = c n^p to each curve's upper half, where fixed costs are small; return p by (d, name)."""
    curves = {}
    for r in records:
        if r["seconds"]:
            curves.setdefault((r["d"], r["name"]), []).append((r["n"], r["seconds"]))
    fitted = {}
    for key, points in curves.items():
        upper = np.log(sorted(points)[len(points) // 2 - (len(points) < 4) :])
        if len(upper) > 1:
            fitted[key] = float(np.polyfit(*upper.T, 1)[0])
    return curves, fitted


def plot(records, path):
    """Draw time against n, one panel for each number of dimensions."""
    from matplotlib.figure import Figure

    curves, fitted = exponents(records)
    dimensions = sorted({d for d, _ in curves})
    names = sorted({name for _, name in curves})
    figure = Figure(figsize=(4.6 * len(dimensions), 4.8), layout="constrained")
    for axes, d in zip(figure.subplots(1, len(dimensions), sharey=True, squeeze=False)[0], dimensions, strict=True):
        for (dimension, name), points in curves.items():
            if dimension == d:
                label = f"{name}, n^{fitted[d, name]:.2f}" if (d, name) in fitted else name
                axes.loglog(*zip(*sorted(points), strict=True), "o-", color=f"C{names.index(name)}", label=label)
        axes.set(title=f"d = {d}", xlabel="points")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("median time of a gaussian step in seconds")
    figure.savefig(path)


@click.command()
@click.option("--only", default="", help="Only works whose title has this text.")
@click.option("--limit", default=10.0, show_default=True, help="Leave out what would take longer than so many seconds a run.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all records there.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="Measure the growth with n, and draw it there.")
def main(only, limit, json_file, plot_file):
    """Measure the zoo beside its peers."""
    console = Console()
    records = []
    for work in GROWTH if plot_file else WORKS:
        if only in work.title:
            found = measure(work, limit)
            table(found, console)
            records += found
    environment = _measure.environment()
    if plot_file:
        plot(records, plot_file)
        for (d, name), p in sorted(exponents(records)[1].items()):
            console.print(f"d = {d}, {name}: n^{p:.2f}")
    if json_file:
        json_file.write_text(json.dumps({"environment": environment, "records": records}, indent=1) + "\n")
    console.print(environment)


if __name__ == "__main__":
    main()
