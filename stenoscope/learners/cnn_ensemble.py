"""An experiment's models as one network: from key frames to mean probability and class activation map."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from stenoscope.augmentation.grid import CENTRE_CROP
from stenoscope.models.mirrors import VIEWS
from stenoscope.records import FRAME_SIZE
from stenoscope.training.on_device import area_weights

OUTPUTS = ("probability", "fold_probability", "heatmap")
"""Names of the network's outputs."""


class _Linear(keras.layers.Layer):
    """One linear map of rows and columns, given by its weights, float32 (size out, size in)."""

    def __init__(self, weights: np.ndarray):
        super().__init__(trainable=False, dtype="float32")
        self.weights_of_rows = np.asarray(weights, np.float32)

    def call(self, images):
        weights = ops.convert_to_tensor(self.weights_of_rows)
        return ops.matmul(ops.matmul(weights, ops.cast(images, "float32")), ops.transpose(weights))


class _Mirror(keras.layers.Layer):
    """The views of a batch of images, one batch after the other.

    What is mirrored is the difference to the mean image, as in `mirrors.predict_probabilities`.
    """

    def __init__(self, views, mean: np.ndarray):
        super().__init__(trainable=False, dtype="float32")
        self.views, self.mean = views, mean

    def call(self, images):
        mean = ops.convert_to_tensor(self.mean)
        centred = images[..., None] - mean
        return ops.concatenate([centred[:, ::down, ::right] + mean for down, right in self.views], axis=0)


class _ByView(keras.layers.Layer):
    """First label of the mirrored batches, (number of views, n, ...): the batch taken apart again."""

    def __init__(self, num_views: int):
        super().__init__(trainable=False, dtype="float32")
        self.num_views = num_views

    def call(self, values):
        return ops.reshape(values[..., 0], (self.num_views, -1, *values.shape[1:-1]))


class _Mean(keras.layers.Layer):
    """Mean over an axis, or what lies first on it."""

    def __init__(self, axis: int, first_only: bool = False):
        super().__init__(trainable=False, dtype="float32")
        self.axis, self.first_only = axis, first_only

    def call(self, values):
        return ops.take(values, 0, axis=self.axis) if self.first_only else ops.mean(values, axis=self.axis)


def ensemble_network(models: Sequence[keras.Model], size: int, mirrored: bool) -> keras.Model:
    """Join classifiers of one input and map size into one network that takes frames as they are stored.

    `size` is their input's rows and columns; `mirrored` averages each probability over the four views of
    `mirrors.VIEWS`, while the map is that of the plain view. The network maps ``frames``, uint8 (n, 512,
    512), vessels dark, to a dict of `OUTPUTS`: ``probability`` (n,), the mean of the models;
    ``fold_probability`` (n, num_models); ``heatmap`` (n, 512, 512), evidence for the first label in logits,
    mean of the models.
    """
    frames = keras.Input((FRAME_SIZE, FRAME_SIZE), dtype="uint8", name="frames")
    images = _Linear(area_weights(size)[1])(frames)  # of the centre crop, the second of three
    views = VIEWS if mirrored else VIEWS[:1]
    probabilities, maps = [], []
    for model in models:
        held = model.get_layer("standardize").mean_image
        mean = np.zeros((1, 1, 1), np.float32) if held is None else np.asarray(held)
        both = keras.Model(model.input, [model.output, model.get_layer("pooling").input])
        probability, class_map = both(_Mirror(views, mean)(images))
        probabilities.append(_Mean(axis=0)(_ByView(len(views))(probability)))
        maps.append(_Mean(axis=0, first_only=True)(_ByView(len(views))(class_map)))
    of_folds = ops.stack(probabilities, axis=1)
    heatmap = _Linear(_placing(maps[0].shape[1]))(_Mean(axis=0)(ops.stack(maps, axis=0)))
    outputs = _Mean(axis=1)(of_folds), of_folds, heatmap
    return keras.Model(frames, dict(zip(OUTPUTS, outputs, strict=True)))


def _placing(cells: int) -> np.ndarray:
    """From rows of a class map to rows of the frame, float32 (512, cells); the same for columns."""
    rows = np.repeat(np.eye(cells, dtype=np.float32)[..., None], cells, axis=2)  # one row of ones in each map
    return np.stack([CENTRE_CROP.place(one)[:, 0] for one in rows], axis=1)
