"""Batches for the temporal network: clips padded to one length, and the targets of every point in time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stenoscope.temporal.decode import STRIDES, points
from stenoscope.temporal.features import CHANNELS, SIZE, scaled
from stenoscope.temporal.variation import vary

LENGTHS = (48, 96)
"""Frames to which clips are padded; longer ones are thinned out to the last."""
PATCHES = 8
"""Background patches of each clip for the contrastive loss."""
_LONG_SHARE = 0.15  # of the batches; the others are padded to the shorter length
_PLACES = 8 * 8  # of a frame, after the network's first convolutions
_REACH = 16  # strides: the longest distance to a boundary for which the points of a level answer


@dataclass(frozen=True)
class Example:
    """A clip with its labels."""

    clip_id: str
    patient_id: str
    values: np.ndarray  # uint8 (num_frames, size, size, channels), as of `features.extract`
    actions: np.ndarray  # float32 (2, 2), as of `labels`


def point_targets(actions: np.ndarray, num_frames: int, length: int) -> np.ndarray:
    """Targets of the points of a clip of `num_frames`, padded to `length`: float32 (num_points, 5).

    A point belongs to an action that it lies in, if its level is coarse enough for the farther boundary. Of
    two actions, the second one's first frame belongs to the second. See `losses.action_loss`.
    """
    time, stride = points(length)
    target = np.zeros((len(time), 5), np.float32)
    target[:, 2] = time <= num_frames - 1
    for k in (0, 1):
        first, last = actions[k]
        if not np.isfinite(first):
            continue
        back, on = time - first, last - time
        inside = (back >= 0) & ((on > 0) if k == 0 else (on >= 0)) & (target[:, 2] > 0)
        inside &= (np.maximum(back, on) <= _REACH * stride) | (stride == STRIDES[-1])
        target[inside, :2] = 0
        target[inside, k] = 1
        target[inside, 3], target[inside, 4] = back[inside], on[inside]
    return target


def frame_labels(actions: np.ndarray, num_frames: int) -> np.ndarray:
    """0 outside, 1 start to apex, 2 apex to end, for each frame; the apex belongs to the second action.

    >>> frame_labels(np.array([[1, 3], [3, 4]]), 6).tolist()
    [0, 1, 1, 2, 2, 0]
    """
    labels = np.zeros(num_frames, int)
    time = np.arange(num_frames)
    for k in (0, 1):
        first, last = actions[k]
        if np.isfinite(first):
            inside = (time >= first) & ((time < last) if k == 0 else (time <= last))
            labels[inside] = k + 1
    return labels


def padded(values: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Scaled maps of a clip, padded, and which frames are its own: 1 for those, 0 for padding.

    They are float32, (length, size, size, channels) and (length,).
    """
    maps = np.zeros((length, SIZE, SIZE, CHANNELS), np.float32)
    maps[: len(values)] = scaled(values)
    return maps, (np.arange(length) < len(values)).astype(np.float32)


def contrast_targets(actions, num_frames: int, length: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Foreground (1), background (0) or padding (-1) of each frame, and flat indices of background patches.

    They are float32 (length, 1) and int32 (8,). The patches of a clip without background frames are of any:
    its labels then have no 0, and no patch is compared.
    """
    labels = np.full((length, 1), -1, np.float32)
    foreground = frame_labels(actions, num_frames) > 0
    background = np.flatnonzero(~foreground)
    if len(background):
        labels[:num_frames, 0] = foreground
    frames = rng.choice(background if len(background) else num_frames, PATCHES)
    return labels, (frames * _PLACES + rng.integers(_PLACES, size=PATCHES)).astype(np.int32)


class Batches:
    """Changed clips in batches, drawn from (seed, epoch): the same numbers give the same batches.

    With `contrast` the inputs and targets of the contrastive loss are made too.
    """

    def __init__(self, examples: Sequence[Example], batch_size: int, seed: int, contrast: bool):
        self.examples, self.batch_size, self.seed, self.contrast = examples, batch_size, seed, contrast

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    def batch(self, epoch: int, index: int) -> tuple[dict, dict]:
        """Inputs and targets of one batch, by their names in `network.build`."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.examples))
        rng = np.random.default_rng((self.seed, epoch, index))
        length = LENGTHS[int(rng.random() < _LONG_SHARE)]
        inputs = {"maps": [], "seen": [], "patches": []}
        targets = {"points": [], "frames": [], "responses": []}
        for k in range(self.batch_size):
            example = self.examples[order[(index * self.batch_size + k) % len(order)]]
            values, actions = vary(example.values, example.actions, rng, length)
            maps, seen = padded(values, length)
            labels, patches = contrast_targets(actions, len(values), length, rng)
            inputs["maps"].append(maps)
            inputs["seen"].append(seen)
            inputs["patches"].append(patches)
            targets["points"].append(point_targets(actions, len(values), length))
            targets["frames"].append(labels)
            targets["responses"].append(labels)
        if not self.contrast:
            del inputs["patches"], targets["frames"], targets["responses"]
        return tuple({name: np.stack(items) for name, items in group.items()} for group in (inputs, targets))
