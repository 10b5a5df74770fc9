"""The tables of predictions: of the test frames of a fold, and of the key frames of a new clip."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stenoscope.data.clipset import ClipSet
from stenoscope.folds.files import FoldData
from stenoscope.folds.mean_image import frame_rows
from stenoscope.results.files import PREDICTIONS
from stenoscope.run.provenance import file_name

SEEN, SEEN_PATIENT, UNSEEN, UNKNOWN = "clip", "patient", "no", "not known"
"""Column `in_training` of a prediction: whether the clip, or its patient, was in the training data."""


def table_names(label_names: Sequence[str]) -> list[str]:
    """Names of the tables of predictions: `predictions.csv`, and `predictions_NAME.csv` of further labels."""
    return [PREDICTIONS] + [f"predictions_{file_name(name)}.csv" for name in label_names[1:]]


def predictions_table(
    fold: FoldData, clips: ClipSet, labels: np.ndarray, probabilities: np.ndarray, label: int = 0
) -> pd.DataFrame:
    """One row per test frame: fold, patient_id, clip_id, frame_index, label, probability (rounded to 1e-6).

    Labels are float32 (num_clips, num_labels), of which `label` is the column; where it is unknown, the
    table's label is empty. Probabilities are float32 (num_test_clips, num_keyframes), frame-wise
    (num_test_frames,).
    """
    rows = fold.valid if fold.frame_wise else frame_rows(fold.valid, clips.keyframes.shape[1])
    clip, keyframe = np.divmod(rows, clips.keyframes.shape[1])
    return pd.DataFrame(
        {
            "fold": fold.number,
            "patient_id": [clips.patient_ids[i] for i in clip],
            "clip_id": [clips.clip_ids[i] for i in clip],
            "frame_index": clips.keyframes[clip, keyframe],
            "label": pd.array(labels[clip, label], dtype=pd.Int64Dtype()),
            "probability": probabilities.ravel().astype(float).round(6),
        }
    )


def new_clip_table(clip_id: str, keyframes: Sequence[int], probabilities: np.ndarray) -> pd.DataFrame:
    """One row per key frame: clip_id, frame_index, probability (mean of the models), fold_1, fold_2, ...

    Probabilities are float32 (num_models, len(keyframes)).
    """
    rounded = probabilities.astype(float).round(6)
    columns = {f"fold_{number}": rounded[number - 1] for number in range(1, len(rounded) + 1)}
    table = {
        "clip_id": clip_id,
        "frame_index": keyframes,
        "probability": rounded.mean(axis=0).round(6),
    }
    return pd.DataFrame({**table, **columns})
