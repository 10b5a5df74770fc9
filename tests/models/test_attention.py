"""Attention blocks: identity at the start, weights that sum to one, and a case worked by hand."""

import keras
import numpy as np
import pytest

from stenoscope.models.attention import ATTENTION, SelfAttention


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 16)).astype(np.float32)


@pytest.mark.parametrize("name", ATTENTION)
def test_every_block_starts_as_identity(name, features):
    result = ATTENTION[name]()(keras.ops.convert_to_tensor(features))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(result), features)


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


def test_config_round_trip():
    assert SelfAttention.from_config(SelfAttention(reduction=4).get_config()).reduction == 4
