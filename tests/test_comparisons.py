"""`main.py --study` and `main.py --audit` run for real: every arm is trained, on the smallest images."""

import json

import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from stenoscope.app import audit, study

SMALL = (
    "--preset", "smoke", "--threads", "1", "--workers", "1", "--input", "data/halves",
    "--image-size", "32", "--cut", "block2_add", "--heatmap-layer", "block2_add",
)  # fmt: skip


@pytest.fixture(scope="module")
def halves(prepared):
    """The cohort in two folds."""
    prepared.run("data_loader_kfold.py", "--folds", "2", "--output", "data/halves")
    return prepared


def arms_of(folder, arms) -> dict[str, pd.DataFrame]:
    return {arm: pd.read_csv(folder / arm / "predictions.csv") for arm in arms}


def clip_auc(predictions) -> float:
    clips = predictions.groupby("clip_id")[["label", "probability"]].mean()
    return roc_auc_score(clips["label"], clips["probability"])


def check_table(path, predictions):
    """The table's clip AUCs are those of the predictions; all arms tested the same frames."""
    table = pd.read_csv(path)
    found = table[table["figure"] == "clip_auc"].set_index("arm")["pooled"]
    assert found.to_dict() == pytest.approx({arm: clip_auc(rows) for arm, rows in predictions.items()})
    frames = [sorted(zip(rows["clip_id"], rows["frame_index"], strict=True)) for rows in predictions.values()]
    assert frames[0] and all(other == frames[0] for other in frames[1:])
    return table


def test_a_study_trains_its_four_arms_on_the_same_folds(halves):
    said = halves.run("main.py", "--study", *SMALL)
    folder = halves.folder / "results/study"
    predictions = arms_of(folder / "arms", study.ARMS)
    table = check_table(folder / "study.csv", predictions)
    auc = table[table["figure"] == "clip_auc"].set_index("arm")
    gain = clip_auc(predictions["augmentation"]) - clip_auc(predictions["original"])
    assert auc.at["augmentation", "difference"] == pytest.approx(gain) and f"{gain:+.3f}" in said
    folds = pd.read_csv(halves.folder / "data/halves/folds.csv").set_index("clip_id")["fold"]
    for arm, (augmentation, attention) in study.ARMS.items():
        rows = predictions[arm]
        assert (rows["fold"] == rows["clip_id"].map(folds)).all() and rows["clip_id"].nunique() == len(folds)
        settings = yaml.safe_load((folder / "arms" / arm / "config.yaml").read_text())
        assert (settings["augmentation"], settings["attention"] != "none") == (augmentation, attention)
    differs = predictions["augmentation"]["probability"] != predictions["original"]["probability"]
    assert differs.any(), "augmentation changed what was learnt"
    assert json.loads((folder / "study.json").read_text())["counts"]["clips"] == len(folds)
    assert "data:image" in (folder / "report.html").read_text()


def test_an_audit_trains_under_folds_that_leak_and_with_shuffled_labels(halves):
    halves.run("main.py", "--audit", *SMALL, "--experiment", "results/leaks")
    folder = halves.folder / "results/leaks/audit"
    predictions = arms_of(folder, audit.ARMS)
    check_table(folder / "audit.csv", predictions)
    per = {
        arm: (
            rows.groupby("patient_id")["fold"].nunique().max(),
            rows.groupby("clip_id")["fold"].nunique().max(),
        )
        for arm, rows in predictions.items()
    }
    assert per == {"patient": (1, 1), "clip": (2, 1), "frame": (2, 2), "shuffled": (1, 1)}
    labels = {arm: rows.groupby("clip_id")["label"].first() for arm, rows in predictions.items()}
    for arm in ("clip", "frame"):
        pd.testing.assert_series_equal(labels[arm], labels["patient"])
    assert (labels["shuffled"] != labels["patient"]).any()
    assert labels["shuffled"].sum() == labels["patient"].sum()
    assert "data:image" in (folder / "report.html").read_text()
