"""Half precision trains; what is tested and saved is float32."""

import keras
import numpy as np
import pytest

from stenoscope.errors import SettingsError
from stenoscope.training import machine
from stenoscope.training.fold import Trainer
from tests.training.small import MEAN, TEST, part, predict, settings, seven_clips


@pytest.fixture(scope="module")
def frames():
    return seven_clips()


@pytest.fixture(scope="module", params=["mixed_bfloat16", "mixed_float16"])
def trained(request, frames):
    """A trainer of half precision after a fold, and its history."""
    trainer = Trainer(settings(precision=request.param))
    return trainer, trainer.fit(part(frames))


def test_the_backbone_learns_in_half_precision_and_the_evidence_in_full(trained):
    trainer, history = trained
    network, precision = trainer.network, trainer.settings.precision
    assert network is not trainer.model
    computed = {layer.name: layer.compute_dtype for layer in network.layers}
    assert computed["block1_project_conv"] == precision.removeprefix("mixed_")
    assert computed["standardize"] == computed["class_map"] == computed["logits"] == "float32"
    assert np.isfinite([row["loss"] for row in history]).all()
    start = Trainer(settings())
    start.reset(MEAN, 1)
    moved = [
        np.abs(np.array(one) - np.array(other)).max()
        for one, other in zip(trainer.model.trainable_weights, start.model.trainable_weights, strict=True)
    ]
    assert min(moved) > 0


def test_the_tested_model_is_float32_and_has_the_weights_of_the_other(trained, frames, tmp_path):
    trainer, _ = trained
    assert {layer.compute_dtype for layer in trainer.model.layers} == {"float32"}
    for one, other in zip(trainer.model.weights, trainer.network.weights, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))
    trainer.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}


def test_it_learns_nearly_what_full_precision_learns(trained, frames):
    trainer, history = trained
    full = Trainer(settings())
    expected = full.fit(part(frames))
    found = [row["loss"] for row in history]
    np.testing.assert_allclose(found, [row["loss"] for row in expected], rtol=0.1)
    assert found != [row["loss"] for row in expected]
    np.testing.assert_allclose(predict(trainer, frames, TEST), predict(full, frames, TEST), atol=0.05)


def test_stored_features_come_from_the_float32_network(frames):
    changes = {"frozen_layers": 1.0, "flip": False, "shift": 0, "precision": "mixed_bfloat16"}
    trainer = Trainer(settings(**changes))
    history = trainer.fit(part(frames))
    assert trainer._front.output.dtype == "float32" and np.isfinite(history[-1]["loss"])


def test_the_precision_of_other_layers_is_left_alone():
    Trainer(settings(precision="mixed_bfloat16"))
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("jit, compiled", [("auto", False), ("off", False), ("on", True)])
def test_compiling_is_a_setting(jit, compiled, monkeypatch):
    # Whether kernels are deterministic in this process depends on the tests before.
    monkeypatch.setattr("keras.src.trainers.trainer.model_supports_jit", lambda model: True)
    assert Trainer(settings(jit=jit)).jit_compile is compiled


@pytest.mark.filterwarnings("ignore:Model doesn't support")
def test_compiling_deterministic_kernels_is_refused(monkeypatch):
    monkeypatch.setattr("keras.src.trainers.trainer.model_supports_jit", lambda model: False)
    with pytest.raises(SettingsError, match="jit is 'on'") as caught:
        Trainer(settings(jit="on"))
    assert "--deterministic false" in caught.value.fix


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_kernels_are_asked_for_unless_they_are_not_wanted(deterministic, monkeypatch):
    import tensorflow as tf

    asked = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    machine.prepare(0, 0, deterministic)
    assert bool(asked) is deterministic
