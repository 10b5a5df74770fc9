import csv
import json

import pandas as pd
import pytest

from benchmarks import learning_curve


@pytest.fixture
def cohort(tmp_path):
    folder = tmp_path / "cohort"
    folder.mkdir()
    rows = [("p1_c1", "A", 0), ("p1_c2", "A", 1), ("p2_c1", "B", 1), ("p3_c1", "C", 0)]
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("clip_id", "patient_id", "label"), *rows])
    for clip_id, *_ in rows:
        (folder / f"{clip_id}.dcm").write_text(clip_id)
    (folder / "truth.json").write_text("{}")
    return folder


def test_a_smaller_cohort_is_the_first_patients(cohort, tmp_path):
    for _ in range(2):  # again is the same
        assert learning_curve.first_patients(cohort, tmp_path / "two", 2) == 3
    assert sorted(path.name for path in (tmp_path / "two").glob("*.dcm")) == [
        "p1_c1.dcm",
        "p1_c2.dcm",
        "p2_c1.dcm",
    ]
    labels = pd.read_csv(tmp_path / "two" / "labels.csv")
    assert labels["patient_id"].tolist() == ["A", "A", "B"] and labels["label"].tolist() == [0, 1, 1]
    assert (tmp_path / "two" / "p2_c1.dcm").read_text() == "p2_c1"


def test_more_patients_than_there_are_is_refused(cohort, tmp_path):
    with pytest.raises(SystemExit, match="has 3 patients, 4 were asked for"):
        learning_curve.first_patients(cohort, tmp_path / "four", 4)


def test_a_row_says_what_the_experiment_found(tmp_path):
    hit = {"mean": 0.9, "ci95": [0.8, 0.95]}
    summary = {
        "clip_auc": {"pooled": 0.9123, "ci95": [0.85, 0.97]},
        "clip_accuracy": {"pooled": 0.8},
        "localisation": {"cam": {"clips": 20, "hit": hit}},
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    pd.DataFrame({"clip_id": ["a"] * 5 + ["b"] * 5}).to_csv(tmp_path / "predictions.csv", index=False)
    for fold in (1, 2):
        (tmp_path / f"fold_{fold}").mkdir()
        pd.DataFrame({"seconds": [60.0, 120.0]}).to_csv(tmp_path / f"fold_{fold}/history.csv", index=False)
    found = dict(zip(learning_curve.COLUMNS, learning_curve.figures(tmp_path, 50), strict=True))
    assert found == {
        "patients": "50",
        "clips": "2",
        "clip AUC": "0.912 (0.850 to 0.970)",
        "clip accuracy": "0.800",
        "CAM hits": "90% (80% to 95%) of 20",
        "epochs, min": "6",
    }
