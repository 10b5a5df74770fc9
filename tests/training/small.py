"""A network and frames small enough to train within a test."""

import numpy as np

from stenoscope.folds.mean_image import frame_rows
from stenoscope.folds.part import Rows, TrainingPart
from stenoscope.settings import TrainingSettings

TRAIN, TEST = np.array([0, 1, 2, 3, 4]), np.array([5, 6])
LABELS = np.array([[0], [1], [0], [1], [np.nan], [0], [1]], np.float32)
MEAN = np.full((500, 500), 100, np.float32)


def settings(**changes) -> TrainingSettings:
    """The default network cut after its second block, on images of 32 pixels."""
    small = {
        "image_size": 32,
        "cut": "block2_add",
        "heatmap_layer": "block2_add",
        "batch_size": 4,
        "epochs": 2,
        "narrowings": False,
    }
    return TrainingSettings(**{**small, **changes})


def seven_clips() -> np.ndarray:
    """Seven clips of noise; those of label 1 carry a dark bar."""
    frames = np.random.default_rng(0).integers(80, 120, (7, 5, 512, 512), dtype=np.uint8)
    for clip in np.flatnonzero(LABELS[:, 0] == 1):
        frames[clip, :, 100:400, 200:260] = 20
    return frames


def part(frames, train=TRAIN, labels=LABELS, mean=MEAN, fold=1, frame_wise=False) -> TrainingPart:
    """A training part of these clips."""
    return TrainingPart(fold, frames, train, labels, mean, frame_wise)


def predict(trainer, frames, clips) -> np.ndarray:
    """Probabilities of all key frames of some clips, float32 (n, 5, num_labels)."""
    from stenoscope.training.centre import probabilities

    with trainer.scope():
        found = probabilities(trainer.model, Rows(frames, frame_rows(clips, 5)), trainer.settings)
    return found.reshape(len(clips), 5, -1)
