"""From the predictions of key frames to one of the clip, and from those of clips to one of the patient."""

import numpy as np
import pandas as pd

from stenoscope.errors import DatasetError
from stenoscope.evaluation.metrics import THRESHOLD

COLUMNS = ("fold", "patient_id", "clip_id", "frame_index", "label", "probability")
"""Columns of predictions.csv, one row per key frame of a test clip."""


def check_predictions(predictions: pd.DataFrame, whole_clips: bool = True) -> None:
    """Refuse predictions, with the columns `COLUMNS`, that can't be evaluated honestly.

    A DatasetError if a column or an id is missing, the table is empty, a label is not 0 or 1, a probability
    lies outside 0 to 1, or a clip has two folds, labels or patients. Without `whole_clips`, for the leakage
    audit, the frames of a clip may have been tested by several folds.
    """
    fix = "train the experiment again; do not edit predictions.csv or join those of two experiments."
    missing = [name for name in COLUMNS if name not in predictions.columns]
    if missing or not len(predictions):
        raise DatasetError(
            f"Predictions with {len(predictions)} rows and without {missing}.", f"the columns {COLUMNS}", fix
        )
    nameless = predictions[["fold", "patient_id", "clip_id"]].isna().any()
    if nameless.any():
        raise DatasetError(f"Predictions with an empty {nameless.idxmax()}.", "an entry in every row", fix)
    strange = predictions[~predictions["label"].isin((0, 1))]
    if len(strange):
        row = strange.iloc[0]
        raise DatasetError(f"Clip {row['clip_id']!r} has the label {row['label']}.", "0 or 1", fix)
    strange = predictions[~predictions["probability"].between(0, 1)]
    if len(strange):
        row = strange.iloc[0]
        raise DatasetError(
            f"Clip {row['clip_id']!r} has the probability {row['probability']}.", "a number from 0 to 1", fix
        )
    unique = ["fold", "label", "patient_id"] if whole_clips else ["label", "patient_id"]
    per_clip = predictions.groupby("clip_id", sort=False)[unique].nunique()
    for name in per_clip:
        several = per_clip.index[per_clip[name] > 1]
        if len(several):
            raise DatasetError(
                f"{len(several)} clips have more than one {name} in the predictions ({several[0]!r}).",
                "every clip tested exactly once, by one fold, with one label and one patient",
                fix,
            )


def vote(predictions: pd.DataFrame) -> pd.DataFrame:
    """Decide each clip by the majority of its frames; the mean probability breaks a tie.

    A frame, and at a tie the clip, is abnormal from the probability `metrics.THRESHOLD` on. From predictions
    with the columns `COLUMNS`, one row per clip in order of appearance: fold, patient_id, clip_id, label,
    probability (mean over the frames), votes (frames called abnormal), frames, decision (0 or 1).
    """
    called = predictions.assign(decision=predictions["probability"] >= THRESHOLD)
    return _majority(called, "clip_id", "frames")


def vote_of_patients(clips: pd.DataFrame) -> pd.DataFrame:
    """Decide each patient by the majority of the clips, as from `vote`; the mean probability breaks a tie.

    One row per patient in order of appearance: fold, patient_id, label (1 if any clip is abnormal),
    probability (mean over the clips), votes (clips called abnormal), clips, decision (0 or 1).
    """
    return _majority(clips, "patient_id", "clips")


def _majority(rows: pd.DataFrame, unit: str, parts: str) -> pd.DataFrame:
    """One row for each `unit` (a column) of rows with fold, patient_id, label, probability and decision."""
    groups = rows.groupby(unit, sort=False)
    names = ["fold", "label"] if unit == "patient_id" else ["fold", "patient_id", "label"]
    table = groups[names].first()
    table["label"] = groups["label"].max().astype(np.int64)
    table["probability"] = groups["probability"].mean()
    table["votes"], table[parts] = groups["decision"].sum().astype(np.int64), groups.size()
    tie, majority = 2 * table["votes"] == table[parts], 2 * table["votes"] > table[parts]
    table["decision"] = np.where(tie, table["probability"] >= THRESHOLD, majority).astype(np.int64)
    first = [name for name in ("fold", "patient_id", "clip_id") if name in (*names, unit)]
    return table.reset_index()[[*first, *(name for name in table.columns if name not in first)]]
