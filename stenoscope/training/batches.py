"""Which frame is seen in which variant, and its pixels: augmentation on the fly from the stored key frames.

A plan is drawn per epoch from ``SeedSequence([seed, fold, epoch])``, so an epoch's order does not depend on
what ran before it. All frames of a clip share their variants within an epoch (crop, intensity offset, flips
and shift), as in Moon et al. 2021, section 2.3.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from stenoscope.augmentation.apply import apply_variant
from stenoscope.augmentation.grid import CENTRE, CROP_SIZE, CROPS, VARIANTS
from stenoscope.augmentation.narrowing import synthetic_narrowing
from stenoscope.geometry import resizing
from stenoscope.settings import TrainingSettings


@dataclass(frozen=True)
class Sample:
    """One image of one epoch."""

    clip: int  # index in `clips.pickle`
    keyframe: int  # which of its key frames, from 0
    variant: int  # index into the 25 variants
    flips: tuple[bool, bool] = (False, False)  # up-down, left-right
    shift: tuple[int, int] = (0, 0)  # rows and columns, pixels of the network's input
    narrowing: int = 0  # seed of a synthetic narrowing, which makes the sample abnormal; 0 = none

    @property
    def captions(self) -> tuple[str, ...]:
        """What is done to the frame, a line each."""
        row, col, offset = VARIANTS[self.variant]
        crop = next(name for name, place in CROPS.items() if place == (row, col))
        flips = [name for name, flipped in zip(("up-down", "left-right"), self.flips, strict=True) if flipped]
        return (
            f"crop {crop}, {offset:+d} grey levels",
            f"flipped {' and '.join(flips)}" if flips else "not flipped",
            "shifted {:+d} down, {:+d} right".format(*self.shift) if any(self.shift) else "not shifted",
        )


def epoch_plan(
    train: np.ndarray,
    num_keyframes: int,
    settings: TrainingSettings,
    fold: int,
    epoch: int,
    normal: Collection[int] = (),
    frame_wise: bool = False,
) -> list[Sample]:
    """Draw one epoch's samples, shuffled: num_clips * frames_per_epoch * variants_per_epoch, and the twins.

    `train`, int64 (n,), are clip indices of the training part; with `frame_wise`, numbers among all key
    frames, of which an epoch visits at most `frames_per_epoch` of a clip. The fold, from 1, and the epoch,
    from 0, are part of the seed. `normal` are clips that are labelled normal: with `narrowings`, each of
    their samples gets a twin that differs from it by a synthetic narrowing alone and follows it directly.
    Without `augmentation` the only variant is the centre crop, unchanged.
    """
    rng = np.random.default_rng([settings.seed, fold, epoch])
    flip, reach = settings.augmentation * settings.flip, settings.augmentation * settings.shift
    plan = []
    for clip, known in keyframes_of(train, num_keyframes, frame_wise).items():
        keyframes = rng.permutation(known)[: settings.frames_per_epoch]
        variants = rng.permutation(len(VARIANTS))[: settings.variants_per_epoch]
        for variant in variants if settings.augmentation else (CENTRE,):
            up_down, left_right = (bool(bit) for bit in rng.integers(0, 2, 2) * flip)
            shift = tuple(int(pixels) for pixels in rng.integers(-reach, reach + 1, 2))
            plan += [
                Sample(int(clip), int(k), int(variant), (up_down, left_right), shift)
                for k in sorted(keyframes)
            ]
    shuffled = [plan[position] for position in rng.permutation(len(plan))]
    if not settings.narrowings:
        return shuffled
    normal = frozenset(int(clip) for clip in normal)
    seeds = rng.integers(1, 2**31, len(shuffled))
    twins = [
        (sample, replace(sample, narrowing=int(seed))) if sample.clip in normal else (sample,)
        for sample, seed in zip(shuffled, seeds, strict=True)
    ]
    return [sample for group in twins for sample in group]


def keyframes_of(part: np.ndarray, num_keyframes: int, frame_wise: bool = False) -> dict[int, np.ndarray]:
    """Key frames, from 0, by clip, that a part of a fold holds, in its order.

    `part`, int64 (n,), has clip indices, each of which stands for all its key frames, `num_keyframes`; with
    `frame_wise`, numbers of frames.
    """
    if not frame_wise:
        return {int(clip): np.arange(num_keyframes) for clip in part}
    found: dict[int, list[int]] = {}
    for row in part:
        clip, keyframe = divmod(int(row), num_keyframes)
        found.setdefault(clip, []).append(keyframe)
    return {clip: np.array(keyframes) for clip, keyframes in found.items()}


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize images of shape (n, rows, cols) to float32 (n, size, size) by area averaging."""
    return np.stack(
        [cv2.resize(np.float32(image), (size, size), interpolation=cv2.INTER_AREA) for image in images]
    )


class Batch(NamedTuple):
    """Pixels of samples, grey levels, and where they were narrowed.

    Flipped or shifted samples can lie outside 0 to 255, by the difference of the mean image to its moved
    self.
    """

    images: np.ndarray  # float32 (n, size, size, 1)
    places: np.ndarray  # float32 (n, 2): row and column of the narrowing, pixels; NaN: none


def no_places(plan: list[Sample]) -> np.ndarray:
    """Places of samples that are not narrowed, float32 (n, 2): NaN."""
    return np.full((len(plan), 2), np.nan, np.float32)


def render(frames: np.ndarray, plan: list[Sample], size: int, mean_image: np.ndarray | None = None) -> Batch:
    """Pixels of the samples, as the network's input of `size` rows and columns.

    `frames` are key frames, uint8 (num_clips, num_keyframes, 512, 512); a memory map is read frame by frame.
    With the mean image that the network subtracts, float32 (500, 500), flips and shifts move the difference
    to it, so that the subtraction inside the network stays exact.
    """
    mean = 0.0 if mean_image is None else resize(mean_image[None], size)[0]
    images = np.empty((len(plan), size, size, 1), np.float32)
    places = no_places(plan)
    for sample, image, place in zip(plan, images, places, strict=True):
        frame, variant = frames[sample.clip, sample.keyframe], VARIANTS[sample.variant]
        if sample.narrowing:
            frame, site = synthetic_narrowing(np.asarray(frame), sample.narrowing)
            if site is not None:
                to_input = variant.window.from_frame.then(resizing((CROP_SIZE, CROP_SIZE), (size, size)))
                place[:] = to_input.points((site.row, site.col))
        small = resize(apply_variant(frame, variant)[None], size)[0]
        if any(sample.flips) or any(sample.shift):
            small = _move(small - mean, sample.flips, sample.shift) + mean
            place[:] = np.where(sample.flips, size - 1 - place, place) + sample.shift
        image[..., 0] = small
    return Batch(images, places)


def targets(plan: list[Sample], labels: np.ndarray, places: np.ndarray, size: int, grid: tuple[int, int]):
    """What is known of each sample, and of each cell of its class map: 0, 1 or NaN (unknown).

    A normal frame is normal everywhere. A narrowed twin is abnormal at its narrowing, normal two and a half
    cells or more away, and unknown in between. Of an abnormal clip's frame only the label is known.

    `labels`, float32 (num_clips, num_labels), are those of all clips; narrowings concern the first column.
    `places`, float32 (len(plan), 2), are from `render`; `size` is that of the network's input, `grid` rows
    and columns of the class map. Returns float32 (len(plan), num_labels) and (len(plan), *grid, num_labels).
    """
    image_targets = np.array([labels[sample.clip] for sample in plan], np.float32)
    twins = np.array([sample.narrowing > 0 for sample in plan])
    image_targets[twins] = np.nan
    found = ~np.isnan(places[:, 0])
    image_targets[found, 0] = 1.0
    cell_targets = np.full((len(plan), *grid, labels.shape[1]), np.nan, np.float32)
    cell_targets[image_targets[:, 0] == 0, ..., 0] = 0.0
    to_cells = resizing((size, size), grid)
    rows, cols = np.mgrid[: grid[0], : grid[1]]
    for index in np.flatnonzero(found):
        row, col = to_cells.pixels(places[index])
        distance = np.hypot(rows - row, cols - col)
        near = distance <= max(0.75, distance.min())
        cell_targets[index, ..., 0] = np.where(near, 1.0, np.where(distance >= 2.5, 0.0, np.nan))
    return image_targets, cell_targets


def _move(image: np.ndarray, flips: tuple[bool, bool], shift: tuple[int, int]) -> np.ndarray:
    """Flip, then shift with the border repeated."""
    image = image[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1]
    rows, cols = (np.clip(np.arange(n) - s, 0, n - 1) for n, s in zip(image.shape, shift, strict=True))
    return image[np.ix_(rows, cols)]
