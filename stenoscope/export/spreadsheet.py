"""clips.csv: one row a clip, safe to open in a spreadsheet."""

import csv
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from stenoscope.evaluation.clip_vote import vote
from stenoscope.evaluation.localisation import peak_pixels
from stenoscope.report.panels import CLASS_NAMES
from stenoscope.run.csv_files import to_csv


def map_peak(heatmap: np.ndarray, inside: np.ndarray | None = None) -> dict[str, float | int]:
    """Maximum of a map, float (rows, cols), and where it lies in the frame, as columns of clips.csv.

    `inside` is the field of view (see `evaluation.localisation.peak_pixels`).
    """
    row, col = np.argwhere(peak_pixels(heatmap, inside))[0]
    value = round(float(heatmap[row, col]), 4)
    return {"heatmap_maximum": value, "heatmap_row": int(row), "heatmap_col": int(col)}


def clips_csv(
    predictions: pd.DataFrame, maps: Iterable[Mapping[str, Any]], decisions: pd.DataFrame | None = None
) -> str:
    """Text of clips.csv.

    `predictions` has one row per key frame: clip_id, frame_index, probability, and of a cross-validation also
    fold, patient_id and label. `maps` has, for each clip, clip_id, shown_frame (of the map), heatmap (its
    method) and the entries of `map_peak`; it is empty where there are no heatmaps. `decisions` are those of
    `decisions.csv`.

    With a header and a byte-order mark, without which Excel takes UTF-8 for another encoding. Texts are
    quoted, so that a semicolon splits no cell, and one that a spreadsheet could run begins with an
    apostrophe. ``called`` is the vote of the frames at 0.5, ``decision`` the calibrated one; frames, rows and
    columns count from 0.
    """
    known = [name for name in ("patient_id", "fold", "label") if name in predictions]
    votes = vote(
        predictions.assign(**{name: 0 for name in ("patient_id", "fold", "label") if name not in known})
    )
    table = votes[["clip_id", *known]].assign(
        probability=votes["probability"].round(6),
        abnormal_frames=votes["votes"],
        frames=votes["frames"],
        called=[CLASS_NAMES[decision] for decision in votes["decision"]],
    )
    if decisions is not None:
        table = table.merge(decisions[["clip_id", "calibrated", "decision"]], on="clip_id", how="left")
    for name in ("in_training", "training_clip"):  # of new clips
        if name in predictions:
            table[name] = table["clip_id"].map(predictions.groupby("clip_id")[name].first())
    frames = predictions.groupby("clip_id", sort=False)["frame_index"]
    table["key_frames"] = table["clip_id"].map(frames.agg(lambda column: " ".join(map(str, column))))
    if peaks := list(maps):
        table = table.merge(pd.DataFrame(peaks), on="clip_id", how="left")
    return "\ufeff" + to_csv(table, quoting=csv.QUOTE_NONNUMERIC)
