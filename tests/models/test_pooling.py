"""Poolings: between the mean and the maximum."""

import itertools

import keras
import numpy as np
import pytest

from stenoscope.models.pooling import POOLING, LogSumExpPooling


def _run(layer, values):
    return keras.ops.convert_to_numpy(layer(values))


@pytest.mark.parametrize("name", POOLING)
def test_every_pooling_keeps_a_constant(name):
    np.testing.assert_allclose(
        _run(POOLING[name](), np.full((2, 4, 5, 3), -1.7, np.float32)), -1.7, rtol=1e-5
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
