import csv
import io

import numpy as np
import pandas as pd
import pytest

from stenoscope.export.spreadsheet import clips_csv, map_peak


def predictions(ids, **columns) -> pd.DataFrame:
    """Five frames of each clip; those of the first are all abnormal, of the others two of five."""
    rows = []
    for number, clip_id in enumerate(ids):
        for frame in range(5):
            probability = 0.9 if number == 0 or frame < 2 else 0.2
            rows.append(
                {"clip_id": clip_id, "frame_index": 10 + frame, "probability": probability, **columns}
            )
    return pd.DataFrame(rows)


def peaks(ids):
    peak = {"shown_frame": 12, "heatmap": "cam", "heatmap_maximum": -1.5, "heatmap_row": 3, "heatmap_col": 4}
    return [{"clip_id": clip_id, **peak} for clip_id in ids]


def read(text) -> list[dict]:
    assert text.startswith("\ufeff") and text.endswith("\n")
    return list(csv.DictReader(io.StringIO(text[1:])))


def test_a_row_for_each_clip_with_what_predict_knows():
    first, second = read(clips_csv(predictions(["a/1", "b"]), peaks(["a/1", "b"])))
    assert first == {
        "clip_id": "a/1", "probability": "0.9", "abnormal_frames": "5", "frames": "5", "called": "abnormal",
        "key_frames": "10 11 12 13 14", "shown_frame": "12", "heatmap": "cam", "heatmap_maximum": "-1.5",
        "heatmap_row": "3", "heatmap_col": "4",
    }  # fmt: skip
    assert (second["probability"], second["abnormal_frames"], second["called"]) == ("0.48", "2", "normal")


def test_a_cross_validation_also_has_patient_fold_label_and_decision():
    table = predictions(["a", "b"], patient_id="P1", fold=3, label=1)
    decisions = pd.DataFrame(
        {"clip_id": ["b", "a"], "calibrated": [0.3, 0.8], "decision": ["normal", "uncertain"]}
    )
    rows = read(clips_csv(table, peaks(["b", "a"]), decisions))
    assert [(r["clip_id"], r["patient_id"], r["fold"], r["label"]) for r in rows] == [
        ("a", "P1", "3", "1"),
        ("b", "P1", "3", "1"),
    ]
    assert [(r["calibrated"], r["decision"]) for r in rows] == [("0.8", "uncertain"), ("0.3", "normal")]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", " ="])
def test_no_text_is_taken_for_a_formula(start):
    evil = f'{start}HYPERLINK("http://x","y")'
    text = clips_csv(predictions([evil], patient_id=evil), peaks([evil]))
    (row,) = csv.DictReader(io.StringIO(text[1:], newline=""))
    assert row["clip_id"] == row["patient_id"] == f"'{evil}"
    assert row["heatmap_maximum"] == "-1.5", "a number below zero stays a number"


def test_a_separator_or_a_line_break_in_an_id_splits_no_cell():
    evil = 'a;=1+1,"b"\nc'
    text = clips_csv(predictions([evil]), peaks([evil]))
    (row,) = csv.DictReader(io.StringIO(text[1:], newline=""))
    assert row["clip_id"] == evil
    (cells,) = list(csv.reader(io.StringIO(text.split("\n", 1)[1], newline=""), delimiter=";"))
    assert not [cell for cell in cells if cell.startswith("=")], "nor where a semicolon separates"


def test_letters_beyond_ascii_survive():
    assert read(clips_csv(predictions(["Ä/é"]), peaks(["Ä/é"])))[0]["clip_id"] == "Ä/é"


def test_the_maximum_of_a_map():
    heatmap = np.full((512, 512), -2.0, np.float32)
    heatmap[7, 300] = 1.25
    assert map_peak(heatmap) == {"heatmap_maximum": 1.25, "heatmap_row": 7, "heatmap_col": 300}
