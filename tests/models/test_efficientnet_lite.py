"""EfficientNet-Lite0: the port is right if it recognises a cat and a cup of coffee."""

import cv2
import keras
import numpy as np
import pytest
from skimage import data

from stenoscope.errors import WeightsError
from stenoscope.models.efficientnet_lite import efficientnet_lite0, load_torch_weights
from stenoscope.models.torch_file import read_state_dict
from stenoscope.models.weights import bundled_weights_path

TABBY, TIGER_CAT, EGYPTIAN_CAT, COFFEE_MUG, ESPRESSO, CUP = 281, 282, 285, 504, 967, 968


@pytest.fixture(scope="module")
def state():
    return read_state_dict(bundled_weights_path())


@pytest.fixture(scope="module")
def network(state):
    model = efficientnet_lite0(keras.Input((224, 224, 3)), include_top=True)
    load_torch_weights(model.layers, state)
    return model


@pytest.mark.parametrize(
    ("photograph", "expected", "first"),
    [
        (data.chelsea, {TABBY, TIGER_CAT, EGYPTIAN_CAT}, EGYPTIAN_CAT),
        (data.coffee, {ESPRESSO, CUP, COFFEE_MUG}, ESPRESSO),
    ],
)
def test_top_5_of_photographs(network, photograph, expected, first):
    image = photograph()
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = cv2.resize(image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    logits = keras.ops.convert_to_numpy(network((image[None].astype(np.float32) - 127) / 128))[0]
    top_5 = np.argsort(-logits)[:5]
    assert expected <= set(top_5.tolist())
    assert top_5[0] == first


def test_size_and_strides_are_the_published_ones(network):
    assert sum(np.prod(variable.shape) for variable in network.trainable_weights) == 4_652_008
    for layer, rows, channels in (
        ("stem_relu", 112, 32),
        ("block0_project_bn", 112, 16),
        ("block2_add", 56, 24),
        ("block4_add", 28, 40),
        ("block7_add", 14, 80),
        ("block10_add", 14, 112),
        ("block14_add", 7, 192),
        ("head_relu", 7, 1280),
    ):
        assert network.get_layer(layer).output.shape[1:] == (rows, rows, channels)


def test_every_tensor_of_the_file_is_used(network, state):
    loaded = sum(variable.numpy().size for variable in network.weights)
    stored = sum(array.size for name, array in state.items() if not name.endswith("num_batches_tracked"))
    assert loaded == stored


def test_missing_and_misshapen_tensors_name_the_layer(network, state):
    layers = [network.get_layer("block3_expand_bn")]
    with pytest.raises(
        WeightsError, match=r"nothing under '_blocks\.3\._bn0\.running_var'.*block3_expand_bn"
    ):
        load_torch_weights(layers, {k: v for k, v in state.items() if k != "_blocks.3._bn0.running_var"})
    with pytest.raises(WeightsError, match=r"shape \(3,\)"):
        load_torch_weights(layers, {**state, "_blocks.3._bn0.bias": np.zeros(3, np.float32)})
