"""Poolings: between the mean and the maximum."""

import itertools

import keras
import numpy as np
import pytest

from stenoscope.models.pooling import POOLING, GatedAttention, LogSumExpPooling


def _run(layer, values):
    return keras.ops.convert_to_numpy(layer(values))


@pytest.mark.parametrize("name", POOLING)
def test_every_pooling_keeps_a_constant(name):
    features = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    pooled = POOLING[name](features, np.full((2, 4, 5, 3), -1.7, np.float32))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(pooled), np.full((2, 3), -1.7), rtol=1e-5)


def test_gated_attention_by_hand():
    layer = GatedAttention(units=1)
    features = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(_run(layer, features).ravel(), [1, 1])  # it starts even
    layer.content.assign([[1.0]])
    layer.gate.assign([[-2.0]])
    layer.score.assign([[3.0]])
    odds = np.exp(3 * np.tanh(1) / (1 + np.exp(2)))  # of position 2; position 1 scores 0
    np.testing.assert_allclose(_run(layer, features).ravel(), 2 * np.array([1, odds]) / (1 + odds), rtol=1e-5)


def test_attention_mil_weighs_the_class_map():
    tensors = keras.Input((2, 3, 4)), keras.Input((2, 3, 2))
    model = keras.Model(tensors, POOLING["attention_mil"](*tensors))
    attention = model.get_layer("gated_attention")
    for weight in attention.weights:
        weight.assign(np.random.default_rng(1).normal(0, 1, weight.shape))
    rng = np.random.default_rng(0)
    features, class_map = (rng.normal(size=(5, 2, 3, depth)).astype(np.float32) for depth in (4, 2))
    weights = keras.ops.convert_to_numpy(attention.spatial_attention(features))
    np.testing.assert_allclose(weights.sum((1, 2)), 1, rtol=1e-5)
    expected = (weights[..., None] * class_map).sum((1, 2))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model([features, class_map])), expected, rtol=1e-4, atol=1e-6
    )


def test_log_sum_exp_by_hand():
    values = np.array([0.0, np.log(3.0)], np.float32).reshape(1, 1, 2, 1)
    assert _run(LogSumExpPooling(1.0), values)[0, 0] == pytest.approx(np.log(2))
    assert _run(LogSumExpPooling(2.0), values)[0, 0] == pytest.approx(np.log(5) / 2)


def test_sharpness_leads_from_the_mean_to_the_maximum():
    values = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype(np.float32)
    pooled = [_run(LogSumExpPooling(sharpness), values) for sharpness in (1e-2, 1, 5, 100)]
    assert all((low < high).all() for low, high in itertools.pairwise(pooled))
    np.testing.assert_allclose(pooled[0], values.mean((1, 2)), atol=0.02)
    np.testing.assert_allclose(pooled[-1], values.max((1, 2)), atol=0.05)


def test_large_scores_do_not_overflow():
    values = np.full((1, 2, 2, 1), 1e4, np.float32)
    assert _run(LogSumExpPooling(5.0), values)[0, 0] == pytest.approx(1e4)


def test_config_round_trip():
    assert LogSumExpPooling.from_config(LogSumExpPooling(3.0).get_config()).sharpness == 3.0
    assert GatedAttention.from_config(GatedAttention(64).get_config()).units == 64
