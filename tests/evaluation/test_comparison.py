import numpy as np
import pytest

from stenoscope.errors import DatasetError
from stenoscope.evaluation.comparison import compare_arms, comparison_table
from stenoscope.evaluation.metrics import shown_in
from stenoscope.evaluation.summary import paired_difference, summarise
from tests.evaluation.helpers import make_predictions


@pytest.fixture(scope="module")
def arms():
    first = make_predictions(40)
    better = first.assign(probability=(0.6 * first["probability"] + 0.4 * first["label"]).round(6))
    return {"a": first, "b": better, "same": first.copy()}


@pytest.fixture(scope="module")
def compared(arms):
    return compare_arms(arms, resamples=200)


def test_figures_are_those_of_the_arms_alone(arms, compared):
    assert list(compared["arms"]) == ["a", "b", "same"]
    for arm, predictions in arms.items():
        alone = summarise(predictions, resamples=200)
        for name, row in compared["arms"][arm].items():
            assert {key: row[key] for key in ("mean", "std", "pooled", "ci95")} == {
                key: alone[name][key] for key in ("mean", "std", "pooled", "ci95")
            }
    assert compared["counts"] == summarise(arms["a"], resamples=1)["counts"]


def test_differences_are_paired_and_to_the_first(arms, compared):
    assert all(row["difference"] is None for row in compared["arms"]["a"].values())
    expected = paired_difference(arms["a"], arms["b"], "clip_auc", resamples=200)
    row = compared["arms"]["b"]["clip_auc"]["difference"]
    assert (row["value"], row["ci95"]) == (expected["difference"], expected["ci95"]) and row["value"] > 0
    for row in compared["arms"]["same"].values():
        assert row["difference"] == {"value": 0, "ci95": [0, 0], "share_above_zero": 0.5}


def test_clips_split_over_folds_are_refused_unless_expected(arms):
    mixed = arms["a"].assign(fold=np.arange(len(arms["a"])) % 5 + 1)
    with pytest.raises(DatasetError, match="more than one fold"):
        compare_arms({"a": arms["a"], "mixed": mixed}, resamples=20)
    found = compare_arms({"a": arms["a"], "mixed": mixed}, mixed=("mixed",), resamples=20)["arms"]
    for name, row in found["mixed"].items():  # the folds change nothing that is pooled
        assert row["pooled"] == found["a"][name]["pooled"] and row["ci95"] == found["a"][name]["ci95"]
        assert row["mean"] is None and row["difference"]["value"] == 0


def test_other_labels_have_no_difference(arms):
    other = arms["a"].assign(label=1 - arms["a"]["label"])
    with pytest.raises(DatasetError, match="same clips with the same labels"):
        compare_arms({"a": arms["a"], "other": other}, resamples=20)
    found = compare_arms({"a": arms["a"], "other": other}, unpaired=("other",), resamples=20)["arms"]
    assert found["other"]["clip_auc"]["difference"] is None
    total = found["a"]["clip_auc"]["pooled"] + found["other"]["clip_auc"]["pooled"]
    assert total == pytest.approx(1)


def test_the_table_has_a_row_per_arm_and_figure(compared):
    table = comparison_table(compared["arms"])
    assert table["figure"].tolist() == 3 * shown_in("study")
    assert table["difference"].isna().sum() == len(shown_in("study"))
    row = table[(table["arm"] == "b") & (table["figure"] == "clip_accuracy")].iloc[0]
    figure = compared["arms"]["b"]["clip_accuracy"]
    assert [row["pooled"], row["low"], row["high"]] == [figure["pooled"], *figure["ci95"]]
    assert [row["difference_low"], row["difference_high"]] == figure["difference"]["ci95"]
