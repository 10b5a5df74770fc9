"""Heatmaps of networks small enough to know the answer."""

import keras
import numpy as np
import pytest

from stenoscope.errors import SettingsError
from stenoscope.heatmaps.attention import attention
from stenoscope.heatmaps.cam import BATCH_SIZE, cam
from stenoscope.heatmaps.gradients import gradcam, gradcam_plus_plus, hirescam
from stenoscope.heatmaps.occlusion import occlusion, patch_corners
from stenoscope.heatmaps.registry import METHODS, SLOW, evidence
from stenoscope.models.classifier import AddBias, build_classifier
from stenoscope.models.pooling import POOLING
from stenoscope.settings import TrainingSettings


def _network(pooling="average", size=8):
    """Features: the image and its negative, where positive; class maps: 3 a - 2 b, and b."""
    image = keras.Input((size, size, 1), name="image")
    features = keras.layers.Conv2D(2, 1, activation="relu", use_bias=False, name="features")(image)
    class_map = keras.layers.Conv2D(2, 1, use_bias=False, name="class_map")(features)
    logits = AddBias(name="logits")(POOLING[pooling](features, class_map))
    model = keras.Model(image, keras.layers.Activation("sigmoid", name="probability")(logits))
    model.get_layer("features").kernel.assign([[[[1.0, -1.0]]]])
    model.get_layer("class_map").kernel.assign([[[[3.0, 0.0], [-2.0, 1.0]]]])
    model.get_layer("logits").bias.assign([0.5, -0.5])
    return model


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(0, 1, (3, 8, 8, 1)).astype(np.float32)


def test_known_class_map(images):
    x = images[..., 0]
    np.testing.assert_allclose(
        cam(_network(), images), 3 * np.maximum(x, 0) - 2 * np.maximum(-x, 0), rtol=1e-5
    )
    np.testing.assert_allclose(cam(_network(), images, label=1), np.maximum(-x, 0), rtol=1e-5)


def test_before_average_pooling_both_gradient_maps_are_cam_over_the_positions(images):
    model = _network()
    for method in (hirescam, gradcam):
        for label in (0, 1):
            result = method(model, images, "features", label)
            np.testing.assert_allclose(result, cam(model, images, label) / 64, rtol=1e-4, atol=1e-7)


def test_hirescam_of_log_sum_exp_weighs_each_position_by_its_share(images):
    model = _network("log_sum_exp")
    scores = cam(model, images)
    share = np.exp(5 * scores)
    share /= share.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(hirescam(model, images, "features"), share * scores, rtol=1e-3, atol=1e-6)


def test_gradcam_averages_the_gradient(images):
    model = _network("log_sum_exp")
    x = images[..., 0]
    scores = cam(model, images)
    share = np.exp(5 * scores)
    share /= share.sum((1, 2), keepdims=True)
    mean = share.mean((1, 2), keepdims=True)  # of the gradient by the class map: the same for every channel
    expected = mean * (3 * np.maximum(x, 0) - 2 * np.maximum(-x, 0))
    np.testing.assert_allclose(gradcam(model, images, "features"), expected, rtol=1e-4, atol=1e-7)


def test_gradcam_plus_plus_is_the_published_formula(images):
    model = _network("log_sum_exp")
    x = images[..., 0]
    activations = np.stack([np.maximum(x, 0), np.maximum(-x, 0)], axis=-1)
    scores = cam(model, images)
    share = np.exp(5 * scores)
    share /= share.sum((1, 2), keepdims=True)
    slope = share[..., None] * [3.0, -2.0]  # of the logit by each activation
    logit = np.log(np.exp(5 * scores).mean((1, 2))) / 5 + 0.5
    raised = np.exp(logit)[:, None, None, None]  # the derivatives of exp(logit), equations 5, 6 and 19
    first, second, third = (raised * slope**power for power in (1, 2, 3))
    total = activations.sum((1, 2), keepdims=True)
    alpha = second / (2 * second + total * third)
    weights = (alpha * np.maximum(first, 0)).sum((1, 2), keepdims=True)
    expected = (weights * activations).sum(-1) / raised[..., 0]
    np.testing.assert_allclose(gradcam_plus_plus(model, images, "features"), expected, rtol=1e-4, atol=1e-7)


@pytest.fixture(scope="module")
def classifier():
    settings = TrainingSettings(weights="none", image_size=32, cut="block2_add", attention="cbam")
    model = build_classifier(settings)
    model.get_layer("class_map").kernel.assign(
        np.random.default_rng(3).normal(0, 0.1, model.get_layer("class_map").kernel.shape)
    )
    return model


@pytest.mark.parametrize("method", METHODS)
def test_each_image_is_explained_alone(method, classifier):
    count = 3 if method in SLOW else BATCH_SIZE + 3
    images = np.random.default_rng(1).uniform(0, 255, (count, 32, 32, 1)).astype(np.float32)
    together = evidence(classifier, images, method, "block1_project_bn")
    assert together.shape[0] == count and together.ndim == 3 and together.dtype == np.float32
    for index in (0, count - 1):
        alone = evidence(classifier, images[index : index + 1], method, "block1_project_bn")
        np.testing.assert_allclose(alone[0], together[index], rtol=1e-3, atol=1e-5)
    none = evidence(classifier, images[:0], method, "block1_project_bn")
    assert none.shape == (0, *together.shape[1:])


def test_evidence_of_attention_mil_is_the_weighted_class_map(images):
    model = _network("attention_mil")
    for weight in model.get_layer("gated_attention").weights:
        weight.assign(np.random.default_rng(4).normal(0, 1, weight.shape))
    x = images[..., 0]
    share = attention(model, images) + 1  # of an even share
    assert np.ptp(share) > 0.1
    np.testing.assert_allclose(share.mean((1, 2)), 1, rtol=1e-5)
    expected = share * (3 * np.maximum(x, 0) - 2 * np.maximum(-x, 0))
    np.testing.assert_allclose(cam(model, images), expected, rtol=1e-4, atol=1e-6)


def test_attention_needs_a_block(images):
    with pytest.raises(SettingsError, match="no attention block"):
        evidence(_network(), images, "attention", "features")


def test_occlusion_finds_a_planted_dot():
    image = np.full((64, 64, 1), 0.0, np.float32)
    image[41:44, 21:24] = 7  # in the middle of the cell of row 10 and column 5, 4 px wide
    (found,) = occlusion(_network(size=64), image[None])
    assert np.unravel_index(found.argmax(), found.shape) == (10, 5)
    # The patch of 8 px takes the dot and leaves the mean of 17 x 17 px; the logit is 3 times the mean.
    assert found[10, 5] == pytest.approx(3 * (9 * 7 - 64 * 9 * 7 / 17**2) / 64**2, rel=1e-4)
    assert found[2, 2] == 0


def test_occlusion_of_an_even_image_shows_nothing():
    image = np.full((1, 64, 64, 1), 3, np.float32)
    np.testing.assert_allclose(occlusion(_network(size=64), image), 0, atol=1e-5)


@pytest.mark.parametrize("size", [32, 256, 500])
def test_patches_cover_the_image_twice(size):
    covered = np.zeros((size, size))
    for top, bottom, left, right in patch_corners(size):
        covered[top:bottom, left:right] += 1
    middle = covered[size // 8 : -size // 8, size // 8 : -size // 8]
    assert covered.min() >= 1 and abs(middle.mean() - 4) < 0.1  # twice in each direction


def test_explaining_changes_nothing(classifier, images):
    before = [array.copy() for array in classifier.get_weights()]
    frames = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    first = evidence(classifier, frames, "hirescam", "block2_add")
    second = evidence(classifier, frames, "hirescam", "block2_add")
    np.testing.assert_array_equal(first, second)
    for one, other in zip(before, classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_map_points_where_the_evidence_is():
    model = _network(size=16)
    image = np.zeros((1, 16, 16, 1), np.float32)
    image[0, 11, 4] = 5
    for method in ("cam", "gradcam", "gradcam_plus_plus", "hirescam"):
        peak = np.unravel_index(evidence(model, image, method, "features")[0].argmax(), (16, 16))
        assert peak == (11, 4)


def test_unknown_methods_and_layers_are_refused(images):
    with pytest.raises(SettingsError, match="hirescam"):
        evidence(_network(), images, "saliency", "features")
    with pytest.raises(SettingsError, match="features"):
        evidence(_network(), images, "hirescam", "block7_add")
