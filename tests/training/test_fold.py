"""The trainer: one network for all folds, each fold as if it were the first."""

import keras
import numpy as np
import pytest

from stenoscope.settings import TrainingSettings
from stenoscope.training.fold import Trainer, learning_rate_at, make_optimizer

TRAIN, TEST = np.array([0, 1, 2, 3, 4]), np.array([5, 6])
LABELS = np.array([[0], [1], [0], [1], [np.nan], [0], [1]], np.float32)
MEAN = np.full((500, 500), 100, np.float32)


def settings(**changes) -> TrainingSettings:
    small = {
        "image_size": 32,
        "cut": "block2_add",
        "heatmap_layer": "block2_add",
        "batch_size": 4,
        "epochs": 2,
        "narrowings": False,
    }
    return TrainingSettings(**{**small, **changes})


@pytest.fixture(scope="module")
def frames():
    """Seven clips of noise; those of label 1 carry a dark bar."""
    frames = np.random.default_rng(0).integers(80, 120, (35, 512, 512), dtype=np.uint8)
    for clip in np.flatnonzero(LABELS[:, 0] == 1):
        frames[5 * clip : 5 * clip + 5, 100:400, 200:260] = 20
    return frames


@pytest.fixture(scope="module")
def trainer():
    return Trainer(settings())


def fit(trainer, frames, fold=1, mean=MEAN, clips=TRAIN):
    keras.utils.set_random_seed(123)  # whatever ran before must not matter
    history = trainer.fit(frames, clips, LABELS, mean, fold)
    return history, trainer.predict(frames, TEST)


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
    assert not any(
        np.any(variable)
        for variable in trainer._learner.optimizer.variables
        if "learning_rate" not in variable.path
    )
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
    trainer.fit(frames, TRAIN, poisoned, MEAN, 1)
    np.testing.assert_array_equal(trainer.predict(frames, TEST), first[1])


def test_prediction_does_not_depend_on_the_company(trainer, frames, first):
    trainer.fit(frames, TRAIN, LABELS, MEAN, 1)
    for order in (TEST[::-1], TEST[:1]):
        found = trainer.predict(frames, order)
        expected = {5: first[1][0], 6: first[1][1]}
        for clip, probability in zip(order, found, strict=True):
            np.testing.assert_allclose(probability, expected[int(clip)], atol=1e-6)


def test_it_learns_what_can_be_learnt(frames):
    learner = Trainer(settings(epochs=12, flip=False, shift=0, learning_rate=2e-3, enhance="none"))
    history, probabilities = fit(learner, frames)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert probabilities[1].mean() > probabilities[0].mean() + 0.2


def test_learning_rates_by_hand():
    cosine = settings(learning_rate=0.4, epochs=2)
    found = [learning_rate_at(epoch, cosine) for epoch in (0, 0.5, 1, 1.5, 2)]
    np.testing.assert_allclose(found, [0.4, 0.2 * (1 + 0.5**0.5), 0.2, 0.2 * (1 - 0.5**0.5), 0], atol=1e-12)
    constant = settings(learning_rate=0.4, schedule="constant")
    assert [learning_rate_at(epoch, constant) for epoch in (0, 0.3, 1)] == [0.4] * 3


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers(name):
    optimizer = make_optimizer(settings(optimizer=name, learning_rate=0.25))
    assert type(optimizer).__name__.lower() == name and float(optimizer.learning_rate) == 0.25
    if name == "sgd":
        assert optimizer.momentum == 0.9
