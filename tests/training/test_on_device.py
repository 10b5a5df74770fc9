"""Augmentation on the device does what that on the CPU does."""

import keras
import numpy as np
import pytest

from stenoscope.training.batches import Sample, epoch_plan, render
from stenoscope.training.fold import Trainer
from stenoscope.training.on_device import DeviceFrames, area_weights, can_render, encode
from tests.training.small import TEST, TRAIN, part, predict, settings, seven_clips


@pytest.fixture(scope="module")
def frames():
    return seven_clips()


def test_area_weights_by_hand():
    weights = area_weights(200)[1]  # 2.5 pixels to one, from pixel 6
    assert weights.shape == (200, 512) and weights[:, :6].max() == weights[:, 506:].max() == 0
    np.testing.assert_allclose(weights[0, 6:10], [0.4, 0.4, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("size", [100, 299, 500])
def test_samples_look_the_same(frames, size):
    noise = np.random.default_rng(1).integers(0, 256, frames.shape, dtype=np.uint8)
    mean = np.random.default_rng(2).uniform(50, 200, (500, 500)).astype(np.float32)
    plan = [*epoch_plan(TRAIN, 5, settings(variants_per_epoch=3), 1, 0)[:12], Sample(1, 4, 24)]
    layer = DeviceFrames(35, size)
    layer.hold(noise, np.arange(35))
    layer.set_mean_image(mean)
    found = keras.ops.convert_to_numpy(layer(encode(plan, 5)))
    expected = render(noise, plan, size, mean).images
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_what_is_not_known_here_is_left_to_the_cpu(frames):
    assert can_render([Sample(0, 1, 3, (True, False), (2, -3))])
    assert not can_render([Sample(0, 1, 3), Sample(0, 1, 3, narrowing=5)])
    trainer = Trainer(settings(narrowings=True, epochs=1), on_device=True)
    trainer.fit(part(frames))
    assert trainer._device_frames is None


def test_training_is_the_same_but_for_rounding_and_sees_training_frames_alone(frames):
    one, other = Trainer(settings(), on_device=False), Trainer(settings(), on_device=True)
    histories = [trainer.fit(part(frames)) for trainer in (one, other)]
    losses = [[row["loss"] for row in history] for history in histories]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    np.testing.assert_allclose(predict(one, frames, TEST), predict(other, frames, TEST), atol=5e-3)
    held = keras.ops.convert_to_numpy(other._device_frames.frames)
    np.testing.assert_array_equal(held[:25], frames[:5].reshape(-1, 512, 512))
    assert not held[25:].any()
