"""The estimator beside scikit-learn's: the time of `fit`, on labels that agree.

    pip install -c constraints.txt -e '.[all,peers]'
    python bench/clusters.py [--output bench/results/clusters.json]

The lecture's six clusters with a flat kernel of bandwidth 2.5 and all points as seeds, as scikit-learn has it; the data of its
issue 28926, two hundred points of two values, as they come (24.9 s there, until scikit-learn 1.5 ended walks that are at rest);
the digits; and larger sets, which it would take hours for, with ours alone. Works of both are timed in turn, and a ratio is
one of medians. Nothing counts whose labels agree with scikit-learn's, or with the clusters drawn, by an adjusted Rand index
below 0.99.
"""

import functools
import json
import statistics
import time
import tracemalloc
from pathlib import Path

import click
import numpy as np
import sklearn.cluster
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from kernels import _measure
from kernels.cluster import MeanShift

LEAST = 0.99  # of the adjusted Rand index
OURS, PEER = "kernels.cluster", "scikit-learn"


def six_clusters(n):
    """Return the lecture's points and their clusters: six normal ones of variance 5, with centres drawn from [-35, 35]."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 6
    return (rng.uniform(-35, 35, (6, 2))[labels] + rng.normal(0, 5**0.5, (n, 2))).astype(np.float32), labels


def of(points, drawn, ours, peer=None, repeats=5, peers=1):
    """Return a work: points, the clusters drawn, and functions that make an estimator."""
    return {"points": points, "drawn": drawn, "ours": ours, "peer": peer, "repeats": repeats, "peers": peers}


def works():
    """Yield the name of each work and the work."""
    flat = functools.partial(MeanShift, bandwidth=2.5, kernel="flat", labels="nearest")
    theirs = functools.partial(sklearn.cluster.MeanShift, bandwidth=2.5)
    for n, peers in ((1_500, 3), (10_000, 1)):
        yield f"flat, all points as seeds, n = {n:,}", of(six_clusters(n)[0], None, flat, theirs, peers=peers)
    two_values = np.repeat([[1.0], [0.0]], 100, axis=0)
    yield "two values, n = 200", of(two_values, None, MeanShift, sklearn.cluster.MeanShift, repeats=25, peers=5)
    digits = load_digits().data
    wide = {"bandwidth": 26.0}
    near = functools.partial(MeanShift, kernel="flat", labels="nearest", **wide)
    yield "flat, digits, n = 1,797, d = 64", of(digits, None, near, functools.partial(sklearn.cluster.MeanShift, **wide))
    for n, repeats in ((100_000, 3), (1_000_000, 1)):
        yield f"gaussian, n = {n:,}", of(*six_clusters(n), functools.partial(MeanShift, bandwidth=2.5), repeats=repeats)


def seconds(make, points):
    """Return the seconds that a fit takes, and the labels."""
    since = time.perf_counter()
    labels = make().fit(points).labels_
    return time.perf_counter() - since, labels


def record(name, work):
    """Return what was measured of a work."""
    points = work["points"]
    tracemalloc.start()
    labels = work["ours"]().fit(points).labels_  # compiles
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    taken = {OURS: [], PEER: []}
    expected = work["drawn"]
    for i in range(max(work["repeats"], work["peers"])):
        if work["peer"] is not None and i < work["peers"]:
            one, expected = seconds(work["peer"], points)
            taken[PEER].append(one)
        if i < work["repeats"]:
            taken[OURS].append(seconds(work["ours"], points)[0])
    agreement = adjusted_rand_score(expected, labels)
    kept = {
        "work": name,
        "clusters": int(labels.max()) + 1,
        "adjusted Rand index": agreement,
        "peak bytes a point": peak / len(points),
    }
    if agreement < LEAST:
        return kept | {"status": f"WRONG: the labels agree by {agreement:.3f}"}
    return kept | {
        "status": "timed",
        "seconds": {who: statistics.median(them) for who, them in taken.items() if them},
        "samples": taken,
    }


@click.command()
@click.option("--output", default=Path(__file__).parent / "results" / "clusters.json", type=click.Path(path_type=Path))
@click.option("--only", default="", help="A part of a work's name.")
def main(output, only):
    """Measure each work, print a table, and keep the records."""
    busy = _measure.busy()
    records = [record(name, work) for name, work in works() if only in name]
    table = Table("work", "clusters", "ours", "scikit-learn", "ratio", "bytes a point")
    for each in records:
        ours, theirs = (each.get("seconds", {}).get(who) for who in (OURS, PEER))
        times = (_measure.duration(ours) if ours else each["status"], _measure.duration(theirs) if theirs else "")
        ratio = f"{theirs / ours:,.0f}x" if ours and theirs else ""
        table.add_row(each["work"], str(each["clusters"]), *times, ratio, f"{each['peak bytes a point']:,.0f}")
    Console().print(table)
    kept = {"environment": _measure.environment() | {"busy": busy, "scikit-learn": sklearn.__version__}, "records": records}
    output.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
