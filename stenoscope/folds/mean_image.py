"""The mean of all augmented training frames, exactly, without making them.

A variant crops and shifts grey levels pixel by pixel, so the mean over the 25 variants of all frames is the
mean over the crops of ``M[row:row + 500, col:col + 500]``, where ``M`` is the mean over frames and offsets of
``clip(frame + offset, 0, 255)``: one table look-up per frame. The sums are integers, hence exact and
independent of the order.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from stenoscope.augmentation.apply import shift_grey
from stenoscope.augmentation.grid import CROP_SIZE, CROPS, OFFSETS
from stenoscope.errors import DatasetError
from stenoscope.records import FRAME_SIZE, Fold

_LUT = sum(shift_grey(np.arange(256, dtype=np.uint8), offset).astype(np.uint16) for offset in OFFSETS)


def mean_image(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Mean over the 25 variants of all frames, float32 (500, 500), grey levels.

    The frames, uint8 (512, 512), are read once, one at a time. A DatasetError if there is none.
    """
    return _finish(*_sum(frames))


def fold_mean_images(frames: np.ndarray, folds: Sequence[Fold]) -> list[np.ndarray]:
    """Mean image, float32 (500, 500), of the training part of every fold, in one pass over the frames.

    Every clip is in exactly one test part, so the sum over a training part is the sum over all test parts
    less the fold's own. `frames` are all key frames, uint8 (num_clips, num_keyframes, 512, 512); `folds` are
    all folds of one split.
    """
    parts = [_sum(frames_of(frames, fold.valid)) for fold in folds]
    total, count = sum(part[0] for part in parts), sum(part[1] for part in parts)
    return [_finish(total - part, count - number) for part, number in parts]


def frame_rows(clips: np.ndarray, num_keyframes: int) -> np.ndarray:
    """Numbers of the key frames of n clips among the key frames of all, int64, shape (num_keyframes n,)."""
    clips = np.asarray(clips, dtype=np.int64)
    return (clips[:, None] * num_keyframes + np.arange(num_keyframes)).ravel()


def frames_of(frames: np.ndarray, clips: np.ndarray) -> Iterator[np.ndarray]:
    """The key frames of some clips one by one, uint8 (512, 512); `frames` is as of `fold_mean_images`."""
    return (frames[clip, keyframe] for clip in clips for keyframe in range(frames.shape[1]))


def _sum(frames: Iterable[np.ndarray]) -> tuple[np.ndarray, int]:
    total, count = np.zeros((FRAME_SIZE, FRAME_SIZE), dtype=np.int64), 0
    for frame in frames:
        total += _LUT[frame]
        count += 1
    return total, count


def _finish(total: np.ndarray, count: int) -> np.ndarray:
    if not count:
        raise DatasetError("No frames to average.", "at least one training frame", "check the folds.")
    crops = sum(total[row : row + CROP_SIZE, col : col + CROP_SIZE] for row, col in CROPS.values())
    return (crops / (count * len(OFFSETS) * len(CROPS))).astype(np.float32)
