import keras
import numpy as np
import pytest
from keras import ops

from stenoscope.errors import WeightsError
from stenoscope.temporal import losses
from stenoscope.temporal.decode import points
from stenoscope.temporal.inference import load, localise, read_parts, save
from stenoscope.temporal.network import (
    LocalWindow,
    Parts,
    PatchResponse,
    build,
    filling_courses,
)


def inputs(length, seen, seed=0):
    maps = np.random.default_rng(seed).random((1, length, 64, 64, 2)).astype(np.float32)
    maps[:, seen:] = 0
    return {"maps": maps, "seen": (np.arange(length) < seen).astype(np.float32)[None]}


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return build(Parts())


def answer(network, given):
    return ops.convert_to_numpy(network(given, training=False)["points"])


def test_one_answer_for_every_point(network):
    training, used = network
    assert answer(used, inputs(16, 16)).shape == (1, len(points(16)[0]), 4)
    given = {**inputs(16, 16), "patches": np.zeros((1, 8), np.int32)}
    found = training(given)
    assert found["frames"].shape == (1, 16, 32) and found["responses"].shape == (1, 16, 1)
    assert (answer(used, inputs(16, 16))[..., 2:] >= 0).all()


def test_padding_does_not_matter(network):
    _, used = network
    short, long = inputs(48, 40), inputs(56, 40)
    np.testing.assert_array_equal(long["maps"][:, :40], short["maps"][:, :40])
    found = answer(used, short)[0, :40]
    np.testing.assert_allclose(answer(used, long)[0, :40], found, atol=1e-4)
    assert np.abs(answer(used, inputs(48, 40, seed=1))[0, :40] - found).max() > 1e-3


def test_courses_run_from_0_to_1_over_the_frames_that_are_there():
    maps = np.zeros((1, 4, 8, 8, 1), np.float32)
    maps[0, 1, :4], maps[0, 2], maps[0, 3] = 1, 1, 9
    found = ops.convert_to_numpy(filling_courses(maps, np.array([[1.0, 1, 1, 0]], np.float32)))
    np.testing.assert_allclose(found[0], [[0, 0], [0.5, 0.5], [1, 1], [0, 0]], atol=2e-3)


def test_parts_can_be_left_out():
    without, used = build(Parts(conv_lstm=False, contrast=False))
    assert without is used
    assert not any(layer.name == "memory" for layer in used.layers)
    assert used.count_params() < build(Parts())[1].count_params()


def test_weights_survive_their_file(network, tmp_path):
    _, used = network
    save(used, Parts(), tmp_path / "w.npz")
    read = load(tmp_path / "w.npz")
    np.testing.assert_allclose(answer(read, inputs(8, 8)), answer(used, inputs(8, 8)), atol=0.02)
    assert (tmp_path / "w.npz").stat().st_size < 5e6
    (tmp_path / "w.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightsError, match=r"w\.npz"):
        load(tmp_path / "w.npz")


def test_the_parts_survive_the_file_of_the_weights(tmp_path):
    parts = Parts(conv_lstm=False, contrast=False)
    _, used = build(parts)
    values = np.random.default_rng(0).integers(0, 99, (9, 64, 64, 2), dtype=np.uint8)
    assert localise(used, values)[1].shape == (9, 2)
    save(used, parts, tmp_path / "w.npz")
    assert read_parts(tmp_path / "w.npz") == parts


def test_weights_of_unknown_features_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", conv_lstm=True, features="sound")
    with pytest.raises(WeightsError, match=r"w\.npz.*features 'sound'"):
        load(tmp_path / "w.npz")


def test_attention_stays_in_its_window():
    near = ops.convert_to_numpy(LocalWindow()(np.array([[1.0] * 30 + [0.0] * 2], np.float32)))[0]
    assert near[15].nonzero()[0].tolist() == list(range(7, 24))
    assert not near[:, 30:].any()


def test_response_to_patches_of_the_background():
    places = np.zeros((1, 2, 1, 2, 2), np.float32)
    places[0, 0] = [[[3, 0], [0, 2]]]  # frame 0 holds both directions
    places[0, 1] = [[[5, 0], [-1, 0]]]
    found = ops.convert_to_numpy(PatchResponse()([places, np.array([[0, 1]])]))[0, :, 0]
    # Kernels (1, 0) and (0, 1). Frame 0: 1 and 1. Frame 1: 1, and max(-1, 0) = 0.
    np.testing.assert_allclose(found, [1, 0.5], atol=1e-4)


def test_boundary_loss_by_hand():
    bounds, offsets = np.array([[4.0, 6.0]]), np.array([[2.0, 8.0]])
    # Shared 2 + 6, hull 4 + 8; centres at (6 - 4) / 2 = 1 and (8 - 2) / 2 = 3.
    found = ops.convert_to_numpy(losses.distance_iou(bounds, offsets))
    np.testing.assert_allclose(found, 1 - 8 / 12 + (2 / 12) ** 2, rtol=1e-5)
    assert losses.distance_iou(bounds, bounds)[0] < 1e-6
    found = ops.convert_to_numpy(losses.relative_error(bounds, offsets))
    np.testing.assert_allclose(found, (np.log(5 / 3) + np.log(9 / 7)) / 2, rtol=1e-5)


def test_action_loss_by_hand():
    target = np.zeros((1, 3, 5), np.float32)
    target[0, 0] = 1, 0, 1, 4, 6  # in the first action
    target[0, 1] = 0, 0, 1, 0, 0  # outside
    answer = np.zeros((1, 3, 4), np.float32)
    answer[0, 0] = 0, -30, 4, 6
    answer[0, 1:, :2] = -30
    answer[0, 2] = 30, 30, 9, 9  # padding: does not count
    # One positive at score 1/2: alpha (1/2)^2 log 2; its boundaries are right.
    found = ops.convert_to_numpy(losses.action_loss(target, answer))
    np.testing.assert_allclose(found, 0.25 * 0.25 * np.log(2), rtol=1e-4)


def test_contrast_tells_foreground_from_background():
    labels = np.array([0, 0, 1, 1, -1], np.float32)[None, :, None]
    apart = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]], np.float32)[None]
    mixed = apart[:, [0, 2, 1, 3, 4]]
    good, bad = (float(losses.image_contrast(labels, frames)[0]) for frames in (apart, mixed))
    # Each frame has one like it, at 1 / 0.2, and two unlike it, at 0.
    assert good == pytest.approx(np.log(np.exp(5) + 2) - 5, abs=1e-3)
    assert bad == pytest.approx(np.log(np.exp(5) + 2), abs=1e-3)
    logits = np.array([2, 2, -2, -2, 50], np.float32)[None, :, None]
    assert float(losses.patch_contrast(labels, logits)[0]) == pytest.approx(np.log(1 + np.exp(-2)), abs=1e-4)
    assert float(losses.patch_contrast(np.full((1, 5, 1), -1, np.float32), logits)[0]) == 0
