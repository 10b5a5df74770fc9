"""Attention blocks: where they start, weights that sum to one, and cases worked by hand."""

import keras
import numpy as np
import pytest

from stenoscope.models.attention import (
    ATTENTION,
    AttentionResidual,
    ConvolutionalBlockAttention,
    SelfAttention,
    block_of,
)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 16)).astype(np.float32)


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "cbam"])
def test_blocks_with_a_gain_start_as_identity(name, features):
    result = ATTENTION[name](
        [keras.ops.convert_to_tensor(array) for array in (features, features + 1, features)]
    )
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(result), features)


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "none"])
def test_every_block_says_where_it_attends(name, features):
    tensor = keras.Input(features.shape[1:])
    block = ATTENTION[name]([tensor] * 3)
    layer = keras.Model(tensor, block).get_layer("attention")
    for weight in layer.weights:
        weight.assign(np.random.default_rng(1).normal(0, 0.3, weight.shape))
    attention = keras.ops.convert_to_numpy(
        layer.spatial_attention([features] * 3 if name == "arl" else keras.ops.convert_to_tensor(features))
    )
    assert attention.shape == features.shape[:3] and (attention > 0).all() and np.ptp(attention) > 0
    if name != "cbam":  # a gate of its own for each position; the others share one attention out
        np.testing.assert_allclose(attention.sum((1, 2)), 1, rtol=1e-5)


def test_each_position_shares_out_all_its_attention(features):
    block = SelfAttention()
    block(features)
    attention = keras.ops.convert_to_numpy(block.attention_map(keras.ops.convert_to_tensor(features)))
    assert attention.shape == (2, 12, 12) and (attention >= 0).all()
    np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)


def test_two_positions_by_hand():
    block = SelfAttention(reduction=1)
    features = np.array([1.0, 2.0], np.float32).reshape(1, 1, 2, 1)
    block(features)
    for name, value in (("query_kernel", 1.0), ("key_kernel", 1.0), ("value_kernel", 3.0)):
        getattr(block, name).assign([[value]])
    block.value_bias.assign([1.0])
    block.gain.assign(0.5)
    # Position 1 (x = 1): scores 1, 2. Position 2 (x = 2): scores 2, 4. Values 4 and 7.
    first, second = 1 / (1 + np.exp(1)), 1 / (1 + np.exp(2))
    expected = [1 + 0.5 * (4 * first + 7 * (1 - first)), 2 + 0.5 * (4 * second + 7 * (1 - second))]
    result = keras.ops.convert_to_numpy(block(features)).ravel()
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_positions_are_equals(features):
    block = SelfAttention()
    block(features)
    block.gain.assign(1.0)
    straight = keras.ops.convert_to_numpy(block(features))
    turned = keras.ops.convert_to_numpy(block(np.ascontiguousarray(features[:, ::-1, ::-1])))
    np.testing.assert_allclose(turned[:, ::-1, ::-1], straight, rtol=1e-4, atol=1e-5)


def test_self_attention_adds_up_what_each_position_receives():
    block = SelfAttention(reduction=1)
    features = np.array([1.0, 2.0], np.float32).reshape(1, 1, 2, 1)
    block(features)
    block.query_kernel.assign([[1.0]])
    block.key_kernel.assign([[1.0]])
    # Of positions 1 and 2, position 1 receives 1 / (1 + e) and 1 / (1 + e^2).
    expected = (1 / (1 + np.exp(1)) + 1 / (1 + np.exp(2))) / 2
    received = keras.ops.convert_to_numpy(block.spatial_attention(features))[0, 0]
    np.testing.assert_allclose(received, [expected, 1 - expected], rtol=1e-5)


def test_cbam_by_hand():
    block = ConvolutionalBlockAttention(reduction=1)
    features = np.array([1.0, 3.0], np.float32).reshape(1, 1, 2, 1)
    block(features)
    block.squeeze.assign([[2.0]])
    block.excite.assign([[0.5]])
    kernel = np.zeros((7, 7, 2, 1), np.float32)
    kernel[3, 3] = [[0.25], [0.75]]  # mean and maximum of the one channel, at the place itself
    kernel[3, 4] = [[0.1], [0.0]]  # and the mean of the place to the right
    block.spatial.assign(kernel)
    # Mean 2 and maximum 3 of the channel: 0.5 * 2 * (2 + 3) = 5.
    first, second = np.array([1.0, 3.0]) * _sigmoid(5)
    gates = _sigmoid([first + 0.1 * second, second])
    result = keras.ops.convert_to_numpy(block(features)).ravel()
    np.testing.assert_allclose(result, gates * [first, second], rtol=1e-5)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(block.spatial_attention(features)).ravel(), gates, rtol=1e-5
    )


def test_cbam_has_its_published_shape(features):
    block = ConvolutionalBlockAttention()
    block(np.repeat(features, 2, axis=-1))
    assert [tuple(weight.shape) for weight in block.weights] == [(32, 2), (2, 32), (7, 7, 2, 1)]


def test_attention_residual_by_hand():
    output, block_input, branch = (
        np.array(values, np.float32).reshape(1, 1, 2, 1)
        for values in ([7.0, 9.0], [2.0, 4.0], [0.0, np.log(3)])
    )
    block = AttentionResidual()
    block([output, block_input, branch])
    assert len(block.weights) == 1
    block.gain.assign(0.5)
    # Softmax of 0 and log 3: a quarter and three quarters.
    result = keras.ops.convert_to_numpy(block([output, block_input, branch])).ravel()
    np.testing.assert_allclose(result, [7 + 0.5 * 0.25 * 2, 9 + 0.5 * 0.75 * 4], rtol=1e-5)


def test_the_softmax_is_of_each_channel(features):
    attention = keras.ops.convert_to_numpy(
        AttentionResidual.attention_map(keras.ops.convert_to_tensor(features))
    )
    np.testing.assert_allclose(attention.sum((1, 2)), np.ones((2, 16)), rtol=1e-5)


def test_a_residual_block_is_taken_apart():
    image = keras.Input((4, 4, 3))
    branch = keras.layers.Conv2D(3, 3, padding="same")(image)
    total = keras.layers.Add()([image, branch])
    after = keras.layers.Activation("relu")(total)
    plain = keras.layers.Conv2D(3, 1)(after)
    network = keras.Model(image, plain)
    for tensor, parts in ((total, [image, branch]), (after, [image, branch]), (plain, [plain, plain])):
        layer = next(layer for layer in network.layers if layer.output is tensor)
        found = block_of(network, layer)
        assert all(one is other for one, other in zip(found, [tensor, *parts], strict=True))


def test_config_round_trip():
    assert SelfAttention.from_config(SelfAttention(reduction=4).get_config()).reduction == 4
    block = ConvolutionalBlockAttention.from_config(ConvolutionalBlockAttention(8, 5).get_config())
    assert (block.reduction, block.window) == (8, 5)
