import numpy as np
import pandas as pd
import pytest

from stenoscope.errors import DatasetError
from stenoscope.evaluation.calibration import Calibration, calibrate, clip_evidence
from stenoscope.evaluation.decisions import (
    COLUMNS,
    decide_all,
    decide_new,
    summarise_decisions,
    typical_calibration,
)
from tests.evaluation.helpers import make_inner, make_predictions


@pytest.fixture(scope="module")
def data():
    predictions = make_predictions(60)
    inner = {fold: make_inner(fold) for fold in range(1, 6)}
    return predictions, inner, *decide_all(predictions, inner, 0.9)


def test_each_fold_is_decided_by_its_own_inner_split(data):
    predictions, inner, decisions, calibrations = data
    assert tuple(decisions.columns) == COLUMNS
    assert sorted(decisions["clip_id"]) == sorted(predictions["clip_id"].unique())
    for fold, chosen in calibrations.items():
        held_out = clip_evidence(inner[fold])
        assert chosen == calibrate(held_out["logit"], held_out["label"], 0.9)
        rows = decisions[decisions["fold"] == fold]
        expected = clip_evidence(predictions[predictions["fold"] == fold]).set_index("clip_id")["logit"]
        logit = np.log(rows["calibrated"] / (1 - rows["calibrated"]))
        np.testing.assert_allclose(
            logit * chosen.temperature, rows["clip_id"].map(expected), atol=1e-4 * chosen.temperature * 50
        )
        assert ((rows["calibrated"] >= chosen.youden) == rows["decision_youden"]).all()
        assert ((rows["calibrated"] >= chosen.sensitive) == rows["decision_sensitivity"]).all()


def test_labels_of_test_clips_decide_nothing(data):
    predictions, inner, decisions, _ = data
    flipped, _ = decide_all(predictions.assign(label=1 - predictions["label"]), inner, 0.9)
    pd.testing.assert_frame_equal(flipped.drop(columns="label"), decisions.drop(columns="label"))


def test_a_patient_on_both_sides_is_refused(data):
    predictions, inner, *_ = data
    leaking = {**inner, 2: predictions[predictions["fold"] == 2]}
    with pytest.raises(DatasetError, match="in the test part of fold 2"):
        decide_all(predictions, leaking, 0.9)


def test_a_fold_without_inner_split_is_refused(data):
    predictions, inner, *_ = data
    with pytest.raises(DatasetError, match="fold 4"):
        decide_all(predictions, {fold: table for fold, table in inner.items() if fold != 4}, 0.9)


def hand_made():
    rows = [  # label, probability, calibrated, youden, sensitive, decision
        (0, 0.2, 0.1, 0, 0, "normal"),
        (0, 0.4, 0.3, 0, 1, "uncertain"),
        (0, 0.9, 0.8, 1, 1, "abnormal"),
        (0, 0.1, 0.1, 0, 0, "normal"),
        (1, 0.6, 0.5, 1, 1, "uncertain"),
        (1, 0.9, 0.9, 1, 1, "abnormal"),
        (1, 0.3, 0.2, 0, 0, "normal"),
        (1, 0.8, 0.9, 1, 1, "abnormal"),
    ]
    table = pd.DataFrame(rows, columns=["label", *COLUMNS[4:]])
    return table.assign(fold=1, patient_id=[f"p{i}" for i in range(8)], clip_id=[f"c{i}" for i in range(8)])


def test_figures_by_hand():
    chosen = {1: Calibration(2.0, 0.5, 0.25, 0.7, 0.25, 0.7)}
    found = summarise_decisions(hand_made(), chosen, 0.9, resamples=200)

    def value(*path):
        part = found
        for name in path:
            part = part[name]
        return part["pooled"]

    assert value("youden", "sensitivity") == 0.75 and value("youden", "specificity") == 0.75
    assert value("sensitive", "sensitivity") == 0.75 and value("sensitive", "specificity") == 0.5
    assert value("three_way", "uncertain") == 0.25
    assert value("three_way", "accuracy") == pytest.approx(4 / 6)
    assert value("three_way", "sensitivity") == pytest.approx(2 / 3)
    assert found["three_way"]["counts"] == {
        "normal": {"normal": 2, "abnormal": 1, "uncertain": 1},
        "abnormal": {"normal": 1, "abnormal": 2, "uncertain": 1},
    }
    table = hand_made()
    for when, column in (("before", "probability"), ("after", "calibrated")):
        p, y = table[column], table["label"]
        assert value("calibration", when, "brier") == pytest.approx(((p - y) ** 2).mean())
        assert value("calibration", when, "nll") == pytest.approx(
            -np.log(np.where(y == 1, p, 1 - p)).mean(), abs=1e-9
        )
    low, high = found["three_way"]["uncertain"]["ci95"]
    assert 0 <= low < 0.25 < high <= 1


def test_when_everything_is_uncertain_the_rest_is_undefined():
    table = hand_made().assign(decision="uncertain")
    found = summarise_decisions(table, {1: Calibration(1, 0.5, 0, 1, 0, 1)}, 0.9, resamples=20)["three_way"]
    assert found["uncertain"]["pooled"] == 1 and found["accuracy"] == {"pooled": None, "ci95": None}


def test_the_typical_calibration_is_the_median_as_evidence(data):
    """At temperatures 1, 2 and 4, sigmoid(2), sigmoid(1) and sigmoid(0.5) are the same evidence."""
    at = 1 / (1 + np.exp([-2.0, -1.0, -0.5]))
    folds = {
        fold: Calibration(temperature, p, 1 - p, p, 1 - p, p)
        for fold, temperature, p in zip((1, 2, 3), (1.0, 2.0, 4.0), at, strict=True)
    }
    found = typical_calibration(folds)
    assert found.temperature == 2 and found.youden == pytest.approx(at[1])
    assert (found.low, found.high) == pytest.approx((1 - at[1], at[1]))
    odd = {**folds, 4: Calibration(50.0, 1.0, 0.0, 1.0, 0.0, 1.0), 5: folds[2]}
    assert typical_calibration(odd) == found, "one fold that learnt nothing changes nothing"
    summary = summarise_decisions(hand_made(), folds, 0.9, resamples=5)
    assert summary["typical"] == vars(found) and summary["folds"][2]["fold"] == 3


def test_new_clips_by_the_models_together():
    chosen = Calibration(2.0, 0.5, 0.4, 0.6, 0.4, 0.6)
    odds = np.log(9)
    frames = pd.DataFrame(
        {
            "clip_id": ["007", "007", "NA"],
            "frame_index": [0, 1, 0],
            "probability": [0.9, 0.5, 0.3],
            "fold_1": [0.9, 0.5, 0.5],
            "fold_2": [0.9, 0.5, 0.1],
        }
    )
    found = decide_new(frames, vars(chosen))
    assert found["clip_id"].tolist() == ["007", "NA"] and found["probability"].tolist() == [0.7, 0.3]
    expected = 1 / (1 + np.exp([-odds / 4, odds / 4]))  # mean logits ± ln 9 / 2, at temperature 2
    np.testing.assert_allclose(found["calibrated"], expected, atol=1e-6)
    assert found["decision"].tolist() == ["abnormal", "normal"]
