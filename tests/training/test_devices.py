"""Several devices share a batch, and give what one gives."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from stenoscope.errors import SettingsError
from stenoscope.training.devices import sharing

TWO = """
import json, sys
import keras
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from stenoscope.training.fold import Trainer
from tests.training.small import TEST, part, predict, settings, seven_clips
frames, found = seven_clips(), []
for devices in (1, 2):
    trainer = Trainer(settings(devices=devices))
    history = trainer.fit(part(frames))
    found.append([[row["loss"] for row in history], predict(trainer, frames, TEST).ravel().tolist()])
print(json.dumps(found))
"""


def test_two_devices_give_what_one_gives(root):
    if keras.backend.backend() == "torch":
        pytest.skip("torch can't share a batch")
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-c", TWO], cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (loss, probabilities), (shared_loss, shared_probabilities) = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(shared_loss, loss, rtol=1e-4)
    np.testing.assert_allclose(shared_probabilities, probabilities, atol=1e-3)
    assert np.ptp(probabilities) > 0


def test_fewer_devices_than_asked_are_named():
    with pytest.raises(SettingsError, match="devices is 64") as caught:
        sharing(64, 64)
    assert "devices" in caught.value.fix


def test_a_batch_must_be_shared_equally(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "cpu:1", "cpu:2"])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(SettingsError, match="batch_size 16") as caught:
        sharing(3, 16)
    assert "18" in caught.value.fix


def test_one_device_is_never_asked_for(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", None)
    with sharing(1, 7)():
        pass
