"""The trainer: one network for all folds, each fold as if it were the first."""

import keras
import numpy as np
import pytest

from stenoscope.folds.part import Rows
from stenoscope.training.centre import probabilities
from stenoscope.training.fold import Trainer
from tests.training.small import LABELS, MEAN, TEST, TRAIN, part, predict, settings, seven_clips


@pytest.fixture(scope="module")
def frames():
    return seven_clips()


@pytest.fixture(scope="module")
def trainer():
    return Trainer(settings())


def fit(trainer, frames, fold=1, mean=MEAN, clips=TRAIN):
    keras.utils.set_random_seed(123)  # whatever ran before must not matter
    history = trainer.fit(part(frames, clips, LABELS, mean, fold))
    return history, predict(trainer, frames, TEST)


@pytest.fixture(scope="module")
def first(trainer, frames):
    """History and probabilities of fold 1."""
    return fit(trainer, frames)


def weights(model):
    return [np.array(weight) for weight in model.weights]


def test_history_has_a_row_per_epoch(first):
    history, probabilities = first
    assert [row["epoch"] for row in history] == [0, 1]
    assert all(row["loss"] > 0 and 0 <= row["accuracy"] <= 1 and row["seconds"] > 0 for row in history)
    assert probabilities.shape == (2, 5, 1) and probabilities.dtype == np.float32
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_a_fold_does_not_depend_on_the_folds_before_it(trainer, frames, first):
    fit(trainer, frames, fold=2, mean=np.full((500, 500), 30, np.float32), clips=TEST)
    history, probabilities = fit(trainer, frames)
    assert [row["loss"] for row in history] == [row["loss"] for row in first[0]]
    np.testing.assert_array_equal(probabilities, first[1])


def test_a_reset_model_is_that_of_a_new_trainer(trainer, frames, first):
    trainer.reset(MEAN, 3)
    fresh = Trainer(settings())
    fresh.reset(MEAN, 3)
    for one, other in zip(weights(trainer.model), weights(fresh.model), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(
        trainer._learner.optimizer.variables, fresh._learner.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(np.array(one), np.array(other))
    np.testing.assert_array_equal(fit(fresh, frames)[1], first[1])


def test_folds_start_from_different_heads(trainer):
    trainer.reset(MEAN, 1)
    one = weights(trainer.model)
    trainer.reset(MEAN, 2)
    assert any(not np.array_equal(a, b) for a, b in zip(one, weights(trainer.model), strict=True))


def test_the_folds_mean_image_goes_into_the_model(trainer):
    for level in (100, 30):
        trainer.reset(np.full((500, 500), level, np.float32), 1)
        (held,) = (weight for weight in weights(trainer.model) if weight.shape == (32, 32, 1))
        np.testing.assert_allclose(held, level, rtol=1e-5)


def test_labels_of_test_clips_are_never_read(trainer, frames, first):
    poisoned = LABELS.copy()
    poisoned[TEST] = np.nan
    trainer.fit(part(frames, TRAIN, poisoned, MEAN, 1))
    np.testing.assert_array_equal(predict(trainer, frames, TEST), first[1])


def test_prediction_does_not_depend_on_the_company(trainer, frames, first):
    trainer.fit(part(frames))
    for order in (TEST[::-1], TEST[:1]):
        found = predict(trainer, frames, order)
        expected = {5: first[1][0], 6: first[1][1]}
        for clip, probability in zip(order, found, strict=True):
            np.testing.assert_allclose(probability, expected[int(clip)], atol=1e-6)


def test_it_learns_what_can_be_learnt(frames):
    learner = Trainer(settings(epochs=12, flip=False, shift=0, learning_rate=2e-3, enhance="none"))
    history, probabilities = fit(learner, frames)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert probabilities[1].mean() > probabilities[0].mean() + 0.2


def test_two_labels_of_which_some_are_unknown(frames):
    labels = np.column_stack([LABELS[:, 0], [1, 0, np.nan, 0, 1, 0, 0]]).astype(np.float32)
    learner = Trainer(settings(narrowings=True), num_labels=2)
    history = learner.fit(part(frames, TRAIN, labels, MEAN, 1))
    assert all(np.isfinite(row["loss"]) and 0 <= row["accuracy"] <= 1 for row in history)
    assert predict(learner, frames, TEST).shape == (2, 5, 2)
    kernel = np.array(learner.model.get_layer("class_map").weights[0])
    assert (kernel != 0).any(axis=(0, 1, 2)).all(), "both labels were learnt"
    labels[TRAIN, 1] = np.nan
    learner.fit(part(frames, TRAIN, labels, MEAN, 1))
    kernel = np.array(learner.model.get_layer("class_map").weights[0])
    assert (kernel[..., 0] != 0).any() and not kernel[..., 1].any(), "unknown labels teach nothing"


def test_frame_rows_train_as_their_clips_do(trainer, frames, first):
    rows = (TRAIN[:, None] * 5 + np.arange(5)).ravel()
    keras.utils.set_random_seed(5)
    history = trainer.fit(part(frames, rows, LABELS, MEAN, 1, frame_wise=True))
    assert [row["loss"] for row in history] == [row["loss"] for row in first[0]]
    found = probabilities(trainer.model, Rows(frames, np.array([25, 27, 34])), trainer.settings)
    np.testing.assert_allclose(found, first[1][[0, 0, 1], [0, 2, 4]], atol=1e-6)


def test_early_blocks_learn_slower(frames):
    learner = Trainer(settings(layer_decay=0.1, optimizer="sgd", epochs=1, frozen_layers=0.0))
    learner.reset(MEAN, 1)
    start = {weight.path: np.array(weight) for weight in learner.model.trainable_weights}
    learner.fit(part(frames))
    moved = {
        weight.path: np.abs(np.array(weight) - start[weight.path]).max() / np.abs(start[weight.path]).max()
        for weight in learner.model.trainable_weights
        if weight.path.endswith("project_conv/kernel")
    }
    assert 0 < moved["block0_project_conv/kernel"] < 0.2 * moved["block2_project_conv/kernel"]


def test_one_step_with_narrowings_by_hand():
    """Three normal clips, an abnormal one, one of unknown label; five frames each, all in one batch."""
    frames = np.random.default_rng(0).integers(157, 164, (5, 5, 512, 512), dtype=np.uint8)
    frames[..., 60:450, 150:162] -= 100  # a vessel that runs down: each frame can be narrowed
    labels = np.array([[0], [1], [0], [np.nan], [0]], np.float32)
    plan = {"variants_per_epoch": 1, "frames_per_epoch": 5, "batch_size": 40, "epochs": 1}
    step = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 0.1}
    learner = Trainer(settings(**plan, **step, narrowings=True))
    (row,) = learner.fit(part(frames, np.arange(5), labels, MEAN, 1))
    # 15 normal frames, their 15 twins and 5 abnormal frames: 35 / (2 * 15) = 7/6 and 35 / (2 * 20) = 7/8.
    # At first every logit is 0: each frame costs log 2, and so do the normal cells of a normal frame, the
    # normal and the narrowed cells of a twin: ((15 * 7/6 + 20 * 7/8) + (15 * 7/6 + 15 * 7/8 * 2)) / 35 = 2.25
    assert row["loss"] == pytest.approx(2.25 * np.log(2), rel=1e-5)
    # A logit of 0 counts as normal: right for the normal half of the weight.
    assert row["accuracy"] == pytest.approx(0.5, rel=1e-5)
    # Each term has a gradient of 1/2 where its target is 0 and -1/2 where it is 1. Those of the frames
    # cancel, those of a twin's cells too; the normal frames' cells are left: 15 * 7/6 * 1/2 / 40 = 7/32.
    (bias,) = learner.model.get_layer("logits").weights
    np.testing.assert_allclose(np.array(bias), -0.1 * 7 / 32, rtol=1e-5)
