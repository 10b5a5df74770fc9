"""A learner is one class and one entry of `LEARNERS`; the scripts, tables and pages follow."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.journey import ROOT

RUN = ("-m", "tests.learners.logistic", str(ROOT / "main.py"))


@pytest.fixture(scope="module")
def trained(prepared):
    """What step 3 said; the experiment lies in results/logistic."""
    return prepared.run(
        *RUN, "--learner", "logistic", "--experiment", "results/logistic", "--inner_share", "0.2"
    )


def test_it_gets_an_experiment_and_a_report(prepared, trained):
    folder = prepared.folder / "results/logistic"
    assert "training clips, " in trained and "epochs" not in trained and "heatmaps" not in trained
    summary = json.loads((folder / "summary.json").read_text())
    assert 0 <= summary["clip_auc"]["pooled"] <= 1 and summary["randomisation"] is None
    assert summary["localisation"] is None and summary["decisions"]["calibration"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"]["learner"] == "logistic" and manifest["heatmap_scales"] == {}
    assert {f"fold_{number}/model.npy" for number in range(1, 6)} <= set(manifest["outputs"])
    page = (folder / "report.html").read_text()
    assert "logistic" in page and "Training history" not in page and "<h2>Heatmaps</h2>" not in page
    card = (folder / "model_card.md").read_text()
    assert "| type | logistic |" in card and "efficientnet" not in card and "convolutional" not in card
    clips = pd.read_csv(folder / "clips.csv", encoding="utf-8-sig")
    assert set(clips["called"]) <= {"normal", "abnormal"} and "heatmap" not in clips
    assert not (folder / "heatmaps").exists() and not (folder / "fold_1/history.csv").exists()


def test_a_finished_experiment_is_not_trained_again(prepared, trained):
    said = prepared.run(
        *RUN, "--learner", "logistic", "--experiment", "results/logistic", "--inner_share", "0.2"
    )
    assert "finished already" in said


def test_it_predicts_new_clips(prepared, trained):
    clip = next((prepared.folder / "data/phantom").glob("*.dcm"))
    said = prepared.run(
        *RUN, "predict", str(clip), "--experiment", "results/logistic", "--output", "results/new"
    )
    assert "probability of abnormal" in said and "heatmaps" not in said
    table = pd.read_csv(prepared.folder / "results/new/predictions.csv")
    of_models = table[[f"fold_{number}" for number in range(1, 6)]]
    assert len(table) == 5 and set(table["in_training"]) == {"clip"}
    np.testing.assert_allclose(table["probability"], of_models.mean(axis=1), atol=2e-6)
    page = (prepared.folder / "results/new/report.html").read_text()
    assert "says how probable a lesion is, and not where" in page


def test_what_it_can_not_do_is_refused(prepared, trained):
    said = prepared.run(*RUN, "export", "--experiment", "results/logistic", expect=2)
    assert "The learner 'logistic' can't be written as ONNX" in said
    clip = next((prepared.folder / "data/phantom").glob("*.dcm"))
    options = ("--experiment", "results/logistic", "--output", "results/dicom", "--dicom", "true")
    said = prepared.run(*RUN, "predict", str(clip), *options, expect=2)
    assert "draws no heatmaps" in said


def test_an_unknown_learner_is_refused_before_anything_is_written(prepared):
    said = prepared.run("main.py", "--learner", "forest", "--experiment", "results/forest", expect=2)
    assert "forest" in said and "cnn" in said
    assert not (prepared.folder / "results/forest").exists()
