"""Features of a backbone that keeps all its weights, computed once for each image that training visits."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import keras
import numpy as np

from stenoscope.errors import SettingsError
from stenoscope.models.classifier import split_at
from stenoscope.roles import augmentations
from stenoscope.settings import TrainingSettings
from stenoscope.training.batches import Sample
from stenoscope.training.schedule import backbone_layers

IN_MEMORY = 512 * 2**20
"""Bytes of features that are kept in memory; more go to a file in the temporary folder."""


def cacheable(settings: TrainingSettings) -> bool:
    """Whether only the head trains, on stored features: everything is frozen, and there is what to freeze.

    A SettingsError if everything is frozen, but an image is changed in more ways than could be stored.
    """
    if settings.frozen_layers < 1.0 or settings.weights == "none":
        return False
    off = {name: str(type(getattr(settings, name))()).lower() for name in augmentations(TrainingSettings)}
    names = [name for name in off if settings.augmentation and getattr(settings, name)]
    names += ["narrowings"] * settings.narrowings
    if names:
        raise SettingsError(
            "With frozen_layers 1 features are computed once, but "
            f"{', '.join(names)} would change an image in every epoch.",
            f"{', '.join(f'{name}: {value}' for name, value in off.items())} (or augmentation: false) and "
            "narrowings: false, or fewer frozen layers",
            f"add {' '.join(f'--{name} {value}' for name, value in off.items())} --narrowings false.",
        )
    return True


def split_backbone(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a classifier at the last layer of its backbone that everything passes through.

    The front goes from the image to the features, the head from there to the logits. With an attention block
    that also looks at what its block of the backbone was given, the head holds that block.
    """
    for layer in reversed(backbone_layers(model)):
        with suppress(SettingsError):  # a connection passes it by
            return split_at(model, layer.name)
    raise SettingsError(
        "No layer of the backbone holds all that the classifier uses.",
        "a backbone that can be split",
        "lower frozen_layers below 1.",
    )


class Features:
    """Features by sample: `values`, float32 (n, rows, cols, channels), and which row holds a sample."""

    def __init__(self, values: np.ndarray, index: dict[Sample, int]):
        self.values, self.index = values, index

    def of(self, samples: list[Sample]) -> np.ndarray:
        """Features of some samples, float32 (n, rows, cols, channels)."""
        return self.values[[self.index[sample] for sample in samples]]


@contextmanager
def stored_features(
    front: keras.Model, samples: Iterable[Sample], pixels: Callable, batch_size: int
) -> Iterator[Features]:
    """Compute the features of samples and keep them while the context lasts.

    `front` goes from the image to the backbone's last features, `pixels` from a list of samples to their
    images, float32 (n, S, S, 1); repeats are computed once. A SettingsError if the features fit neither into
    memory nor into the temporary folder.
    """
    wanted = list(dict.fromkeys(samples))
    shape = (len(wanted), *front.output.shape[1:])
    with _array(shape) as values:
        for first in range(0, len(wanted), batch_size):
            some = wanted[first : first + batch_size]
            filled = some + some[:1] * (batch_size - len(some))
            found = front.predict_on_batch(pixels(filled))[: len(some)]
            values[first : first + len(some)] = found
        yield Features(values, {sample: row for row, sample in enumerate(wanted)})


@contextmanager
def _array(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size <= IN_MEMORY:
        yield np.empty(shape, np.float32)
        return
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk should say so now
        except OSError as problem:
            raise SettingsError(
                f"Features of {size / 2**30:.1f} GiB do not fit into {tempfile.gettempdir()} "
                f"({problem.strerror}).",
                "room for the features of every frame and variant that training visits",
                "lower image_size or variants_per_epoch, cut the backbone earlier, or set TMPDIR.",
            ) from problem
        values = np.memmap(file, np.float32, "r+", shape=shape)
        yield values
        del values
