"""The network: convolutions, a convolutional LSTM, a pyramid of local attention, a head at every point.

What each part is for, and where it comes from: see the package. All of it is Keras 3 and `keras.ops`, so it
runs on each of its backends. Weights do not depend on the length of a clip.
"""

import math
from dataclasses import dataclass

import keras
from keras import layers, ops

from stenoscope.temporal.decode import STRIDES
from stenoscope.temporal.features import CHANNELS, SIZE

FRAMES = 4
"""Consecutive frames that the first convolution sees: this one and the three before it."""
STEM, MEMORY, WIDTH, HEADS = 16, 16, 96, 4
WINDOW = 17
"""Points within which attention looks, at each level of the pyramid."""
_BLOCKS = (2, 1, 1, 1)  # of attention, by level
_PRIOR = 0.05  # score at every point before training: few points lie in an action


@dataclass(frozen=True)
class Parts:
    """What the network consists of; all off is the Transformer alone."""

    conv_lstm: bool = True  # the long-term part
    contrast: bool = True  # the outputs of the contrastive loss, which inference does not need


def build(parts: Parts) -> tuple[keras.Model, keras.Model]:
    """The network for training and the network for use, which share their weights.

    Inputs are `maps` (batch, frames, size, size, channels), `scaled` features, and `seen` (batch, frames), 1
    for frames and 0 for padding; frames a multiple of 8. The one for training with contrast also takes
    `patches` (batch, count), flat indices of places of background frames.

    Output `points` (batch, points, 4): logits of the two actions, frames back to the first and on to the last
    frame. With contrast also `frames` (batch, frames, 32), unit vectors, and `responses` (batch, frames, 1),
    logits of being background.
    """
    maps = layers.Input((None, SIZE, SIZE, CHANNELS), name="maps")
    seen = layers.Input((None,), name="seen")
    x = layers.ZeroPadding3D(((FRAMES - 1, 0), (2, 2), (2, 2)))(maps)
    stride = SIZE // 16  # two convolutions leave 8 x 8 places
    x = layers.Conv3D(STEM, (FRAMES, 5, 5), (1, stride, stride), activation="relu", name="stem_1")(x)
    x = layers.Conv3D(STEM + 8, (1, 3, 3), (1, 2, 2), "same", activation="relu", name="stem_2")(x)
    places = x
    pooled = [ops.mean(x, axis=(2, 3)), ops.max(x, axis=(2, 3))]
    if parts.conv_lstm:
        places = layers.ConvLSTM2D(MEMORY, 3, padding="same", return_sequences=True, name="memory")(x)
        pooled += [ops.mean(places, axis=(2, 3)), ops.max(places, axis=(2, 3))]
    # What depends on the look of the vessels is dropped at times, so that the course of the filling, which is
    # alike in simulated and real clips, is learned as well.
    pooled = layers.Dropout(0.2)(layers.Concatenate()(pooled))
    courses = filling_courses(maps, seen)
    calm = layers.AveragePooling1D(5, 1, "same")(courses)
    y = layers.Concatenate()([pooled, courses, calm])
    points = _pyramid(y, seen)
    network = keras.Model({"maps": maps, "seen": seen}, {"points": points}, name="temporal")
    if not parts.contrast:
        return network, network
    patches = layers.Input((None,), dtype="int32", name="patches")
    frames = layers.Dense(32, name="contrast_frames")(ops.mean(places, axis=(2, 3)))
    frames = layers.UnitNormalization(name="frames")(frames)
    responses = layers.Dense(1, name="responses")(PatchResponse(name="patch_response")([places, patches]))
    outputs = {"points": points, "frames": frames, "responses": responses}
    inputs = {"maps": maps, "seen": seen, "patches": patches}
    return keras.Model(inputs, outputs, name="temporal_training"), network


def _pyramid(y, seen):
    y = layers.Dense(WIDTH, name="embed")(y)
    y = layers.LayerNormalization()(y)
    y = layers.Conv1D(WIDTH, 3, padding="same", activation="relu", name="embed_time")(y)
    head = _Head()
    found = []
    for level, stride in enumerate(STRIDES):
        if level:
            y = layers.Conv1D(WIDTH, 3, 2, "same", name=f"halve_{level}")(y)
            seen = layers.MaxPooling1D(2)(layers.Reshape((-1, 1))(seen))
            seen = layers.Reshape((-1,))(seen)
        near = LocalWindow(name=f"window_{level}")(seen)
        for block in range(_BLOCKS[level]):
            y = _attend(y, near, f"{level}_{block}")
        found.append(head(y, stride, level))
    return layers.Concatenate(axis=1, name="points")(found)


def _attend(y, near, name: str):
    """A pre-norm Transformer block whose attention stays within the window."""
    normal = layers.LayerNormalization()(y)
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{name}")
    y = layers.Add()([y, attention(normal, normal, attention_mask=near)])
    normal = layers.LayerNormalization()(y)
    wide = layers.Dense(2 * WIDTH, activation="gelu", name=f"wide_{name}")(normal)
    wide = layers.Dropout(0.1)(wide)
    return layers.Add()([y, layers.Dense(WIDTH, name=f"narrow_{name}")(wide)])


class _Head:
    """Classification and boundary regression with the same weights at every level."""

    def __init__(self):
        bias = keras.initializers.Constant(math.log(_PRIOR / (1 - _PRIOR)))
        self.shared = {
            branch: [layers.Conv1D(WIDTH, 3, padding="same", activation="relu") for _ in range(2)]
            for branch in ("action", "offset")
        }
        self.last = {
            "action": layers.Conv1D(2, 3, padding="same", bias_initializer=bias, name="action"),
            "offset": layers.Conv1D(2, 3, padding="same", name="offset"),
        }

    def __call__(self, y, stride: int, level: int):
        normal = layers.LayerNormalization()(y)
        answers = []
        for branch in ("action", "offset"):
            z = normal
            for layer in self.shared[branch]:
                z = layer(z)
            answers.append(self.last[branch](z))
        logits, offsets = answers
        offsets = layers.Activation("softplus")(offsets)
        # Points of a level lie `stride` frames apart and answer for actions about as long.
        return layers.Concatenate()([logits, layers.Rescaling(4.0 * stride, name=f"scale_{level}")(offsets)])


def filling_courses(maps, seen):
    """Mean of each channel and share of its cells that are filled, each from 0 to 1 over the clip's frames.

    From maps (batch, frames, rows, cols, c) and seen (batch, frames) to (batch, frames, 2 c).
    """
    filled = ops.sigmoid(12.0 * (maps - 0.5))
    courses = ops.concatenate([ops.mean(maps, axis=(2, 3)), ops.mean(filled, axis=(2, 3))], axis=-1)
    seen = ops.expand_dims(seen, -1)
    padding = 1e3 * (1 - seen)
    low = ops.min(courses + padding, axis=1, keepdims=True)
    high = ops.max(courses - padding, axis=1, keepdims=True)
    return seen * (courses - low) / (high - low + 1e-3)


@keras.saving.register_keras_serializable("stenoscope")
class LocalWindow(layers.Layer):
    """Attention mask (batch, points, points): True between seen points within half a window of each other."""

    def call(self, seen):
        position = ops.arange(ops.shape(seen)[1])
        near = ops.abs(position[:, None] - position[None, :]) <= WINDOW // 2
        return ops.logical_and(near[None], (seen > 0)[:, None, :])

    def compute_output_spec(self, seen):
        return keras.KerasTensor((seen.shape[0], seen.shape[1], seen.shape[1]), "bool")


@keras.saving.register_keras_serializable("stenoscope")
class PatchResponse(layers.Layer):
    """How much each frame looks like patches of background frames.

    The feature vector at a chosen place, which sees a patch of the image, is a 1 x 1 convolution kernel. Each
    place of a frame answers the kernel that suits it best; the response is the mean over the places. All
    vectors have unit length.
    """

    def call(self, inputs):
        """From places (batch, frames, rows, cols, c) and flat indices (batch, n) to (batch, frames, 1)."""
        places, patches = inputs
        shape = ops.shape(places)
        length = ops.sqrt(ops.sum(ops.square(places), axis=-1, keepdims=True) + 1e-6)
        flat = ops.reshape(places / length, (shape[0], -1, places.shape[-1]))
        kernels = ops.take_along_axis(flat, patches[:, :, None], axis=1)
        likeness = ops.matmul(flat, ops.transpose(kernels, (0, 2, 1)))
        best = ops.reshape(ops.max(likeness, axis=-1), (shape[0], shape[1], -1))
        return ops.mean(best, axis=-1, keepdims=True)

    def compute_output_spec(self, inputs):
        places, _ = inputs
        return keras.KerasTensor((*places.shape[:2], 1), places.dtype)
