import numpy as np
import pytest

from stenoscope.evaluation.metrics import (
    FIGURES,
    calibration_bins,
    score,
    why_undefined,
)


def test_hand_worked_example():
    labels = np.array([1, 1, 1, 0, 0])
    probabilities = np.array([0.9, 0.6, 0.2, 0.7, 0.1])
    found = score(labels, probabilities, (probabilities >= 0.5).astype(int))
    assert list(found) == list(FIGURES)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(1 / 2)
    assert found["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["ppv"] == pytest.approx(2 / 3) and found["npv"] == pytest.approx(1 / 2)
    assert found["auc"] == pytest.approx(4 / 6)  # of six pairs, 0.6 < 0.7 and 0.2 < 0.7 are wrong
    assert found["brier"] == pytest.approx((0.01 + 0.16 + 0.64 + 0.49 + 0.01) / 5)
    # bins of 0.1: each prediction is alone in its bin
    assert found["ece"] == pytest.approx((0.1 + 0.4 + 0.8 + 0.7 + 0.1) / 5)


def test_calibration_error_of_bins_with_several_members():
    labels = np.array([1, 0, 1, 1])
    probabilities = np.array([0.55, 0.55, 0.95, 0.95])
    assert score(labels, probabilities, labels)["ece"] == pytest.approx((0.1 + 0.1) / 4)
    assert calibration_bins(np.array([0.0, 0.05, 0.1, 1.0])).tolist() == [0, 0, 1, 9]


def test_a_perfectly_calibrated_coin():
    labels = np.array([0, 1] * 10)
    assert score(labels, np.full(20, 0.5), labels)["ece"] == 0.0


@pytest.mark.parametrize(
    "label,undefined",
    [
        (1, {"auc", "specificity", "balanced_accuracy"}),
        (0, {"auc", "sensitivity", "balanced_accuracy", "f1"}),
    ],
)
def test_one_class_leaves_some_undefined(label, undefined):
    labels = np.full(4, label)
    found = score(labels, np.array([0.1, 0.4, 0.6, 0.9]), np.array([0, 0, 1, 1]))
    assert {name for name, value in found.items() if value is None} == undefined
    for name in undefined:
        assert why_undefined(name, labels) == f"none of 4 is {'normal' if label else 'abnormal'}"


@pytest.mark.parametrize("call,name,word", [(0, "ppv", "abnormal"), (1, "npv", "normal")])
def test_a_predictive_value_needs_a_call(call, name, word):
    labels, decisions = np.array([0, 0, 1, 1]), np.full(4, call)
    found = score(labels, np.full(4, float(call)), decisions)
    assert {key for key, value in found.items() if value is None} == {name}
    assert why_undefined(name, labels, decisions) == f"none of 4 was called {word}"


def test_nothing_to_score():
    assert set(score(np.array([], int), np.array([]), np.array([], int)).values()) == {None}
