"""Cluster the lecture's points by mean shift: five blurring steps, as other code would use the zoo.

python examples/cluster.py [VARIANT]
"""

import sys

import numpy as np

from registry import get


def main():
    rng = np.random.default_rng(42)
    centroids = rng.uniform(-35, 35, (6, 2))
    points = np.concatenate([rng.multivariate_normal(centre, 5 * np.eye(2), 250) for centre in centroids])
    step = get("meanshift_step", *sys.argv[1:2])
    for i in range(5):
        moved = step(points, bandwidth=2.5)
        print(f"step {i + 1}: the points moved by {np.linalg.norm(moved - points, axis=1).mean():.3g} on average")
        points = moved
    print(f"they now lie on {len(np.unique(np.round(points), axis=0))} places; the data were drawn round {len(centroids)}")


if __name__ == "__main__":
    main()
