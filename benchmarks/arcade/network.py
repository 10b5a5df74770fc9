"""Training on crops, and their scores.

Real crops teach their label alone. Places are taught only where the program knows them without an annotation:
at a synthetic narrowing that it made itself, at the lesions of simulated frames, and nowhere on a simulated
crop without one.
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import keras
import numpy as np

from benchmarks.arcade.crops import CROP, UPRIGHT, Cohort, Pose, cut_out, matrix, narrowed
from benchmarks.arcade.matching import Matcher
from stenoscope.models.classifier import build_classifier
from stenoscope.settings import TrainingSettings
from stenoscope.training.losses import cell_crossentropy, masked_binary_crossentropy

ZOOM = 1.25
"""Pixels of the network's input per pixel of the frame."""
SIZE = round(CROP * ZOOM)
"""Rows and columns of the network's input."""
BATCH = 32
MAGNIFICATION = 0.2
"""Training crops are magnified by up to exp of this, or as much smaller."""
WARMUP_STEPS = 30
POSES = tuple(Pose(turns * math.pi / 2, mirrored) for turns in range(4) for mirrored in (False, True))
"""The eight poses of a square: a crop's score is the mean logit over them."""


@dataclass(frozen=True)
class Lessons:
    """What a network learns from one cohort.

    Attributes
    ----------
    cohort : Cohort
    matcher : Matcher
    frames : ndarray, int64
        Frames of the training part.
    positives : int
        Crops with a lesion in an epoch, each with a matched negative; 0 = one of every lesion.
    narrowings : float
        Narrowed twins in an epoch, as a share of the negatives.
    places : bool
        Also teach where lesions are, and that they are nowhere on a negative (simulated frames only).
    """

    cohort: Cohort
    matcher: Matcher
    frames: np.ndarray
    positives: int = 0
    narrowings: float = 0.0
    places: bool = False


class Example(NamedTuple):
    """One crop of an epoch.

    `middle` is the number of the lesion among those of its frame, -1 for none; `narrowing` is the seed of a
    synthetic one, 0 for none.
    """

    lessons: Lessons
    point: int
    label: int
    middle: int = -1
    narrowing: int = 0


def build(size: int, seed: int) -> keras.Model:
    """The classifier of the `cpu` preset, for square images of `size` pixels that are enhanced already."""
    return build_classifier(
        TrainingSettings(image_size=size, enhance="none", subtract_mean=False, attention="none", seed=seed)
    )


def epoch_examples(lessons: Sequence[Lessons], rng: np.random.Generator) -> list[Example]:
    """Draw and shuffle the crops of one epoch."""
    drawn: list[Example] = []
    for part in lessons:
        cohort = part.cohort
        own = np.flatnonzero(np.isin(cohort.lesion_owner, part.frames))
        if part.positives:
            own = rng.choice(own, part.positives, replace=part.positives > len(own))
        among = cohort.negatives[np.isin(cohort.owner[cohort.negatives], part.frames)]
        centres = np.array([rng.choice(cohort.lesions[index][1]) for index in own])
        matched = part.matcher.draw(centres, rng, among)
        drawn += [
            Example(part, int(point), 1, cohort.lesions[index][0])
            for point, index in zip(centres, own, strict=True)
        ]
        drawn += [Example(part, int(point), 0) for point in matched]
        twins = rng.choice(matched, round(part.narrowings * len(matched)), replace=part.narrowings > 1)
        seeds = rng.integers(1, 2**31, len(twins))
        drawn += [
            Example(part, int(point), 1, -1, int(seed)) for point, seed in zip(twins, seeds, strict=True)
        ]
    return [drawn[index] for index in rng.permutation(len(drawn))]


def render(example: Example, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Augmented pixels of an example, the place (row, column) of its lesion where that is taught, its label.

    A twin for which no vessel was found to narrow is a negative again.
    """
    cohort, label = example.lessons.cohort, example.label
    pose = Pose(
        rng.uniform(0, 2 * math.pi),
        bool(rng.integers(2)),
        math.exp(rng.uniform(-MAGNIFICATION, MAGNIFICATION)),
    )
    owner, centre = int(cohort.owner[example.point]), cohort.centre(example.point)
    contrast, inside, offset = cohort.contrast[owner], centre, None
    if example.narrowing:
        window, offset = narrowed(cohort.frames[owner], centre, example.narrowing)
        if window is None:
            label = 0
        else:
            contrast, inside = window, (np.array(window.shape[::-1]) - 1) / 2
    elif label and example.lessons.places:
        offset = cohort.middles[owner][example.middle] - centre
    image = cut_out(contrast, inside, SIZE, ZOOM, pose)
    place = None if offset is None else ((SIZE - 1) / 2 + matrix(pose, ZOOM) @ offset)[::-1]
    image = image * math.exp(rng.normal(0, 0.15)) + rng.normal(0, 6)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0, 8), image.shape)
    return np.clip(image, 0, 255).astype(np.float32), place, label


def cell_targets(place: np.ndarray | None, label: int, places: bool, grid: tuple[int, int]) -> np.ndarray:
    """What is known of each cell of the class map: 1 at the place, 0 well away from it, else NaN (unknown).

    Parameters
    ----------
    place : ndarray, shape (2,), or None
        Row and column of a lesion, pixels of the network's input.
    label : int
        Of the crop.
    places : bool
        Whether a negative is known to be negative everywhere.
    grid : tuple of int
        Rows and columns of the class map.

    Returns
    -------
    ndarray, float32, shape (*grid, 1)
    """
    if place is None:
        return np.full((*grid, 1), 0.0 if places and not label else np.nan, np.float32)
    row, col = (place + 0.5) / (SIZE / np.array(grid)) - 0.5
    rows, cols = np.mgrid[: grid[0], : grid[1]]
    distance = np.hypot(rows - row, cols - col)[..., None]
    if distance.min() > 1.5:  # magnified out of the crop
        return np.full((*grid, 1), np.nan, np.float32)
    near = distance <= max(0.75, distance.min())
    return np.where(near, 1.0, np.where(distance >= 2.5, 0.0, np.nan)).astype(np.float32)


def frozen_features(cohort: Cohort, points: np.ndarray) -> np.ndarray:
    """Mean and maximum over the positions of four blocks of the ImageNet network, float32 (n, features)."""
    model = build(SIZE, 0)
    maps = [model.get_layer(f"block{block}_add").output for block in (2, 4, 7, 10)]
    pooled = [reduce(item, (1, 2)) for item in maps for reduce in (keras.ops.mean, keras.ops.max)]
    network = keras.Model(model.input, keras.ops.concatenate(pooled, axis=-1))
    return _in_batches(network, cohort, points, UPRIGHT)


def _in_batches(network: keras.Model, cohort: Cohort, points: np.ndarray, pose: Pose) -> np.ndarray:
    found = []
    for first in range(0, len(points), 2 * BATCH):
        images = [
            cut_out(cohort.contrast[cohort.owner[point]], cohort.centre(point), SIZE, ZOOM, pose)
            for point in points[first : first + 2 * BATCH]
        ]
        found.append(np.asarray(network.predict_on_batch(np.stack(images)[..., None])))
    return np.concatenate(found)


class Learner:
    """One network, to be trained on lessons and to score crops.

    Parameters
    ----------
    seed : int
    weights : list of ndarray, optional
        Weights of another learner to start from, instead of ImageNet's.
    """

    def __init__(self, seed: int, weights: list[np.ndarray] | None = None):
        keras.utils.set_random_seed(seed)
        self.seed = seed
        self.model = build(SIZE, seed)
        if weights is not None:
            self.model.set_weights(weights)
        class_map, add_bias = self.model.get_layer("class_map").output, self.model.get_layer("logits")
        self._logits = keras.Model(self.model.inputs, add_bias.output)
        self._learner = keras.Model(self.model.inputs, [add_bias.output, add_bias(class_map)])
        self._learner.compile(
            keras.optimizers.Adam(), loss=[masked_binary_crossentropy, cell_crossentropy], jit_compile=False
        )
        self._grid = tuple(class_map.shape[1:3])

    def fit(
        self,
        lessons: Sequence[Lessons],
        epochs: int,
        rate: float,
        on_epoch: Callable[[int, float, float], None] = lambda epoch, loss, seconds: None,
    ) -> None:
        """Train, the learning rate falling from `rate` to zero by half a cosine.

        Positives and negatives weigh the same. `on_epoch` gets the epoch, its mean loss and its seconds.
        """
        plans = [
            epoch_examples(lessons, np.random.default_rng([self.seed, epoch])) for epoch in range(epochs)
        ]
        share = float(np.mean([example.label for example in plans[0]]))
        with ThreadPoolExecutor(1) as pool:  # renders the next batch while the last one is learned
            for epoch, plan in enumerate(plans):
                started, total, batch = time.perf_counter(), 0.0, min(BATCH, len(plan))
                steps = len(plan) // batch
                jobs = [(plan[batch * step : batch * (step + 1)], (epoch, step)) for step in range(steps)]
                waiting = pool.submit(self._batch, *jobs[0])
                for step in range(steps):
                    images, labels, cells = waiting.result()
                    if step + 1 < steps:
                        waiting = pool.submit(self._batch, *jobs[step + 1])
                    done = epoch + step / steps
                    warm = min(1.0, (epoch * steps + step + 1) / WARMUP_STEPS)
                    self._learner.optimizer.learning_rate = (
                        warm * rate * 0.5 * (1 + math.cos(math.pi * done / epochs))
                    )
                    weight = np.where(labels[:, 0] > 0, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
                    total += float(
                        self._learner.train_on_batch(
                            images, [labels, cells], [weight, np.ones(batch, np.float32)], return_dict=True
                        )["loss"]
                    )
                on_epoch(epoch, total / steps, time.perf_counter() - started)

    def scores(self, cohort: Cohort, points: np.ndarray) -> np.ndarray:
        """Mean logit over `POSES` of the crops centred on some points, float32 (n,)."""
        logits = [_in_batches(self._logits, cohort, points, pose)[:, 0] for pose in POSES]
        return np.mean(logits, axis=0)

    def _batch(self, plan: list[Example], step: tuple[int, int]):
        rng = np.random.default_rng([self.seed, *step, 1])
        images, labels, cells = [], [], []
        for example in plan:
            image, place, label = render(example, rng)
            images.append(image)
            labels.append([label])
            cells.append(cell_targets(place, label, example.lessons.places, self._grid))
        return np.stack(images)[..., None], np.array(labels, np.float32), np.stack(cells)
