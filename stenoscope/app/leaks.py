"""Folds that leak, for the audit: clips split without regard to patients, frames without regard to clips."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedKFold

from stenoscope.data.clipset import ClipSet
from stenoscope.folds.files import FoldData
from stenoscope.folds.mean_image import frame_rows, mean_image

PATIENT, CLIP, FRAME = "patient", "clip", "frame"
"""What a split keeps together: all clips of a patient (as in step 2), the frames of a clip, nothing."""


def leaking_fold(clips: ClipSet, folds: Sequence[FoldData], split: str, number: int, seed: int) -> FoldData:
    """Fold `number`, from 1, of a stratified split of the clips that `folds` test, or of their key frames.

    `split` is "clip" or "frame"; with ``frame``, the fold holds numbers among all key frames. It has the mean
    image of its own training part.
    """
    count = clips.num_keyframes
    used = np.sort(np.concatenate([fold.valid for fold in folds]))
    labels = clips.labels[used, 0]
    if split == FRAME:
        used = frame_rows(used, count)
        labels = clips.labels[used // count, 0]
    splitter = StratifiedKFold(len(folds), shuffle=True, random_state=seed % 2**32)
    train, valid = list(splitter.split(used, labels))[number - 1]
    rows = used[train] if split == FRAME else frame_rows(used[train], count)
    return replace(
        folds[0],
        number=number,
        train=used[train],
        valid=used[valid],
        mean_image=mean_image(clips.frames[divmod(row, count)] for row in rows),
        frame_wise=split == FRAME,
    )
