"""Receptive fields against networks whose fields can be counted."""

import math

import keras
import numpy as np
import pytest

from benchmarks.fields import effective_field, field_radius, theoretical_field
from stenoscope.errors import SettingsError
from stenoscope.models.efficientnet_lite import efficientnet_lite0
from stenoscope.models.standardize import StandardizeLayer


def _network(size=32):
    """A window of 3, one of 3 at stride 2, then a dilated one beside a pooling, and their sum."""
    image = keras.Input((size, size, 1), name="image")
    x = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer="ones", name="one")(image)
    x = keras.layers.DepthwiseConv2D(3, 2, "same", depthwise_initializer="ones", name="two")(x)
    wide = keras.layers.Conv2D(2, 3, 1, "same", dilation_rate=2, kernel_initializer="ones", name="wide")(x)
    narrow = keras.layers.MaxPooling2D(2, 1, "same", name="narrow")(x)
    total = keras.layers.Add(name="total")([narrow, wide])
    score = keras.layers.GlobalAveragePooling2D(name="pooling")(total)
    return keras.Model(image, score)


@pytest.mark.parametrize(
    "layer, stride, size",
    [
        ("image", 1, 1),
        ("one", 1, 3),
        ("two", 2, 5),
        ("narrow", 2, 7),
        ("wide", 2, 5 + 2 * 2 * 2),
        ("total", 2, 13),  # the larger of its two paths
    ],
)
def test_fields_by_the_layers(layer, stride, size):
    assert theoretical_field(_network(), layer) == (stride, size)


def test_no_gradient_lies_outside_the_field():
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 1)).astype(np.float32)
    field = effective_field(_network(), "wide", image)
    rows, cols = np.nonzero(field)
    assert np.ptp(rows) + 1 == np.ptp(cols) + 1 == 13
    assert field.sum() == pytest.approx(1)


def test_the_default_backbone():
    network = efficientnet_lite0(keras.Input((64, 64, 3)))
    assert theoretical_field(network, "stem_conv") == (2, 3)
    # 3 + 2 (3 - 1) = 7 after block 0; block 1 halves again: 7 + 2 (3 - 1) = 11; block 2: 11 + 4 (3 - 1) = 19
    assert theoretical_field(network, "block2_add") == (4, 19)
    assert theoretical_field(network, "block10_add") == (16, 339)


def test_enhancement_widens_the_field():
    image = keras.Input((32, 32, 1))
    for sizes, expected in (((), 1), ((5,), 9)):  # a dilation and an erosion, 2 px to either side each
        layer = StandardizeLayer((0,) * 3, (1,) * 3, tophat_sizes=sizes, name="standardize")
        assert theoretical_field(keras.Model(image, layer(image)), "standardize").size == expected


def test_attention_sees_the_whole_image():
    image = keras.Input((8, 8, 1))
    mixed = keras.layers.Conv2D(1, 1, name="class_map")(
        keras.layers.Activation("relu", name="attention")(image)
    )
    assert theoretical_field(keras.Model(image, mixed), "class_map").size == math.inf


def test_radius_of_known_fields():
    field = np.zeros((9, 9))
    field[[2, 6], [3, 3]] = 1
    assert field_radius(field) == pytest.approx(2)
    assert field_radius(np.zeros((9, 9))) == 0


def test_unknown_layers_and_those_without_positions_are_refused():
    for name in ("block9_add", "pooling"):
        with pytest.raises(SettingsError, match="layer with positions"):
            theoretical_field(_network(), name)
