import numpy as np
import pandas as pd
import pytest

from stenoscope.errors import DatasetError
from stenoscope.evaluation.calibration import (
    TEMPERATURES,
    bounded_logit,
    calibrate,
    calibrated,
    clip_evidence,
    cross_entropy,
    decide,
    fit_temperature,
)

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_evidence_is_the_mean_logit_of_the_frames():
    frames = pd.DataFrame(
        {
            "fold": 1,
            "patient_id": "p",
            "clip_id": ["a", "a", "b", "b"],
            "frame_index": [0, 1, 0, 1],
            "label": [1, 1, 0, 0],
            "probability": [0.9, 0.5, 0.0, 0.5],
        }
    )
    clips = clip_evidence(frames)
    assert clips["clip_id"].tolist() == ["a", "b"] and clips["probability"].tolist() == [0.7, 0.25]
    np.testing.assert_allclose(clips["logit"], [np.log(9) / 2, np.log(5e-7) / 2], atol=1e-5)
    assert np.isfinite(bounded_logit(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("count, size", [(1, 1.0), (4, 2.0), (9, 0.5)])
def test_temperature_of_a_perfect_separation(count, size):
    """All evidence is +size or -size and right: the best sigmoid(size / T) is Platt's (n + 1) / (n + 2)."""
    labels = np.repeat([0, 1], count)
    found = fit_temperature(np.where(labels == 1, size, -size), labels)
    assert found == pytest.approx(size / np.log(count + 1), rel=1e-4)


def test_temperature_of_a_network_that_is_too_sure():
    """Three of four right at logits of 10: with 400 of each class the temperature is close to 10 / ln 3."""
    labels = np.repeat([0, 1], 400)
    right = np.tile([1, 1, 1, -1], 200)
    logits = 10.0 * right * np.where(labels == 1, 1, -1)
    assert fit_temperature(logits, labels) == pytest.approx(10 / np.log(3), rel=0.01)
    assert fit_temperature(logits * 3, labels) == pytest.approx(3 * fit_temperature(logits, labels), rel=1e-4)


def test_a_temperature_divides_the_evidence():
    assert calibrated([-2.0, 0.0, 2.0], 2.0) == pytest.approx(
        [0.26894, 0.5, 0.73106], abs=1e-5
    )  # 1 / (1 + e)


def test_evidence_that_points_the_wrong_way_counts_for_nothing():
    labels = np.repeat([0, 1], 20)
    found = fit_temperature(np.where(labels == 1, -1.0, 1.0), labels)
    assert found == pytest.approx(TEMPERATURES[1], rel=1e-3)
    assert np.abs(calibrated([-1.0, 1.0], found) - 0.5).max() < 0.01


def test_one_class_teaches_nothing():
    with pytest.raises(DatasetError, match="0 normal and 3 abnormal") as caught:
        fit_temperature([1.0, 2.0, 3.0], np.array([1, 1, 1]))
    assert "inner_share" in caught.value.fix


def test_cross_entropy_by_hand_and_without_overflow():
    np.testing.assert_allclose(cross_entropy(np.array([0.0, np.log(3)]), np.array([1, 0])), np.log([2, 4]))
    assert cross_entropy(np.array([1e4, -1e4]), np.array([1, 0])).tolist() == [0, 0]


def test_thresholds_by_hand():
    """Ten clips of each class; calibrated probabilities follow the order of the logits."""
    logits = np.arange(20, dtype=float) - 9.5
    labels = np.array([0] * 8 + [1, 0, 1, 0] + [1] * 8)  # one normal above one abnormal, twice
    found = calibrate(logits, labels, target=0.9)

    def between(index):
        return calibrated(logits[index : index + 2], found.temperature).mean()

    # From 8 on: sensitivity 1, specificity 0.8. From 10 on: 0.9, 0.9. From 12 on: 0.8, 1. All sum to 1.8.
    assert found.youden == pytest.approx(between(7)), "the most sensitive of equally good thresholds"
    assert found.sensitive == pytest.approx(between(9))
    assert found.specific == pytest.approx(between(9))
    assert found.low == found.high == found.sensitive, "both targets are met: nothing is uncertain"
    strict = calibrate(logits, labels, target=0.95)
    assert (strict.sensitive, strict.specific) == pytest.approx((between(7), between(11)))
    assert (strict.low, strict.high) == (strict.sensitive, strict.specific)


def test_calls_by_two_thresholds():
    called = decide(np.array([0.1, 0.3, 0.59, 0.6]), low=0.3, high=0.6)
    assert called.tolist() == ["normal", "uncertain", "uncertain", "abnormal"]
    assert decide(np.array([0.1, 0.3, 0.5]), 0.3, 0.3).tolist() == ["normal", "abnormal", "abnormal"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.9, 0.97, 1.0]), st.integers(2, 40))
def test_thresholds_keep_what_they_promise_on_the_inner_clips(seed, target, count):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, count)]
    logits = np.round(rng.normal(labels * rng.uniform(0, 4), 1.5), 1)  # with ties
    found = calibrate(logits, labels, target)
    probabilities = calibrated(logits, found.temperature)
    assert 0 <= found.low <= found.high <= 1
    assert (probabilities[labels == 1] >= found.sensitive).mean() >= target - 1e-9
    assert (probabilities[labels == 0] < found.specific).mean() >= target - 1e-9
    said = decide(probabilities, found.low, found.high)
    assert (said[labels == 1] == "normal").mean() <= 1 - target + 1e-9, "few abnormal clips are called normal"
    assert (said[labels == 0] == "abnormal").mean() <= 1 - target + 1e-9
    best = max(
        (probabilities[labels == 1] >= t).mean() + (probabilities[labels == 0] < t).mean()
        for t in [*probabilities, 2.0]
    )
    mine = (probabilities[labels == 1] >= found.youden).mean() + (
        probabilities[labels == 0] < found.youden
    ).mean()
    assert mine == pytest.approx(best)
