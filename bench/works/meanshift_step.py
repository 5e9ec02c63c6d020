"""What is measured of meanshift_step."""

import functools

import numpy as np

from works import Work

KERNELS = ("gaussian", "triangular", "epanechnikov", "flat")


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


def centred(points, rng, n, d):
    """Draw points and move their mean to zero, since not every peer does that for itself."""
    x = points(n, d, rng)
    return (x - x.mean(axis=0),)


def step(points, n, d, bandwidth=2.5, kernel="gaussian", **more):
    """Return a step as a work."""
    heading = f"{points.__name__}, {{kernel}}, {{dtype}}, n = {{n:,}}, d = {{d}}"
    parameters = {"bandwidth": bandwidth, "kernel": kernel}
    return Work("meanshift_step", functools.partial(centred, points), {"n": n, "d": d}, heading, parameters, **more)


BRUTE = ("torch tiles", "KeOps", "SciPy")
WORKS = [
    step(clusters, 10_000, 2, ours=("numba",), peers=(*BRUTE, "KeOps, one sum")),
    step(clusters, 10_000, 2, kernel="flat", ours=("numba",), peers=("scikit-learn",)),
    step(clusters, 1_500, 2, steps=5, ours=("loop", "numba"), peers=BRUTE),
    *[step(clusters, n, 2, dtype="float64", ours=("numba",), peers=("torch tiles", "SciPy")) for n in (1_500, 10_000)],
    step(normal, 10_000, 16, 2.8, ours=("numba", "tiles"), peers=BRUTE),
    step(normal, 5_000, 64, 5.6, ours=("numba", "tiles"), peers=BRUTE),
    *[
        step(constant_density, n, d, 1.0, kernel, ours=("numba_grid",))
        for d in (2, 3)
        for kernel in KERNELS
        for n in (10_000, 100_000, 1_000_000)
    ],
    *[step(clusters, n, d, ours=("numba_grid", "fast_gauss")) for d in (2, 3) for n in (100_000, 1_000_000)],
]
# The growth of time with n, for the picture: each as far as the limit lets it.
GROWTH = [
    step(points, n, d, bandwidth, ours=("loop", "torch", "numba", *more), peers=BRUTE)
    for points, d, bandwidth, more in (
        (clusters, 2, 2.5, ("numba_grid", "fast_gauss")),
        (clusters, 3, 2.5, ("numba_grid", "fast_gauss")),
        (normal, 16, 2.8, ("tiles",)),
    )
    for n in (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
]
ON_DEVICE = [
    step(clusters, 1_500, 2, steps=5),
    *[
        step(points, n, d, bandwidth)
        for points, bandwidth in ((clusters, 2.5), (constant_density, 1.0))
        for d in (2, 3)
        for n in (10_000, 100_000, 1_000_000)
    ],
    *[step(clusters, n, 2, options={"batch_size": (16, 64, 256, 1024, 4096, 16384)}) for n in (1_500, 10_000, 100_000)],
]


def ceiling(record):
    """Name the device's exponentials for a gaussian in float32; the other kernels' ceilings were not measured."""
    return "exp2" if record["parameters"]["kernel"] == "gaussian" and record["dtype"] == "float32" else None


def crossing_tiles(stand_in):
    """Yield steps with coordinates in registers, several points for each thread, and more coordinates than registers hold."""
    rng = np.random.default_rng(0)
    shapes = [(9, 17, 2), (17, 9, 1), (9, 9, 9)] if stand_in else [(300, 290, 2), (33_000, 290, 3), (300, 290, 11)]
    for n, m, d in shapes:  # points, data, coordinates; a stand-in's tiles are smaller
        x, data = rng.standard_normal((n, d)), rng.standard_normal((m, d))
        x[:5] += 100  # where a gaussian weighs relative to the nearest data
        for kernel in KERNELS:
            yield (x, 1.5), {"data": data, "kernel": kernel}
