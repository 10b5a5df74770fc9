"""Which frame is seen in which variant, and its pixels: augmentation on the fly from the stored key frames.

A plan is drawn per epoch from ``SeedSequence([seed, fold, epoch])``, so an epoch's order does not depend on
what ran before it. All frames of a clip share their variants within an epoch (crop, intensity offset, flips
and shift), as in Moon et al. 2021, section 2.3.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from stenoscope.augmentation.apply import apply_variant
from stenoscope.augmentation.grid import CENTRE, VARIANTS
from stenoscope.records import KEYFRAMES_PER_CLIP
from stenoscope.settings import TrainingSettings


@dataclass(frozen=True)
class Sample:
    """One image of one epoch.

    Attributes
    ----------
    clip : int
        Index of the clip in `clips.pickle`.
    keyframe : int
        Which of its five key frames, 0 to 4.
    variant : int
        Index into the 25 variants.
    flips : tuple of bool
        Up-down, left-right.
    shift : tuple of int
        Rows and columns, pixels of the network's input.
    """

    clip: int
    keyframe: int
    variant: int
    flips: tuple[bool, bool] = (False, False)
    shift: tuple[int, int] = (0, 0)


def epoch_plan(clips: np.ndarray, settings: TrainingSettings, fold: int, epoch: int) -> list[Sample]:
    """Draw one epoch's samples, shuffled.

    Parameters
    ----------
    clips : ndarray, int64, shape (n,)
        Clip indices of the training part.
    settings : TrainingSettings
    fold, epoch : int
        Fold 1 to 5 and epoch from 0: part of the seed.

    Returns
    -------
    list of Sample, length n * frames_per_epoch * variants_per_epoch
    """
    rng = np.random.default_rng([settings.seed, fold, epoch])
    plan = []
    for clip in clips:
        keyframes = rng.permutation(KEYFRAMES_PER_CLIP)[: settings.frames_per_epoch]
        for variant in rng.permutation(len(VARIANTS))[: settings.variants_per_epoch]:
            up_down, left_right = (bool(bit) for bit in rng.integers(0, 2, 2) * settings.flip)
            shift = tuple(int(pixels) for pixels in rng.integers(-settings.shift, settings.shift + 1, 2))
            plan += [
                Sample(int(clip), int(k), int(variant), (up_down, left_right), shift)
                for k in sorted(keyframes)
            ]
    return [plan[position] for position in rng.permutation(len(plan))]


def validation_plan(clips: np.ndarray) -> list[Sample]:
    """All five key frames of each clip in the centre crop without offset, in order."""
    return [Sample(int(clip), k, CENTRE) for clip in clips for k in range(KEYFRAMES_PER_CLIP)]


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize images of shape (n, rows, cols) to float32 (n, size, size) by area averaging."""
    return np.stack(
        [cv2.resize(np.float32(image), (size, size), interpolation=cv2.INTER_AREA) for image in images]
    )


def render(
    frames: np.ndarray, plan: list[Sample], size: int, mean_image: np.ndarray | None = None
) -> np.ndarray:
    """Pixels of the samples, as the network's input.

    Parameters
    ----------
    frames : ndarray, uint8, shape (5 num_clips, 512, 512)
        Key frames; frame k of clip i is row 5 i + k. A memory map is read row by row.
    plan : list of Sample
    size : int
        Rows and columns of the network's input.
    mean_image : ndarray, float32, shape (500, 500), optional
        The mean image that the network subtracts. Flips and shifts then move the difference to it, so that
        the subtraction inside the network stays exact.

    Returns
    -------
    ndarray, float32, shape (len(plan), size, size, 1), grey levels 0 to 255
        (flipped or shifted samples can lie outside by the difference of the mean image to its moved self).
    """
    mean = 0.0 if mean_image is None else resize(mean_image[None], size)[0]
    images = np.empty((len(plan), size, size, 1), np.float32)
    for sample, image in zip(plan, images, strict=True):
        crop = apply_variant(
            frames[KEYFRAMES_PER_CLIP * sample.clip + sample.keyframe], VARIANTS[sample.variant]
        )
        small = resize(crop[None], size)[0]
        if any(sample.flips) or any(sample.shift):
            small = _move(small - mean, sample.flips, sample.shift) + mean
        image[..., 0] = small
    return images


def _move(image: np.ndarray, flips: tuple[bool, bool], shift: tuple[int, int]) -> np.ndarray:
    """Flip, then shift with the border repeated."""
    image = image[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1]
    rows, cols = (np.clip(np.arange(n) - s, 0, n - 1) for n, s in zip(image.shape, shift, strict=True))
    return image[np.ix_(rows, cols)]
