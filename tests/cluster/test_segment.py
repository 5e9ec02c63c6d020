"""Segmentation of pictures: by its definition on small ones, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.color import rgb2lab
from skimage.measure import label

from kernels.cluster import MeanShift
from kernels.segment import SPACES, segment

FEW = settings(max_examples=min(15, settings.default.max_examples))
PICTURES = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7), st.just(3)), elements=st.sampled_from([0, 9, 60, 200])
)


def run(image, **options):
    return segment(image, variant="broadcast", **options)


@FEW
@given(PICTURES)
def test_in_a_space_of_colours_the_clusters_are_those_of_all_pixels(image):
    found = run(image, space="lab")
    pixels = rgb2lab(image).reshape(-1, 3).astype(np.float32)
    model = MeanShift(bandwidth=8.0, kernel="flat", tol=1e-2, variant="broadcast").fit(pixels)
    np.testing.assert_array_equal(found.labels.ravel(), model.labels_)
    np.testing.assert_array_equal(found.filtered, found.colours[found.labels])


@FEW
@given(PICTURES, st.sampled_from(["rgb+xy", "lab+xy"]), st.integers(1, 6))
def test_regions_are_connected_and_not_too_small(image, space, least):
    found = run(image, space=space, min_region=least)
    sizes = np.bincount(found.labels.ravel())
    assert sizes.min() >= least or len(sizes) == 1
    assert label(found.labels + 1, connectivity=1).max() == len(sizes) == len(found.colours)
    for region, colour in enumerate(found.colours):
        mean = found.filtered[found.labels == region].mean(axis=0)
        if space == "rgb+xy":  # Lab's mean is another than sRGB's
            # A mode is rounded twice in float32 on its way out, and each of the two means adds up so many in float64.
            rounding = np.finfo(np.float32).eps + sizes[region] * np.finfo(float).eps
            assert (np.abs(colour - mean) <= rounding * np.abs(found.filtered).max()).all()


@FEW
@given(PICTURES, st.sampled_from(SPACES))
def test_a_turned_picture_has_the_turned_regions(image, space):
    def edges(labels):
        return labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]

    found, turned = run(image, space=space), run(image[::-1], space=space)
    for a, b in zip(edges(found.labels), edges(turned.labels[::-1]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("space", SPACES)
def test_depth_and_grey_change_nothing(space):
    grey = np.uint8([[0, 3, 90, 91, 255], [1, 2, 88, 93, 250]])
    found = run(np.repeat(grey[..., None], 3, axis=2), space=space)
    for image in (grey, grey[..., None], np.uint16(257) * grey, grey / 255, np.float32(grey / 255)):
        again = run(image, space=space)
        np.testing.assert_array_equal(again.labels, found.labels)
        np.testing.assert_array_equal(again.colours, found.colours)


def test_two_halves_are_apart_until_the_bandwidth_covers_both_colours():
    image = np.zeros((8, 40), np.uint8)
    image[:, 20:] = 200
    for space in SPACES:
        assert [len(run(image, space=space, range_bandwidth=h).colours) for h in (20, 1e4)] == [2, 1]


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (np.zeros((2, 2), int), {}, TypeError, "argument image: expected uint8, uint16 or floats from 0 to 1, got int64"),
        (np.zeros((2, 2, 4)), {}, ValueError, r"1 or 3 channels, got shape \(2, 2, 4\)"),
        (np.zeros((0, 2)), {}, ValueError, r"got shape \(0, 2, 1\)"),
        (np.full((2, 2), 1.5), {}, ValueError, "expected floats from 0 to 1, got 1.5 to 1.5"),
        (np.zeros((2, 2)), {"space": "hsv"}, ValueError, "argument space: expected rgb, lab, rgb"),
        (np.zeros((2, 2)), {"kernel": "round"}, ValueError, "argument kernel: expected gaussian"),
        (np.zeros((2, 2)), {"range_bandwidth": 0}, ValueError, "argument range_bandwidth: expected a finite number above 0"),
        (np.zeros((2, 2)), {"spatial_bandwidth": np.nan}, ValueError, "argument spatial_bandwidth: expected a finite number"),
    ],
)
def test_what_is_no_picture_is_refused(image, options, error, message):
    with pytest.raises(error, match=message):
        segment(image, **options)
