"""The mean over mirror images does not know left from right."""

import numpy as np
import pytest

from stenoscope.models.classifier import build_classifier, set_mean_image
from stenoscope.models.mirrors import VIEWS, predict_probabilities
from tests.training.small import settings

IMAGES = np.random.default_rng(3).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
MEAN = np.random.default_rng(4).uniform(0, 255, (32, 32)).astype(np.float32)


def classifier(**changes):
    """A classifier whose last layer, which starts at zero, has been drawn."""
    made = build_classifier(settings(**changes))
    head = made.get_layer("class_map")
    head.set_weights([np.random.default_rng(5).normal(0, 0.02, item.shape) for item in head.get_weights()])
    return made


@pytest.fixture(scope="module")
def model():
    made = classifier()
    set_mean_image(made, MEAN)
    return made


def mirror(images, down, right):
    """Mirror what differs from the mean image."""
    mean = MEAN[None, ..., None]
    return (images - mean)[:, ::down, ::right] + mean


def test_plain_is_the_model_itself(model):
    np.testing.assert_array_equal(
        predict_probabilities(model, IMAGES, mirrored=False), model.predict_on_batch(IMAGES)
    )


def test_mirrored_is_the_mean_of_four_views(model):
    views = [model.predict_on_batch(mirror(IMAGES, *view)) for view in VIEWS]
    found = predict_probabilities(model, IMAGES, mirrored=True)
    assert found.shape == (2, 1) and found.dtype == np.float32
    np.testing.assert_allclose(found, np.mean(views, axis=0), rtol=1e-6)
    assert np.ptp(views, axis=0).max() > 1e-5  # else the mean would show nothing


@pytest.mark.parametrize("view", VIEWS)
def test_mirrored_does_not_know_the_view(model, view):
    np.testing.assert_allclose(
        predict_probabilities(model, mirror(IMAGES, *view), mirrored=True),
        predict_probabilities(model, IMAGES, mirrored=True),
        rtol=1e-4,
    )


def test_without_a_mean_image():
    made = classifier(subtract_mean=False)
    flipped = predict_probabilities(made, IMAGES[:, :, ::-1], mirrored=True)
    np.testing.assert_allclose(flipped, predict_probabilities(made, IMAGES, mirrored=True), rtol=1e-4)
