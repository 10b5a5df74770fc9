import numpy as np
import pytest

from stenoscope.evaluation import intervals
from stenoscope.evaluation.intervals import (
    bootstrap_patients,
    bootstrap_statistic,
    patient_draws,
    percentile_interval,
    resampled_scores,
)
from stenoscope.evaluation.metrics import FIGURES, score
from tests.evaluation.helpers import make_predictions


def arrays(table):
    labels, probabilities = table["label"].to_numpy(), table["probability"].to_numpy()
    return labels, probabilities, (probabilities >= 0.5).astype(int), table["patient_id"].to_numpy(dtype=str)


def test_every_resample_equals_scoring_the_repeated_rows():
    table = make_predictions(patients=8, decimals=1)  # one decimal: many ties
    labels, probabilities, decisions, patients = arrays(table)
    found = resampled_scores(labels, probabilities, decisions, patients, resamples=40, seed=3)
    names = np.unique(patients)
    (draws,) = patient_draws(len(names), 40, 3, per_draw=len(labels))
    for number, draw in enumerate(draws.astype(int)):
        rows = np.concatenate(
            [np.tile(np.flatnonzero(patients == name), n) for name, n in zip(names, draw, strict=True)]
        ).astype(int)
        expected = score(labels[rows], probabilities[rows], decisions[rows])
        for name in FIGURES:
            if expected[name] is None:
                assert np.isnan(found[name][number])
            else:
                assert found[name][number] == pytest.approx(expected[name], abs=1e-12), name


def test_resamples_do_not_depend_on_the_block_size(monkeypatch):
    whole = np.concatenate(list(patient_draws(7, 50, 1, per_draw=1)))
    monkeypatch.setattr(intervals, "_MAX_ELEMENTS", 70)
    pieces = list(patient_draws(7, 50, 1, per_draw=10))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert (whole.sum(axis=1) == 7).all()


def test_intervals_hold_the_pooled_value_and_narrow_with_more_patients():
    widths = []
    for patients in (20, 320):
        data = arrays(make_predictions(patients))
        pooled, found = score(*data[:3]), bootstrap_patients(*data)
        for name, interval in found.items():
            if name not in ("brier", "ece"):
                assert interval.low <= pooled[name] <= interval.high, name
        widths.append(found["auc"].high - found["auc"].low)
    assert 2 < widths[0] / widths[1] < 8  # about sqrt(16)


def test_patients_are_drawn_and_not_frames():
    # Copying every frame twenty times adds no patient: the interval must stay as wide.
    table = make_predictions(30)
    once = bootstrap_patients(*arrays(table))["accuracy"]
    copied = bootstrap_patients(*arrays(table.loc[table.index.repeat(20)]))["accuracy"]
    assert copied.bounds == pytest.approx(once.bounds)


def test_known_interval_of_a_share():
    # 50 of 100 patients right, one frame each: binomial, so 0.5 +- 1.96 * 0.05.
    labels = np.array([0, 1] * 50)
    decisions = np.where(np.arange(100) < 50, labels, 1 - labels)
    found = bootstrap_patients(labels, decisions * 1.0, decisions, np.arange(100).astype(str))["accuracy"]
    assert found.bounds == pytest.approx([0.402, 0.598], abs=0.02)


def test_same_seed_same_interval():
    data = arrays(make_predictions(20))
    assert bootstrap_patients(*data) == bootstrap_patients(*data)
    assert bootstrap_patients(*data, seed=1) != bootstrap_patients(*data)


def test_resamples_of_one_class_are_skipped_and_counted():
    labels = np.array([0, 1, 0])
    found = bootstrap_patients(labels, np.array([0.1, 0.9, 0.3]), labels, ["a", "b", "c"], resamples=2000)
    # all three draws from a and c: (2/3)^3; all from b: (1/3)^3
    assert found["auc"].skipped / 2000 == pytest.approx(8 / 27 + 1 / 27, abs=0.04)
    assert found["auc"].bounds == [1.0, 1.0]
    assert found["accuracy"].skipped == 0


def test_one_class_has_no_interval():
    found = bootstrap_patients(np.ones(3), np.full(3, 0.5), np.ones(3), ["a", "b", "c"], resamples=50)
    assert found["auc"].bounds is None and found["auc"].skipped == 50


def test_percentiles_of_a_ramp():
    interval = percentile_interval(np.r_[np.arange(1001.0), np.nan])
    assert interval.bounds == pytest.approx([25.0, 975.0]) and interval.skipped == 1


def test_mean_and_median_of_values():
    values, patients = np.arange(60.0), np.arange(60).astype(str)
    mean = bootstrap_statistic(values, patients)
    assert mean.bounds == pytest.approx([29.5 - 4.4, 29.5 + 4.4], abs=0.6)  # 1.96 * 17.3 / sqrt(60)
    median = bootstrap_statistic(values, patients, "median")
    assert median.low < 29.5 < median.high and median.low in values
    assert bootstrap_statistic(np.full(9, 3.0), patients[:9], "median").bounds == [3.0, 3.0]


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_values_stay_with_their_patients_in_any_order(statistic):
    values, patients = np.arange(60.0), (np.arange(60) // 3).astype(str)
    order = np.random.default_rng(0).permutation(60)
    assert bootstrap_statistic(values[order], patients[order], statistic).bounds == pytest.approx(
        bootstrap_statistic(values, patients, statistic).bounds
    )
