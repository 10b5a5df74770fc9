import re

import keras
import numpy as np
import pytest

from stenoscope.models.classifier import build_classifier
from stenoscope.settings import TrainingSettings
from stenoscope.training.schedule import backbone_layers, layer_factors, learning_rate_at, make_optimizer


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"learning_rate": 0.4, "epochs": 2, **changes})


def rates(epochs, settings):
    return [float(learning_rate_at(epoch, settings)) for epoch in epochs]


def test_learning_rates_by_hand():
    found = rates((0, 0.5, 1, 1.5, 2), settings())
    np.testing.assert_allclose(found, [0.4, 0.2 * (1 + 0.5**0.5), 0.2, 0.2 * (1 - 0.5**0.5), 0], atol=1e-7)
    np.testing.assert_allclose(rates((0, 0.3, 1), settings(schedule="constant")), [0.4] * 3)


def test_a_warmup_rises_linearly_and_the_cosine_follows_it():
    found = rates((0, 0.5, 1, 2, 3), settings(warmup=1.0, epochs=3))
    falling = 0.2 * (1 + np.cos(np.pi * 0.5))
    np.testing.assert_allclose(found, [0, 0.2, 0.4, falling, 0], atol=1e-7)
    found = rates((0, 1, 2, 3), settings(warmup=2.0, schedule="constant"))
    np.testing.assert_allclose(found, [0, 0.2, 0.4, 0.4], atol=1e-7)
    assert rates((1, 2), settings(warmup=4.0)) == pytest.approx([0.1, 0.2]), "longer than the training"


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_follow_the_schedule(name):
    optimizer = make_optimizer(settings(optimizer=name))
    assert type(optimizer).__name__.lower() == name
    optimizer.steps_per_epoch.assign(10)
    optimizer.iterations.assign(10)
    assert float(optimizer.learning_rate) == pytest.approx(0.2)
    assert any(variable is optimizer.steps_per_epoch for variable in optimizer.variables)
    if name == "sgd":
        assert optimizer.momentum == 0.9


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_factor_scales_the_step_of_its_variable_alone(name):
    variables = [keras.Variable(np.zeros(2, np.float32), name=letter) for letter in "ab"]
    optimizer = make_optimizer(settings(optimizer=name), {variables[0].path: 0.25})
    gradient = keras.ops.convert_to_tensor(np.array([1.0, -2.0], np.float32))
    optimizer.apply([gradient, gradient], variables)
    slow, fast = (np.array(variable) for variable in variables)
    assert (fast != 0).all()
    np.testing.assert_allclose(slow, 0.25 * fast, rtol=1e-6)


def test_factors_fall_from_block_to_block():
    small = settings(image_size=32, cut="block3_project_bn", heatmap_layer="auto", frozen_layers=0.0)
    model = build_classifier(small)
    factors = layer_factors(model, 0.5)
    for path, factor in factors.items():
        block = int(re.match(r"block(\d+)", path)[1]) if path.startswith("block") else 0
        assert factor == 0.5 ** (3 - block), path
    trained = {v.path for layer in backbone_layers(model) for v in layer.trainable_variables}
    assert set(factors) == {path for path in trained if not path.startswith("block3")}
    assert any(path.startswith("stem") for path in factors), "the stem goes with the first block"
    assert layer_factors(model, 1.0) == {}
    assert not [layer.name for layer in backbone_layers(model) if layer.name in ("attention", "class_map")]
