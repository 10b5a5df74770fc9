"""Going on after a whole epoch as if nothing had happened."""

import numpy as np
import pytest

from stenoscope.errors import DatasetError
from stenoscope.training.fold import Trainer
from tests.training.small import LABELS, MEAN, TEST, TRAIN, settings, seven_clips

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
    history = trainers[0].fit(frames, TRAIN, LABELS, MEAN, 2)
    return [row["loss"] for row in history], trainers[0].predict(frames, TEST)


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_interrupted_fold_ends_as_an_undisturbed_one(trainers, frames, undisturbed, epoch, tmp_path):
    def stop(row):
        if row["epoch"] == epoch:
            raise StopError

    file = tmp_path / "checkpoint.npz"
    with pytest.raises(StopError):
        trainers[0].fit(frames, TRAIN, LABELS, MEAN, 2, stop, checkpoint=file)
    rows = []
    trainers[1].fit(frames, TEST, LABELS, MEAN, 5)  # whatever ran before
    history = trainers[1].fit(frames, TRAIN, LABELS, MEAN, 2, rows.append, checkpoint=file)
    assert [row["loss"] for row in history] == undisturbed[0] and rows == history
    np.testing.assert_array_equal(trainers[1].predict(frames, TEST), undisturbed[1])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_a_checkpoint_that_does_not_fit_is_refused(trainers, frames, tmp_path):
    file = tmp_path / "checkpoint.npz"
    file.write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"checkpoint\.npz can't be read"):
        trainers[0].fit(frames, TRAIN, LABELS, MEAN, 2, checkpoint=file)
    np.savez(file, history=np.array("[]"), v0=np.zeros(3))
    with pytest.raises(DatasetError, match="another network") as caught:
        trainers[0].fit(frames, TRAIN, LABELS, MEAN, 2, checkpoint=file)
    assert "delete it" in caught.value.fix
