"""Oracles: scikit-image, ITK, and bars whose response is known by hand."""

import math

import cv2
import numpy as np
import pytest
from skimage.filters import sato

from stenoscope.vesselness.hessian import MEASURES, VesselFilter, vesselness

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

SIGMAS = (2, 3, 4, 5, 6)


def bar(width, size=128, depth=40.0, angle=0.0):
    """A dark bar of any width and direction through the centre, drawn at 8 times the resolution."""
    across = (np.arange(size * 8) - size * 4 + 0.5) / 8
    x, y = np.meshgrid(across, across)
    distance = np.abs(x * math.cos(angle) + y * math.sin(angle))
    fine = np.where(distance <= width / 2, 100.0 - depth, 100.0)
    return fine.reshape(size, 8, size, 8).mean(axis=(1, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def tree():
    """Crossing bars of several widths in noise and shading."""
    image = np.minimum.reduce([bar(w, 192, 30, a) for w, a in ((3, 0.3), (6, 1.2), (10, 2.2))])
    image += np.linspace(0, 60, 192, dtype=np.float32)
    return image + np.random.default_rng(0).normal(0, 3, image.shape).astype(np.float32)


def interior(image, margin=30):
    return image[margin:-margin, margin:-margin]


def correlation(a, b):
    return np.corrcoef(interior(a).ravel(), interior(b).ravel())[0, 1]


def test_ridge_is_satos_measure(tree):
    ours = vesselness(tree, SIGMAS, fine=math.inf)
    theirs = sato(tree, SIGMAS)
    assert correlation(ours, theirs) >= 0.9995
    assert np.abs(interior(ours - theirs)).max() < 0.05 * theirs.max()
    assert correlation(vesselness(tree, SIGMAS), theirs) >= 0.995  # coarse scales at half resolution


def test_frangi_is_itks_objectness_of_the_normalised_hessian(tree):
    SimpleITK = pytest.importorskip("SimpleITK")
    gamma, expected = 5.0, []
    for sigma in SIGMAS:
        blurred = SimpleITK.SmoothingRecursiveGaussian(
            SimpleITK.GetImageFromArray(tree), float(sigma)
        ) * float(sigma**2)
        expected.append(
            SimpleITK.GetArrayFromImage(
                SimpleITK.ObjectnessMeasure(
                    blurred, alpha=0.5, beta=0.5, gamma=gamma, scaleObjectnessMeasure=False,
                    objectDimension=1, brightObject=False,
                )
            )
        )  # fmt: skip
    ours = vesselness(tree, SIGMAS, measure="frangi", gamma=gamma, fine=math.inf)
    assert correlation(ours, np.maximum.reduce(expected)) >= 0.995


def test_hand_worked_response_of_a_bar():
    # Second derivative of a box of width w blurred by sigma, at its centre, times sigma^2:
    # depth (w / sigma) phi(w / (2 sigma)); for w = 2 sigma that is depth 2 phi(1) = 0.484 depth.
    response = vesselness(bar(8), [4], fine=math.inf)[64, 64]
    assert response == pytest.approx(40 * 2 * math.exp(-0.5) / math.sqrt(2 * math.pi), rel=0.02)


@pytest.mark.parametrize(("measure", "most"), [("ridge", 1.25), ("frangi", 1.01)])
def test_bars_of_all_widths_answer_alike(measure, most):
    sigmas = np.arange(1, 8.5, 0.5)
    peaks = [vesselness(bar(w), sigmas, measure, fine=math.inf)[64].max() for w in range(2, 17)]
    assert max(peaks) / min(peaks) < most  # a bar of 2 px is two samples
    assert min(peaks) > 0.39 * (40 if measure == "ridge" else 1)


def test_direction_does_not_matter():
    for fine, most in ((math.inf, 1.02), (2, 1.1)):
        maps = [vesselness(bar(6, angle=a), fine=fine) for a in np.linspace(0, math.pi, 13)]
        peaks = [response[48:80, 48:80].max() for response in maps]
        assert max(peaks) / min(peaks) < most
    image = np.random.default_rng(1).normal(100, 10, (64, 64))
    np.testing.assert_allclose(vesselness(np.rot90(image)), np.rot90(vesselness(image)), atol=1e-3)
    np.testing.assert_allclose(vesselness(image.T), vesselness(image).T, atol=1e-3)


def test_scale_moves_with_the_image(tree):
    large = cv2.resize(tree, (384, 384), interpolation=cv2.INTER_CUBIC)
    small_map = vesselness(tree, [3, 4], fine=math.inf)
    large_map = cv2.resize(vesselness(large, [6, 8], fine=math.inf), (192, 192), interpolation=cv2.INTER_AREA)
    assert correlation(small_map, large_map) > 0.995


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_in_nothing_out(measure):
    for image in (np.zeros((40, 40)), np.full((40, 40), 255, np.uint8)):
        assert np.abs(vesselness(image, measure=measure)).max() < 1e-3


def test_shading_across_the_border_gives_no_ridge():
    ramp = np.add.outer(np.arange(90.0), 2 * np.arange(70.0))
    assert vesselness(ramp).max() < 1  # a mirrored border gives about 10


def test_a_vessel_keeps_its_response_at_the_border():
    response = vesselness(bar(6))[:, 64]
    np.testing.assert_allclose(response, response[64], rtol=0.02)


def test_contrast_counts_and_bright_structures_do_not(tree):
    np.testing.assert_allclose(vesselness(3 * tree + 7), 3 * vesselness(tree), rtol=1e-3, atol=1e-2)
    assert vesselness(255 - bar(6))[64, 64] < 1e-3


def test_integers_and_floats_agree():
    image = np.random.default_rng(5).integers(0, 256, (50, 41), dtype=np.uint8)
    expected = vesselness(image.astype(np.float64))
    for dtype in (np.uint8, np.int16, np.uint16, np.float32):
        np.testing.assert_array_equal(vesselness(image.astype(dtype)), expected)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), cols=st.integers(1, 40), measure=st.sampled_from(MEASURES))
def test_any_size(rows, cols, measure):
    image = np.random.default_rng(rows * 41 + cols).normal(100, 20, (rows, cols))
    response = vesselness(image, measure=measure)
    assert response.shape == (rows, cols) and response.dtype == np.float32
    assert np.isfinite(response).all() and response.min() >= 0


def test_results_do_not_share_memory(tree):
    apply = VesselFilter(tree.shape)
    first = apply(tree)
    copy = first.copy()
    apply(tree[::-1])
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigmas": []},
        {"sigmas": [0.1]},
        {"measure": "meijering"},
        {"gamma": 0},
        {"beta": -1},
    ],
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        vesselness(np.zeros((8, 8)), **wrong)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="Expected"):
        vesselness(np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match="Expected"):
        VesselFilter((8, 8))(np.zeros((8, 9)))
