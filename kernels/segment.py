"""Mean-shift filtering and segmentation of pictures: every pixel gets the colour of the mode where its walk ends.

In the space of colours pixels of one colour walk as one, wherever they are. In the joint domain of places and colours each pixel
walks for itself, and neighbours whose walks end close to each other are a region.

References
----------
Comaniciu and Meer 2002, Mean shift: a robust approach toward feature space analysis, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import registry
from kernels._bandwidth import KERNELS
from kernels.cluster import MeanShift

try:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from skimage.color import lab2rgb, rgb2lab
    from skimage.util import img_as_uint
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"kernels.segment {registry.missing('skimage') or error}") from error

Array = np.ndarray[Any, Any]

SPACES = ("rgb", "lab", "rgb+xy", "lab+xy")
WHITE = {"lab": 100.0, "rgb": 255.0}  # how far from black, in the unit of each space of colours
RANGE = 0.08  # of the way from black to white


class Segmentation(NamedTuple):
    """A segmented picture.

    Attributes
    ----------
    labels : ndarray of int64, shape (rows, columns)
        The region of each pixel: in a space of colours its cluster, wherever it lies; else a connected part of the picture.
    colours : ndarray of float64, shape (regions, 3)
        The colour of each region in sRGB, from 0 to 1: the mean of its pixels' modes. ``colours[labels]`` paints the picture.
    filtered : ndarray of float64, shape (rows, columns, 3)
        The colour of each pixel's mode, before small regions join others.
    range_bandwidth : float
        The bandwidth of colours, in the unit of the space.
    n_iter : int
        The number of steps of the longest walk.
    """

    labels: Array
    colours: Array
    filtered: Array
    range_bandwidth: float
    n_iter: int


def segment(
    image: Any,
    *,
    space: str = "lab",
    range_bandwidth: float | None = None,
    spatial_bandwidth: float = 8.0,
    kernel: str = "flat",
    min_region: int = 20,
    max_iter: int = 300,
    tol: float = 1e-2,
    variant: str = "auto",
    callback: Callable[[int, Array, int], object] | None = None,
) -> Segmentation:
    """Segment a picture by mean shift.

    Parameters
    ----------
    image : array-like, shape (rows, columns) or (rows, columns, 1 or 3)
        Grey or sRGB: uint8, uint16, or floats from 0 to 1, of which 16 bits are looked at.
    space : {"lab", "rgb", "lab+xy", "rgb+xy"}
        Where pixels walk: among colours, in CIE Lab or in sRGB with its levels from 0 to 255; or in the joint domain of colours
        and places.
    range_bandwidth : float or None
        The bandwidth of colours, in the unit of the space; if None, 8 hundredths of the way from black to white: 8.0 in Lab, 20.4
        in sRGB.
    spatial_bandwidth : float
        The bandwidth of places, in pixels; in the joint domain.
    kernel : {"flat", "gaussian", "triangular", "epanechnikov"}
        How a pixel's weight falls with its distance, as in `meanshift_step`. In the joint domain the distance is of places and
        colours together, each in its bandwidth; for a gaussian that is the product of Comaniciu and Meer's equation 35.
    min_region : int
        In the joint domain: a region of fewer pixels joins the region beside it whose colour is nearest.
    max_iter, tol, variant, callback
        As in `kernels.cluster.MeanShift`.

    Returns
    -------
    Segmentation

    Raises
    ------
    TypeError, ValueError
        If an argument is not what is described above.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels.segment import segment
    >>> segment(np.uint8([[10, 12, 200], [11, 201, 202]]), space="rgb").labels.tolist()
    [[1, 1, 0], [1, 0, 0]]
    """
    pixels = _colours(image)
    if space not in SPACES:
        raise ValueError(f"segment: argument space: expected {', '.join(SPACES)}, got {space!r}")
    if kernel not in KERNELS:
        raise ValueError(f"segment: argument kernel: expected {', '.join(KERNELS)}, got {kernel!r}")
    colours, _, joint = space.partition("+")
    h = RANGE * WHITE[colours] if range_bandwidth is None else range_bandwidth
    for name, value in {"range_bandwidth": h, "spatial_bandwidth": spatial_bandwidth}.items():
        if not 0 < value < np.inf:
            raise ValueError(f"segment: argument {name}: expected a finite number above 0, got {value!r}")
    walks = {"kernel": kernel, "max_iter": max_iter, "tol": tol, "variant": variant}
    if not joint:
        return _by_colour(pixels, colours, h, walks | {"callback": callback})
    places = np.moveaxis(np.indices(pixels.shape[:2]), 0, 2)
    points = np.concatenate([places / spatial_bandwidth, _into(colours, pixels) / h], axis=2)
    ends, steps = _ends(points.reshape(-1, 5).astype(np.float32), walks, callback)
    ends = ends.reshape(points.shape)
    modes = _out_of(colours, ends[..., 2:] * h)
    labels = _absorbed(_connected(ends), ends[..., 2:], min_region)
    return Segmentation(labels, _out_of(colours, _means(labels, ends[..., 2:]) * h), modes, h, steps)


def _colours(image: Any) -> Array:
    """Return a picture's pixels, (rows, columns, 3), in sRGB from 0 to 65535."""
    image = np.asarray(image)
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise TypeError(f"segment: argument image: expected uint8, uint16 or floats from 0 to 1, got {image.dtype}")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise ValueError(f"segment: argument image: expected rows, columns and 1 or 3 channels, got shape {image.shape}")
    if image.dtype.kind == "f" and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"segment: argument image: expected floats from 0 to 1, got {image.min():g} to {image.max():g}")
    return np.broadcast_to(img_as_uint(image), (*image.shape[:2], 3))


def _into(space: str, pixels: Array) -> Array:
    """Return 16-bit colours in the space where they walk."""
    srgb: Array = pixels / 65535
    return rgb2lab(srgb) if space == "lab" else srgb * WHITE[space]


def _out_of(space: str, colours: Array) -> Array:
    """Return colours of the space where they walk in sRGB, from 0 to 1."""
    srgb: Array = lab2rgb(colours) if space == "lab" else colours / WHITE[space]
    return np.clip(srgb, 0, 1).astype(float)


def _by_colour(pixels: Array, space: str, bandwidth: float, walks: dict[str, Any]) -> Segmentation:
    """Cluster the colours that occur, each with as much weight as it has pixels."""
    padded = np.zeros((*pixels.shape[:2], 4), np.uint16)
    padded[..., :3] = pixels
    codes, place, counts = np.unique(padded.view(np.uint64).ravel(), return_inverse=True, return_counts=True)
    points = _into(space, codes.view(np.uint16).reshape(-1, 4)[:, :3]).astype(np.float32)
    model = MeanShift(bandwidth=bandwidth, **walks).fit(points, sample_weight=counts)
    labels = model.labels_[place].reshape(pixels.shape[:2])
    colours = _out_of(space, model.cluster_centers_)
    return Segmentation(labels, colours, colours[labels], bandwidth, model.n_iter_)


def _ends(joint: Array, walks: dict[str, Any], callback: Callable[[int, Array, int], object] | None) -> tuple[Array, int]:
    """Return where the walks from all points end, and the number of steps of the longest."""
    last = joint

    def keep(step: int, points: Array, moving: int) -> None:
        nonlocal last
        last = points
        if callback is not None:
            callback(step, points, moving)

    model = MeanShift(bandwidth=1.0, callback=keep, **walks).fit(joint)
    return last, model.n_iter_


def _pairs(values: Array) -> tuple[Array, Array]:
    """Return what each two pixels hold that lie side by side or one below the other: (pairs, ...) twice."""
    beside = values[:, :-1], values[:, 1:]
    below = values[:-1], values[1:]
    first, second = (np.concatenate([a.reshape(-1, *values.shape[2:]) for a in side]) for side in zip(beside, below, strict=True))
    return first, second


def _joined(first: Array, second: Array, count: int) -> Array:
    """Return the component of each of so many things, of which some are joined."""
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    labels: Array = connected_components(graph, directed=False)[1]
    return labels.astype(np.int64)


def _connected(ends: Array) -> Array:
    """Return the region of each pixel: neighbours whose walks end within both bandwidths of each other are in one."""
    a, b = _pairs(ends)
    near = (((a - b)[:, :2] ** 2).sum(axis=1) <= 1) & (((a - b)[:, 2:] ** 2).sum(axis=1) <= 1)
    pixels = np.arange(ends[..., 0].size).reshape(ends.shape[:2])
    first, second = _pairs(pixels)
    return _joined(first[near], second[near], pixels.size).reshape(pixels.shape)


def _means(labels: Array, colours: Array) -> Array:
    """Return the mean colour of each region."""
    region = labels.ravel()
    sums = [np.bincount(region, channel.ravel()) for channel in np.moveaxis(colours, 2, 0)]
    means: Array = np.stack(sums, axis=1) / np.bincount(region)[:, None]
    return means


def _absorbed(labels: Array, colours: Array, least: int) -> Array:
    """Return the labels after regions of fewer pixels than `least` have joined the regions beside them of the nearest colour."""
    while True:
        sizes = np.bincount(labels.ravel())
        if len(sizes) == 1 or sizes.min() >= least:
            return labels
        a, b = _pairs(labels)
        a, b = np.unique(np.concatenate([np.stack([a, b]), np.stack([b, a])], axis=1)[:, np.tile(a != b, 2)], axis=1)
        a, b = a[sizes[a] < least], b[sizes[a] < least]
        means = _means(labels, colours)
        order = np.lexsort((((means[a] - means[b]) ** 2).sum(axis=1), a))
        small, first = np.unique(a[order], return_index=True)
        labels = _joined(small, b[order][first], len(sizes))[labels]
