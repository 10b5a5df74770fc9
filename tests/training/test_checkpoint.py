"""Going on after a whole epoch as if nothing had happened."""

import keras
import numpy as np
import pytest

from stenoscope.errors import DatasetError
from stenoscope.training import checkpoint
from stenoscope.training.fold import Trainer
from tests.training.small import LABELS, MEAN, TEST, TRAIN, part, predict, settings, seven_clips

OWN = {
    "epochs": 3,
    "freeze_batch_norm": False,
    "frozen_layers": 0.3,
    "layer_decay": 0.7,
    "label_smoothing": 0.1,
    "warmup": 0.5,
}


class StopError(Exception):
    """Raised after an epoch."""


@pytest.fixture(scope="module")
def frames():
    return seven_clips()


@pytest.fixture(scope="module")
def trainers():
    """Two, because the process that goes on is a new one."""
    return Trainer(settings(**OWN)), Trainer(settings(**OWN))


@pytest.fixture(scope="module")
def undisturbed(trainers, frames):
    history = trainers[0].fit(part(frames, TRAIN, LABELS, MEAN, 2))
    return [row["loss"] for row in history], predict(trainers[0], frames, TEST)


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_interrupted_fold_ends_as_an_undisturbed_one(trainers, frames, undisturbed, epoch, tmp_path):
    def stop(row):
        if row["epoch"] == epoch:
            raise StopError

    file = tmp_path / "checkpoint.npz"
    with pytest.raises(StopError):
        trainers[0].fit(part(frames, TRAIN, LABELS, MEAN, 2), stop, checkpoint=file)
    rows = []
    trainers[1].fit(part(frames, TEST, LABELS, MEAN, 5))  # whatever ran before
    history = trainers[1].fit(part(frames, TRAIN, LABELS, MEAN, 2), rows.append, checkpoint=file)
    assert [row["loss"] for row in history] == undisturbed[0] and rows == history
    np.testing.assert_array_equal(predict(trainers[1], frames, TEST), undisturbed[1])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_a_checkpoint_that_does_not_fit_is_refused(trainers, frames, tmp_path):
    file = tmp_path / "checkpoint.npz"
    file.write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"checkpoint\.npz can't be read"):
        trainers[0].fit(part(frames, TRAIN, LABELS, MEAN, 2), checkpoint=file)
    np.savez(file, history=np.array("[]"), v0=np.zeros(3))
    with pytest.raises(DatasetError, match="another network") as caught:
        trainers[0].fit(part(frames, TRAIN, LABELS, MEAN, 2), checkpoint=file)
    assert "delete it" in caught.value.fix


def test_any_byte_of_a_checkpoint_that_is_another_is_noticed_or_does_not_matter(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    optimizer = keras.optimizers.SGD(momentum=0.9)
    optimizer.build(model.trainable_variables)
    values = [*model.variables, *optimizer.variables]
    file = tmp_path / "checkpoint.npz"
    checkpoint.save(file, model, optimizer, [{"epoch": 1, "loss": 0.5}])
    whole, expected = file.read_bytes(), [np.array(value) for value in values]
    noticed = 0
    for position in range(0, len(whole), 3):
        file.write_bytes(
            whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :]
        )
        try:
            history = checkpoint.restore(file, model, optimizer)
        except DatasetError as problem:
            assert str(file) in problem.received
            noticed += 1
        else:
            assert history == [{"epoch": 1, "loss": 0.5}]
            for value, was in zip(values, expected, strict=True):
                np.testing.assert_array_equal(value, was)
    assert noticed > len(whole) // 6
    file.write_bytes(whole[:-1])
    with pytest.raises(DatasetError):
        checkpoint.restore(file, model, optimizer)
