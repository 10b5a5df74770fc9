import json

import numpy as np
import pandas as pd
import pytest

from stenoscope.errors import DatasetError, SettingsError
from stenoscope.evaluation.summary import paired_difference, summarise, summary_keys
from tests.evaluation.helpers import make_predictions


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(80)


@pytest.fixture(scope="module")
def summary(predictions):
    return summarise(predictions)


def test_the_named_figures_are_there(summary):
    for name in [
        "frame_accuracy",
        "frame_auc",
        "clip_accuracy",
        "clip_auc",
        "sensitivity",
        "specificity",
        "f1",
        "brier",
        "ece",
    ]:
        figure = summary[name]
        low, high = figure["ci95"]
        assert 0 <= low <= high <= 1 and 0 <= figure["pooled"] <= 1
    assert set(summary_keys()) <= set(summary) and summary["threshold"] == 0.5
    json.dumps(summary, allow_nan=False)


def test_mean_and_deviation_are_over_folds(summary):
    figure = summary["clip_auc"]
    assert figure["mean"] == pytest.approx(np.mean(figure["per_fold"]))
    assert figure["std"] == pytest.approx(np.std(figure["per_fold"], ddof=1))
    assert figure["pooled"] != pytest.approx(figure["mean"])


def test_counts_and_confusion_agree(summary, predictions):
    counts, confusion = summary["counts"], summary["confusion"]
    assert counts["frames"] == len(predictions) == sum(confusion["frame"].values())
    assert counts["clips"] == predictions["clip_id"].nunique() == sum(confusion["clip"].values())
    assert counts["clips"] == counts["normal_clips"] + counts["abnormal_clips"]
    assert sum(fold["clips"] for fold in counts["folds"]) == counts["clips"]
    right = confusion["clip"]["true_negative"] + confusion["clip"]["true_positive"]
    assert summary["clip_accuracy"]["pooled"] == pytest.approx(right / counts["clips"])
    assert summary["sensitivity"]["pooled"] == pytest.approx(
        confusion["clip"]["true_positive"] / counts["abnormal_clips"]
    )


def test_the_order_of_the_rows_does_not_matter(predictions, summary):
    shuffled = predictions.sample(frac=1, random_state=0)
    again = summarise(shuffled)
    for name in summary_keys():
        assert again[name]["pooled"] == pytest.approx(summary[name]["pooled"])
        assert again[name]["ci95"] == pytest.approx(summary[name]["ci95"])


def test_shuffled_labels_are_no_better_than_chance(predictions):
    clips = predictions.drop_duplicates("clip_id").set_index("clip_id")["label"]
    shuffled = dict(zip(clips.index, np.random.default_rng(0).permutation(clips), strict=True))
    figure = summarise(predictions.assign(label=predictions["clip_id"].map(shuffled)))["clip_auc"]
    assert figure["ci95"][0] < 0.5 < figure["ci95"][1]


def test_a_fold_of_one_class_is_left_out_with_a_reason(predictions):
    table = predictions[~((predictions["fold"] == 2) & (predictions["label"] == 1))]
    figure = summarise(table, resamples=50)["clip_auc"]
    assert figure["per_fold"][1] is None and "fold 2: none of" in figure["reason"]
    assert figure["mean"] == pytest.approx(np.mean([v for v in figure["per_fold"] if v is not None]))


def test_predictions_of_one_class_have_no_auc(predictions):
    figure = summarise(predictions[predictions["label"] == 1], resamples=50)["frame_auc"]
    assert figure["pooled"] is figure["mean"] is figure["std"] is figure["ci95"] is None
    assert "is normal" in figure["reason"]


def test_a_clip_in_two_folds_is_refused(predictions):
    table = predictions.copy()
    table.loc[0, "fold"] = 5
    with pytest.raises(DatasetError, match="more than one fold"):
        summarise(table)


def test_paired_difference_to_itself_is_nothing(predictions):
    found = paired_difference(predictions, predictions.sample(frac=1, random_state=1))
    assert found["difference"] == 0 and found["ci95"] == [0, 0] and found["share_above_zero"] == 0.5


def test_paired_difference_is_narrower_than_an_unpaired_one(predictions):
    rng = np.random.default_rng(0)
    nudged = (predictions["probability"] + rng.normal(0, 0.02, len(predictions))).clip(0, 1)
    found = paired_difference(predictions, predictions.assign(probability=nudged), "frame_auc")
    alone = summarise(predictions)["frame_auc"]["ci95"]
    assert found["ci95"][1] - found["ci95"][0] < 0.3 * (alone[1] - alone[0])
    assert found["difference"] == pytest.approx(found["b"] - found["a"])


def test_a_better_experiment_is_seen(predictions):
    better = (0.5 * predictions["probability"] + 0.5 * predictions["label"]).clip(0, 1)
    found = paired_difference(predictions, predictions.assign(probability=better), "clip_accuracy")
    assert found["ci95"][0] > 0 and found["share_above_zero"] > 0.99
    back = paired_difference(predictions.assign(probability=better), predictions, "clip_accuracy")
    assert back["difference"] == pytest.approx(-found["difference"])


def test_experiments_on_other_clips_are_not_compared(predictions):
    with pytest.raises(DatasetError, match="the same clips"):
        paired_difference(predictions, predictions[predictions["clip_id"] != "p003_c1"])
    with pytest.raises(SettingsError, match="metric"):
        paired_difference(predictions, predictions, "roc")


def test_patients_are_called_by_vote_and_by_mean():
    rows = [  # fold, patient, clip, label, probabilities of the clip's frames
        (1, "a", "a1", 1, (0.9, 0.9, 0.9, 0.1, 0.1)),
        (1, "a", "a2", 0, (0.1, 0.1, 0.1, 0.1, 0.1)),
        (2, "b", "b1", 0, (0.6, 0.6, 0.6, 0.0, 0.0)),  # vote: abnormal, mean 0.36: normal
        (3, "c", "c1", 1, (0.8, 0.8, 0.8, 0.8, 0.8)),
        (4, "d", "d1", 0, (0.2, 0.2, 0.2, 0.2, 0.2)),
    ]
    table = pd.DataFrame(
        [(*row[:3], frame, row[3], value) for row in rows for frame, value in enumerate(row[4])],
        columns=["fold", "patient_id", "clip_id", "frame_index", "label", "probability"],
    )
    found = summarise(table, resamples=200)
    pooled = {name: found[name]["pooled"] for name in summary_keys()}
    # a: one clip of two, mean 0.34, so normal by both (missed); b: a false alarm by vote alone
    assert pooled["patient_accuracy"] == 0.5 and pooled["patient_mean_accuracy"] == 0.75
    assert pooled["patient_sensitivity"] == 0.5 and pooled["patient_specificity"] == 0.5
    assert pooled["patient_ppv"] == 0.5 and pooled["patient_mean_ppv"] == 1
    assert pooled["patient_npv"] == 0.5 and pooled["patient_mean_npv"] == pytest.approx(2 / 3)
    assert pooled["patient_auc"] == 0.75 and "patient_mean_auc" not in found
    assert pooled["ppv"] == pytest.approx(2 / 3) and pooled["npv"] == 1
    for name in summary_keys():
        low, high = found[name]["ci95"]
        assert 0 <= low <= high <= 1
    assert found["confusion"]["patient"] == dict(zip(
        ("true_negative", "false_positive", "false_negative", "true_positive"), (1, 1, 1, 1), strict=True
    ))  # fmt: skip
    assert found["patient_ppv"]["per_fold"] == [None, 0, 1, None]
    assert "fold 4: none of 1 was called abnormal" in found["patient_ppv"]["reason"]


def test_patients_of_two_experiments_are_compared_in_pairs(predictions):
    found = paired_difference(
        predictions, predictions.assign(probability=predictions["label"]), "patient_accuracy"
    )
    assert found["b"] == 1 and found["difference"] == pytest.approx(1 - found["a"]) and found["ci95"][0] > 0
    with pytest.raises(DatasetError, match=r"patient_id in one only: \['p003'"):
        paired_difference(predictions, predictions[predictions["patient_id"] != "p003"], "patient_auc")
