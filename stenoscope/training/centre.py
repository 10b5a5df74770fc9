"""The test view: the centre crop without offset, and the probabilities of it."""

from collections.abc import Sequence

import keras
import numpy as np

from stenoscope.augmentation.apply import apply_variant
from stenoscope.augmentation.grid import CENTRE, VARIANTS
from stenoscope.models.mirrors import predict_probabilities
from stenoscope.settings import TrainingSettings
from stenoscope.training.batches import resize


def centre_images(frames: np.ndarray, size: int) -> np.ndarray:
    """The network's view of frames, uint8 (n, 512, 512): float32 (n, size, size, 1), 0 to 255."""
    return resize(apply_variant(frames, VARIANTS[CENTRE]), size)[..., None]


def probabilities(model: keras.Model, frames: Sequence[np.ndarray], settings: TrainingSettings) -> np.ndarray:
    """Probabilities of frames, float32 (num_frames, num_labels), in the test view of a model.

    The frames, uint8 (512, 512), are read a batch at a time. With `mirrored_test`, mean over their mirror
    images.
    """
    if not len(frames):
        return np.zeros((0, model.output.shape[-1]), np.float32)
    batch = min(settings.batch_size, len(frames))
    found = []
    for first in range(0, len(frames), batch):
        images = centre_images(frames[first : first + batch], settings.image_size)
        # One shape of batches, one trace: the last one is filled up.
        filled = np.concatenate([images, np.repeat(images[:1], batch - len(images), axis=0)])
        found.append(predict_probabilities(model, filled, settings.mirrored_test)[: len(images)])
    return np.concatenate(found)
