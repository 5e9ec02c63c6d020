"""Mean shift clustering: an estimator for scikit-learn, made of the registry's mean-shift steps.

A walk repeats the step from a point until it has come to rest, at a mode of the data's density. Points whose walks end at the
same mode are a cluster. Walks that come within `tol` bandwidths of each other go on as one, and those at rest are no longer
computed: so later steps take less time than the first ones. A gaussian's density is smooth at the scale of its bandwidth: where a
walk goes slowly in it, it goes up to an eighth of a bandwidth at a time.

References
----------
Comaniciu and Meer 2002, Mean shift: a robust approach toward feature space analysis. Cheng 1995, Mean shift, mode seeking, and
clustering, for blurring. Barzilai and Borwein 1988, Two-point step size gradient methods, for longer strides.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any

import numpy as np
from array_api_compat import is_dask_array

import registry

try:
    from scipy.spatial.distance import cdist
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, _fit_context
    from sklearn.utils import check_array
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

    from kernels._bandwidth import DTYPES, FLAT_PER_GAUSSIAN, KERNELS, estimate_bandwidth
    from kernels._walks import Frame, Walks, cells, distinct, mass_within, modes, nearest, one_of_each_cell, settled, tree
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"kernels.cluster {registry.missing('sklearn') or error}") from error

__all__ = ["FLAT_PER_GAUSSIAN", "MeanShift", "estimate_bandwidth"]

Array = np.ndarray[Any, Any]

MERGED = 3 / 4  # of the rows, the most distinct ones that are worth more than they cost: a step of weights takes longer


class MeanShift(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn states no types
    """Mean shift clustering: points whose walks uphill, in the density of the data, end at the same mode are a cluster.

    Rows may weigh more or less than one point (``sample_weight``). Equal rows, such as the colours of pixels, walk as one row of
    their weight where that takes less time: clusters are the same, up to rounding. Walks that a `callback` or `history_` shows
    stay apart.

    A dask array is clustered where its blocks are: `labels_` is a dask array with blocks of the same rows, which are computed.
    Weights, a grid of seeds, `callback` and `history` do not go with it.

    Parameters
    ----------
    bandwidth : float, default=None
        How far a point sees, in the unit of the data; `estimate_bandwidth` says, if None.
    kernel : {"gaussian", "triangular", "epanechnikov", "flat"}, default="gaussian"
        How a datum's weight falls with its distance, as in `meanshift_step`.
    seeding : {"points", "grid"} or array-like of shape (n_seeds, n_features), default="points"
        Where the walks begin that find the modes: at all points, at one point of each cell of a grid with the bandwidth as its
        edge, or at these places.
    blurring : bool, default=False
        Whether the data walk too, all at once, as in the lecture. All points are computed until the last is at rest.
    labels : {"attractor", "nearest"}, default="attractor"
        Whether a point belongs to the mode where its own walk ends, or to the nearest one, as in scikit-learn. The first takes
        a walk from every point, whatever the seeding.
    min_bin_freq : int, default=1
        How many points, or what weight of them, a cell of the grid must hold to be a seed; for ``seeding="grid"``.
    cluster_all : bool, default=True
        Whether all points get a label. If not, a point gets -1 where what `labels` compares with the modes, the end of its walk
        or the point itself, is farther than a bandwidth from all of them.
    max_iter : int, default=300
        The most steps of a walk.
    tol : float, default=1e-3
        A walk is at rest when its step, and the way it would yet go if its steps went on shrinking as they do, are no longer
        than this part of the bandwidth. Walks that come as close as that to each other go on as one.
    variant : str, default="auto"
        The variant of `meanshift_step` that computes the steps: a name, a device or "auto", as in `registry.get`.
    history : bool, default=False
        Whether to keep where the seeds (with `blurring`, the points) were after each step.
    callback : callable, default=None
        Called after each step of the walks from the seeds, as ``callback(step, points, moving)``: the number of steps so far,
        where all seeds are, and how many walks have not come to rest.
    progress : bool, default=False
        Whether to show a bar while walking.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (n_clusters, n_features)
        The modes; those with more data, by their weights, within a bandwidth come first.
    labels_ : ndarray or dask array, shape (n_samples,)
        The cluster of each point.
    n_iter_ : int
        The number of steps of the longest walk.
    bandwidth_ : float
        The bandwidth used.
    history_ : ndarray, shape (n_iter_ + 1, n_seeds, n_features)
        Where the seeds were at first and after each step; only with ``history=True``. Rows without weight are no seeds.
    n_features_in_ : int
        The number of coordinates.
    feature_names_in_ : ndarray, shape (n_features_in_,)
        The names of the columns, where the data had them.

    Examples
    --------
    >>> from kernels.cluster import MeanShift
    >>> MeanShift(bandwidth=1.0).fit_predict([[0.0, 0.0], [0.1, 0.2], [9.0, 9.0], [9.1, 8.8], [9.2, 9.1]]).tolist()
    [1, 1, 0, 0, 0]
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012  # as scikit-learn states them
        "bandwidth": [Interval(Real, 0, None, closed="neither"), None],
        "kernel": [StrOptions(set(KERNELS))],
        "seeding": [StrOptions({"points", "grid"}), "array-like"],
        "blurring": ["boolean"],
        "labels": [StrOptions({"attractor", "nearest"})],
        "min_bin_freq": [Interval(Integral, 1, None, closed="left")],
        "cluster_all": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "variant": [str],
        "history": ["boolean"],
        "callback": [callable, None],
        "progress": ["boolean"],
    }

    def __init__(
        self,
        *,
        bandwidth: float | None = None,
        kernel: str = "gaussian",
        seeding: Any = "points",
        blurring: bool = False,
        labels: str = "attractor",
        min_bin_freq: int = 1,
        cluster_all: bool = True,
        max_iter: int = 300,
        tol: float = 1e-3,
        variant: str = "auto",
        history: bool = False,
        callback: Callable[[int, Array, int], object] | None = None,
        progress: bool = False,
    ) -> None:
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.seeding = seeding
        self.blurring = blurring
        self.labels = labels
        self.min_bin_freq = min_bin_freq
        self.cluster_all = cluster_all
        self.max_iter = max_iter
        self.tol = tol
        self.variant = variant
        self.history = history
        self.callback = callback
        self.progress = progress

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MeanShift:
        """Find the modes, and the cluster of each point.

        Parameters
        ----------
        X : array-like or dask array, shape (n_samples, n_features)
            The points: float32 or float64, anything else becomes float64.
        y : ignored
            Here for scikit-learn's pipelines.
        sample_weight : array-like, shape (n_samples,), optional
            How many points each row stands for, finite and at least 0; 1 if not given. A row of weight 0 gets a label, as
            `predict` gives it, and has no influence.

        Returns
        -------
        MeanShift
            The estimator itself.

        Raises
        ------
        ValueError
            If the points or parameters are not what is described above, or no point is within a bandwidth of any seed.
        """
        if is_dask_array(X):
            _of_dask().fit(self, X, sample_weight)
            return self
        X = validate_data(self, X, dtype=DTYPES)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        estimated = self.bandwidth or estimate_bandwidth(X, kernel=self.kernel, sample_weight=sample_weight)
        self.bandwidth_ = float(estimated)
        data, mass, which = self._merged(X, sample_weight)
        self._frame = Frame.of(data, self.bandwidth_, self.tol, self.kernel)
        self._data, self._mass = self._frame.enter(data), mass
        self._weights = None if (mass == mass[0]).all() else mass / mass.max()
        seeds = self._seeds(X)
        places: list[Array] = []
        with self._bar(len(seeds)) as report:
            ends, self.n_iter_ = self._blur(places, report) if self.blurring else self._walk(seeds, places, report)
        ends_alone = one_of_each_cell(ends, self._frame.edge(ends))
        self._keep_modes(ends_alone, mass_within(ends_alone, self._data, self._weights, self._frame.bandwidth), X.dtype)
        if self.history:
            self.history_ = np.stack([self._frame.leave(z).astype(X.dtype) for z in places])
        if self.labels == "attractor" and not self.blurring and seeds is not self._data:
            ends, _ = self._walk(self._data)
        self._labels = self._nearest(self._data if self.labels == "nearest" else ends)
        self.labels_ = self._labels[which]
        if (which < 0).any():
            self.labels_[which < 0] = self._labels_of(self._frame.enter(X[which < 0]))
        return self

    def predict(self, X: Any) -> Any:
        """Return the cluster of each point, as `labels` says.

        After blurring the data are no longer where they were, and "attractor" means the cluster of the nearest point of the data.

        Parameters
        ----------
        X : array-like or dask array, shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray or dask array, shape (n_samples,)
            Row numbers of `cluster_centers_`, or -1. Those of a dask array are lazy, unless its points walk among a dask array's.
        """
        check_is_fitted(self)
        if is_dask_array(X) or is_dask_array(self._data):
            return _of_dask().predict(self, X)
        return self._labels_of(self._frame.enter(validate_data(self, X, dtype=DTYPES, reset=False)))

    def transform(self, X: Any) -> Any:
        """Return the distance of each point from each of the modes.

        Parameters
        ----------
        X : array-like or dask array, shape (n_samples, n_features)
            Points.

        Returns
        -------
        ndarray or dask array, shape (n_samples, n_clusters)
            With a column for each row of `cluster_centers_`; lazily for a dask array.
        """
        check_is_fitted(self)
        if is_dask_array(X):
            return _of_dask().transform(self, X)
        X = validate_data(self, X, dtype=DTYPES, reset=False)
        distances: Array = cdist(X, self.cluster_centers_).astype(X.dtype, copy=False)
        return distances

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _merged(self, X: Array, weights: Array | None) -> tuple[Array, Array, Array]:
        """Return the data that have any weight, their weights, and which of them each row is, -1 for a row without weight.

        Equal rows become one, unless someone looks at the walks, or they are few.
        """
        everyone = np.arange(len(X))
        alike = weights is None or bool((weights == weights[0]).all())
        shown = self.history or self.callback is not None
        rows, which, mass = (everyone,) * 3 if shown else distinct(X, weights)
        if shown or (alike and len(rows) > MERGED * len(X)):
            rows, which, mass = everyone, everyone, np.ones(len(X)) if weights is None else weights
        there = mass > 0
        return X[rows[there]], mass[there], np.where(there, np.cumsum(there) - 1, -1)[which]

    def _labels_of(self, points: Array) -> Array:
        """Return the cluster of each point, given in the frame."""
        if self.labels == "nearest":
            return self._nearest(points)
        if self.blurring:
            known: Array = self._labels[tree(self._data).query(points)[1]]
            return known
        return self._nearest(self._walk(points)[0])

    def _seeds(self, X: Array) -> Array:
        """Return where the walks begin, in the frame."""
        given = not isinstance(self.seeding, str)
        if self.blurring and (given or self.seeding != "points"):
            raise ValueError("MeanShift: blurring moves the data themselves, so seeding must be 'points'")
        if not given and (self.seeding == "points" or not self._frame.bandwidth):
            return self._data
        if given:
            seeds = check_array(self.seeding, dtype=X.dtype)
            if seeds.shape[1] != X.shape[1]:
                raise ValueError(f"MeanShift: seeding has {seeds.shape[1]} features, but X has {X.shape[1]}")
            return self._frame.enter(seeds)
        z = self._data.astype(float)
        _, cell = cells(z, max(self._frame.bandwidth, self._frame.edge(z)))
        sizes, counts = np.bincount(cell), np.bincount(cell, self._mass)
        means = np.stack([np.bincount(cell, column * self._mass) for column in z.T], axis=1) / counts[:, None]
        away = ((z - means[cell]) ** 2).sum(axis=1)
        order = np.lexsort((*z.T, away, cell))  # each cell's point next to its mean comes first
        closest = order[np.cumsum(sizes) - sizes]
        if not (counts >= self.min_bin_freq).any():
            raise ValueError(
                f"MeanShift: no cell holds min_bin_freq={self.min_bin_freq} points: the fullest has {counts.max():g}"
            )
        chosen: Array = self._data[closest[counts >= self.min_bin_freq]]
        return chosen

    def _walk(self, seeds: Array, places: list[Array] | None = None, report: Any = None) -> tuple[Array, int]:
        """Walk until all are at rest. Return where the walks end, and the number of steps of the longest.

        `places`, where given, gets the seeds and where they are after each step; `report` is called with how many walks go on.
        """
        frame, dtype = self._frame, np.result_type(seeds, self._data)
        step, data = registry.get("meanshift_step", self.variant), self._data.astype(dtype, copy=False)
        call = {"data": data, "weights": self._weights_in(dtype), "kernel": self.kernel, "check_finite": False}
        walks, steps = Walks.of(seeds.astype(dtype), frame), 0
        self._note(places, walks.z)
        while frame.bandwidth and steps < self.max_iter and len(walks.moving):
            walks.join()
            walks.advance(step(walks.here, frame.bandwidth, **call), frame.bandwidth, self.kernel)
            steps += 1
            if places is not None:
                self._note(places, walks.ends)
                self._tell(steps, walks.z, walks.joined, len(walks.moving), report)
        return walks.ends, steps

    def _blur(self, places: list[Array], report: Any) -> tuple[Array, int]:
        """Move all the data by steps towards themselves until they are at rest; return them, and the number of steps."""
        step, z, steps = registry.get("meanshift_step", self.variant), self._data, 0
        everyone, moving, weights = np.arange(len(z)), len(z), self._weights_in(z.dtype)
        self._note(places, z)
        while self._frame.bandwidth and steps < self.max_iter and moving:
            moved = step(z, self._frame.bandwidth, weights=weights, kernel=self.kernel, check_finite=False)
            length = np.sqrt(((moved - z).astype(float) ** 2).sum(axis=1))
            moving, z, steps = int((length > self._frame.edge(z)).sum()), moved, steps + 1
            self._note(places, z)
            self._tell(steps, z, everyone, moving, report)
        return z, steps

    def _weights_in(self, dtype: Any) -> Array | None:
        """Return the data's weights in a dtype, or None where all weigh the same."""
        return None if self._weights is None else self._weights.astype(dtype)

    def _keep_modes(self, ends: Array, counts: Array, dtype: Any) -> None:
        """Keep those ends that are modes, and how far they reach; `counts` are of the data within a bandwidth of each."""
        found = modes(ends, counts, self._frame.bandwidth, everywhere=self.kernel == "gaussian")
        if not len(found):
            raise ValueError(
                f"No point was within bandwidth={self.bandwidth_:f} of any seed: choose other seeds, or a larger bandwidth"
            )
        self._modes, self._reach = found, np.inf if self.cluster_all else self._frame.bandwidth
        self.cluster_centers_ = self._frame.leave(found).astype(dtype)

    def _nearest(self, points: Array) -> Array:
        """Return the mode nearest to each point, or -1 where that is beyond a bandwidth and not all points are clustered."""
        return nearest(points, self._modes, self._reach)

    def _note(self, places: list[Array] | None, z: Array) -> None:
        if places is not None and self.history:
            places.append(z.copy())

    def _tell(self, steps: int, z: Array, joined: Array, moving: int, report: Any) -> None:
        """Tell the bar and the callback, if there is one, of a step."""
        if report is not None:
            report(moving)
            if self.callback is not None:
                self.callback(steps, self._frame.leave(z[settled(joined)]), moving)

    def _bar(self, walks: int) -> Any:
        """Return a context that gives a function to call with the number of walks that go on."""
        if not self.progress:
            return nullcontext(lambda moving: None)
        return Bar(walks)


def _of_dask() -> Any:
    from kernels import _walks_dask

    return _walks_dask


class Bar:
    """A bar of rich's on stderr, where somebody watches it, which fills as walks come to rest."""

    def __init__(self, walks: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        where = Console(stderr=True)
        self.walks, self.bar = walks, Progress(console=where, transient=True, disable=not where.is_terminal)
        self.task = self.bar.add_task("walking", total=walks)

    def __enter__(self) -> Callable[[int], None]:
        self.bar.start()
        return lambda moving: self.bar.update(self.task, completed=self.walks - moving)

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
