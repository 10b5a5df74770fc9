"""Every backbone builds, is preprocessed as Keras does it, and can be explained at its own layer."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import applications

from stenoscope.errors import SettingsError
from stenoscope.models.backbones import BACKBONES, build_backbone, cut_layer, get_backbone
from stenoscope.models.classifier import build_classifier, heatmap_layer
from stenoscope.settings import TrainingSettings
from stenoscope.training.schedule import layer_factors


class Known(NamedTuple):
    """What is known of a backbone: how Keras preprocesses its images, and its blocks up to its cut.

    A stem counts with the first block, what follows the last counts as one.
    """

    preprocess_input: Callable
    blocks: int


KNOWN = {
    "inception_v3": Known(applications.inception_v3.preprocess_input, 11),
    "resnet50": Known(applications.resnet50.preprocess_input, 17),
    "vgg16": Known(applications.vgg16.preprocess_input, 5),
    "densenet121": Known(applications.densenet.preprocess_input, 60),
    "mobilenet_v2": Known(applications.mobilenet_v2.preprocess_input, 17),
    "efficientnet_lite0": Known(lambda images: (images - 127) / 128, 11),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_preprocessing_is_that_of_keras(name):
    images = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    expected = KNOWN[name].preprocess_input(images.copy())
    result = BACKBONES[name].preprocessing(images)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)
    assert result.dtype == np.float32


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_builds_unnested_and_explains(name):
    size = 75 if name == "inception_v3" else 64
    settings = TrainingSettings(backbone=name, weights="none", image_size=size)
    model = build_classifier(settings)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    rows = model.get_layer(heatmap_layer(model, settings)).output.shape[1]
    assert rows >= size // 16 - 1  # stride 16 or finer
    # the learning rate falls from each block to the one before
    assert len({*layer_factors(model, 0.5).values(), 1.0}) == KNOWN[name].blocks
    kernels = [weight for layer in model.layers for weight in layer.weights if weight.name == "kernel"]
    assert all(kernel.numpy().any() for kernel in kernels[:-1])  # all but the class map's start random
    # The same names in the same order as in a backbone on its own: that is how weight files are matched.
    inside = keras.Model(model.get_layer("standardize").output, model.get_layer("attention").input)
    alone = build_backbone(get_backbone(name), keras.Input((size, size, 3)))
    names = [layer.name for layer in inside.layers[1:]]
    assert names == [layer.name for layer in alone.layers[1:]][: len(names)]


def test_the_cut_of_efficientnet_lite0_is_stride_16():
    network = build_backbone(get_backbone("efficientnet_lite0"), keras.Input((64, 64, 3)))
    assert cut_layer(get_backbone("efficientnet_lite0"), network, "auto").output.shape == (None, 4, 4, 112)
    assert cut_layer(get_backbone("efficientnet_lite0"), network, "top").output.shape == (None, 2, 2, 1280)
    assert cut_layer(get_backbone("efficientnet_lite0"), network, "block4_add").output.shape[-1] == 40


def test_unknown_names_list_the_known_ones():
    with pytest.raises(SettingsError, match=r"efficientnet_lite0.*vgg16"):
        get_backbone("alexnet")
    network = build_backbone(get_backbone("vgg16"), keras.Input((32, 32, 3)))
    with pytest.raises(SettingsError, match="block5_conv3"):
        cut_layer(get_backbone("vgg16"), network, "block6_conv1")


def test_too_small_an_image_is_explained():
    with pytest.raises(SettingsError, match="raise image_size"):
        build_backbone(get_backbone("inception_v3"), keras.Input((32, 32, 3)))
