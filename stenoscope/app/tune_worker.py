"""What a worker of the search does: train once, on an inner fold or on a whole training part, and predict.

Only paths and settings travel to it; it opens the clips and folds itself and keeps them, with the network it
has traced, for the next job.
"""

import functools

import numpy as np
import pandas as pd

from stenoscope.app.fold_inputs import opened, shuffled_labels
from stenoscope.app.train_worker import ONE_AT_A_TIME, hold_out, learner_of, test
from stenoscope.data.clipset import ClipSet
from stenoscope.folds.files import FoldData
from stenoscope.folds.mean_image import fold_mean_images
from stenoscope.folds.part import TrainingPart
from stenoscope.folds.split import make_folds
from stenoscope.records import Fold
from stenoscope.results.predictions import predictions_table
from stenoscope.tuning.fits import OUTER, Job


def fit_job(
    job: Job,
    input_folder: str,
    clips_and_folds: tuple[tuple[str, str], ...],
    inner_folds: int,
    seed: int,
    threads: int,
) -> pd.DataFrame:
    """Train with the settings of a job and predict what it did not train on.

    `input_folder` is the absolute one that step 2 wrote, `clips_and_folds` hashes of what must be in it; 0
    `threads` are one per available core. Columns of predictions.csv; `fold` is the inner fold, or the outer
    one for `OUTER`.
    """
    with ONE_AT_A_TIME:
        clips, folds = opened(input_folder, clips_and_folds)
        labels = clips.labels
        if job.settings.shuffle_labels:
            labels = shuffled_labels(labels, folds, job.settings.seed)
        fold = folds[job.outer - 1]
        if job.inner != OUTER:
            fold = _inner(input_folder, clips_and_folds, job.outer, inner_folds, seed)[job.inner - 1]
        fold, _ = hold_out(fold, clips, labels, job.settings)  # as main.py trains the fold
        learner = learner_of(job.settings, labels.shape[1], threads)
        learner.fit(TrainingPart.of(fold, clips.frames, labels))
        return predictions_table(fold, clips, labels, test(learner, clips, fold)[..., 0])


def split_training_part(clips: ClipSet, train: np.ndarray, num_folds: int, seed: int) -> list[Fold]:
    """Split a training part, int64 clip indices, once more, by patient and stratified by label.

    The folds' indices refer to `clips`, like those of `train`. A DatasetError if the training part has too
    few patients.
    """
    patients = [clips.patient_ids[clip] for clip in train]
    split = make_folds(clips.labels[train], patients, seed, num_folds, "again with `--inner_folds")
    return [Fold(fold.number, train[fold.train], train[fold.valid]) for fold in split]


@functools.lru_cache(maxsize=8)
def _inner(
    input_folder: str, clips_and_folds: tuple[tuple[str, str], ...], outer: int, inner_folds: int, seed: int
) -> list[FoldData]:
    """The inner folds of an outer fold, with the mean images of their training parts."""
    clips, folds = opened(input_folder, clips_and_folds)
    inner = split_training_part(clips, folds[outer - 1].train, inner_folds, seed)
    means = fold_mean_images(clips.frames, inner)
    return [
        FoldData(fold.number, fold.train, fold.valid, mean, clips.sha256, seed)
        for fold, mean in zip(inner, means, strict=True)
    ]
