"""Variants, flips and shifts of frames that lie on the accelerator as uint8.

`batches.render` does the same on the CPU. Here crop, area average, flip and shift of a sample are one linear
map of its rows and one of its columns, so that an image costs two small matrix products.
"""

from dataclasses import fields

import keras
import numpy as np
from keras import ops

from stenoscope.augmentation.grid import CROP_SIZE, CROPS, VARIANTS
from stenoscope.records import FRAME_SIZE
from stenoscope.training.batches import Sample, resize

MEMORY = 16 * 2**30
"""Bytes of frames that are put on an accelerator; more are rendered on the CPU."""

_FIRST = tuple(sorted({start for corner in CROPS.values() for start in corner}))
"""First rows (and columns) that crops have."""

COLUMNS = ("frame", "crop row", "crop column", "offset", "up-down", "left-right", "down", "right")
"""What a row of `encode` holds."""


_KNOWN = {"clip", "keyframe", "variant", "flips", "shift"}


def can_render(samples: list[Sample]) -> bool:
    """Whether all that changes these samples is done here; `batches.render` does everything."""
    unchanged = {item.name: item.default for item in fields(Sample) if item.name not in _KNOWN}
    return all(getattr(sample, name) == value for sample in samples for name, value in unchanged.items())


def encode(samples: list[Sample], num_keyframes: int) -> np.ndarray:
    """Samples of clips of so many key frames as integers, int32 (n, 8), in the order of `COLUMNS`."""
    rows = []
    for sample in samples:
        row, col, offset = VARIANTS[sample.variant]
        frame = num_keyframes * sample.clip + sample.keyframe
        rows.append((frame, _FIRST.index(row), _FIRST.index(col), offset, *sample.flips, *sample.shift))
    return np.array(rows, np.int32)


def area_weights(size: int) -> np.ndarray:
    """Weights of a crop's area average, float32 (number of crops, size, 512), for each of `_FIRST`.

    Row i of the image covers rows ``[i, i + 1) * 500 / size`` of the crop.
    """
    edges = np.arange(size + 1) * CROP_SIZE / size
    pixels = np.arange(CROP_SIZE)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.zeros((len(_FIRST), size, FRAME_SIZE), np.float32)
    for index, first in enumerate(_FIRST):
        weights[index, :, first : first + CROP_SIZE] = np.maximum(overlap, 0) * size / CROP_SIZE
    return weights


class DeviceFrames(keras.layers.Layer):
    """From rows of `encode` to images, float32 (batch, size, size, 1), as `batches.render` gives them.

    `num_frames` are the key frames of all clips; `size` is at most 500.
    """

    def __init__(self, num_frames: int, size: int):
        super().__init__(trainable=False, dtype="float32", name="device_frames")
        self.size = size
        shape = (num_frames, FRAME_SIZE, FRAME_SIZE)
        self.frames = self.add_weight(shape=shape, dtype="uint8", initializer="zeros", trainable=False)
        self.mean = self.add_weight(shape=(size, size), initializer="zeros", trainable=False)
        self.crop_weights = area_weights(size).reshape(-1, FRAME_SIZE)

    def hold(self, frames: np.ndarray, rows: np.ndarray) -> None:
        """Keep these of all key frames, uint8 (num_clips, num_keyframes, 512, 512), and no other."""
        held = np.zeros(self.frames.shape, np.uint8)
        held[rows] = frames.reshape(held.shape)[rows]
        self.frames.assign(held)

    def set_mean_image(self, mean_image: np.ndarray) -> None:
        """The mean image that the network subtracts, float32 (500, 500): flips and shifts move around it."""
        self.mean.assign(resize(mean_image[None], self.size)[0])

    def _source(self, flip, shift):
        """Index of the row (or column) that each row of the moved image shows, (batch, size)."""
        index = ops.clip(ops.arange(self.size, dtype="int32") - shift[:, None], 0, self.size - 1)
        return ops.where(flip[:, None] > 0, self.size - 1 - index, index)

    def call(self, samples):
        """Apply the layer."""
        frame, crop_row, crop_col, offset, up_down, left_right, down, right = ops.unstack(samples, 8, axis=1)
        rows, cols = self._source(up_down, down), self._source(left_right, right)
        weights = ops.convert_to_tensor(self.crop_weights)
        pixels = ops.cast(ops.take(self.frames, frame, axis=0), "float32")
        pixels = ops.clip(pixels + ops.cast(offset, "float32")[:, None, None], 0.0, 255.0)
        left = ops.take(weights, crop_row[:, None] * self.size + rows, axis=0)
        right = ops.take(weights, crop_col[:, None] * self.size + cols, axis=0)
        images = ops.matmul(ops.matmul(left, pixels), ops.transpose(right, (0, 2, 1)))
        moved = ops.take(self.mean, rows, axis=0)
        moved = ops.take_along_axis(moved, ops.repeat(cols[:, None, :], self.size, axis=1), axis=2)
        return (images - moved + self.mean)[..., None]

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        return (input_shape[0], self.size, self.size, 1)
