"""Folded batch norm: the same function and the same gradients with fewer operations."""

import keras
import numpy as np
import pytest
from keras import layers

from stenoscope.models.classifier import build_classifier
from stenoscope.models.folded import FoldedConvolution, fold_batch_norm
from stenoscope.settings import TrainingSettings
from tests.training.small import settings


def folded_in(model):
    return [layer for layer in model.layers if isinstance(layer, FoldedConvolution)]


def norms_in(model):
    return [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def shaken(model):
    """The model with batch norms that do something."""
    rng = np.random.default_rng(3)
    for layer in norms_in(model):
        for variable in layer.weights:
            positive = variable.name in ("gamma", "moving_variance")
            value = rng.uniform(0.5, 2, variable.shape) if positive else rng.normal(0, 0.3, variable.shape)
            variable.assign(value)
    return model


def to_logits(model):
    """A classifier from image to logits, with a class map that is not zero, as it is at first."""
    layer = model.get_layer("class_map")
    layer.set_weights([np.random.default_rng(4).normal(size=layer.kernel.shape)])
    return keras.Model(model.input, model.get_layer("logits").output)


def learner(**changes):
    return to_logits(shaken(build_classifier(settings(**changes))))


def assert_same_logits(model, images):
    expected = np.asarray(model(images))
    assert np.ptp(expected) > 1e-3  # the images are told apart
    np.testing.assert_allclose(fold_batch_norm(model)(images), expected, rtol=1e-3)


def images(n=3, size=32):
    return np.random.default_rng(0).uniform(0, 255, (n, size, size, 1)).astype(np.float32)


def test_by_hand():
    inputs = keras.Input((1, 1, 1))
    norm = layers.BatchNormalization(epsilon=0.0, trainable=False)
    model = keras.Model(inputs, norm(layers.Conv2D(1, 1)(inputs)))
    model.layers[1].set_weights([np.full((1, 1, 1, 1), 3.0), np.array([1.0])])
    norm.set_weights([np.array([10.0]), np.array([5.0]), np.array([2.0]), np.array([4.0])])
    # (3 * 7 + 1 - 2) / sqrt(4) * 10 + 5
    assert float(np.squeeze(fold_batch_norm(model)(np.full((1, 1, 1, 1), 7.0)))) == pytest.approx(105.0)


def test_the_default_network_keeps_its_function_and_has_no_batch_norm_left():
    model = learner()
    folded = fold_batch_norm(model)
    assert len(folded_in(folded)) == len(norms_in(model)) == 9
    assert not norms_in(folded)
    assert_same_logits(model, images())


# The one has biases, the other padding of its own (and, random as it is, a deep part that saturates).
@pytest.mark.parametrize("name, cut, folded", [("resnet50", "top", 53), ("mobilenet_v2", "block_2_add", 9)])
def test_other_backbones_keep_their_function(name, cut, folded):
    # Randomly initialized: the pretrained weights would be downloaded.
    given = TrainingSettings(backbone=name, weights="none", image_size=64, enhance="none", cut=cut)
    model = to_logits(shaken(build_classifier(given)))
    for layer in norms_in(model):
        layer.trainable = False
    assert len(folded_in(fold_batch_norm(model))) == folded
    assert_same_logits(model, images(2, 64))


def test_weights_are_shared_and_learn_alike():
    import tensorflow as tf

    model = learner(freeze_batch_norm=True)
    folded = fold_batch_norm(model)
    assert {id(v) for v in folded.trainable_variables} == {id(v) for v in model.trainable_variables}

    def gradients(network):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(images(), training=True))
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    found = [np.asarray(one) for one in gradients(folded)]
    assert any(np.abs(one).max() > 1e-3 for one in found)
    for one, other in zip(found, gradients(model), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())


def test_learning_batch_norm_is_left_alone():
    model = learner(freeze_batch_norm=False, frozen_layers=0.0)
    assert fold_batch_norm(model) is model


def test_an_output_that_something_else_needs_too_stays():
    inputs = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, layers.Add()([layers.BatchNormalization(trainable=False)(maps), maps]))
    shaken(model)
    folded = fold_batch_norm(model)
    assert len(folded_in(folded)) == 1
    values = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(values), model(values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"activation": "relu"}, {"groups": 3}, {"data_format": "channels_first"}]
)
def test_other_convolutions_are_left_alone(changes):
    inputs = keras.Input((8, 8, 3) if "data_format" not in changes else (3, 8, 8))
    norm = layers.BatchNormalization(trainable=False)
    model = keras.Model(inputs, norm(layers.Conv2D(6, 3, **changes)(inputs)))
    assert fold_batch_norm(model) is model
