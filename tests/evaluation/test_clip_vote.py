import pandas as pd
import pytest

from stenoscope.errors import DatasetError
from stenoscope.evaluation.clip_vote import check_predictions, vote, vote_of_patients
from tests.evaluation.helpers import make_predictions


def clip(probabilities, clip_id="c", fold=1, label=1, patient="p"):
    rows = [(fold, patient, clip_id, k, label, p) for k, p in enumerate(probabilities)]
    return pd.DataFrame(
        rows, columns=["fold", "patient_id", "clip_id", "frame_index", "label", "probability"]
    )


@pytest.mark.parametrize(
    "probabilities,decision",
    [
        ([0.6, 0.6, 0.6, 0.0, 0.0], 1),  # the majority wins, though the mean is 0.36
        ([0.4, 0.4, 0.4, 1.0, 1.0], 0),  # and here though it is 0.64
        ([0.5, 0.5, 0.5, 0.1, 0.1], 1),  # the threshold itself is abnormal
        ([0.9, 0.2], 1),  # a tie: mean 0.55
        ([0.6, 0.2], 0),  # a tie: mean 0.4
    ],
)
def test_majority_with_ties_by_the_mean(probabilities, decision):
    row = vote(clip(probabilities)).iloc[0]
    assert row["decision"] == decision
    assert row["probability"] == pytest.approx(sum(probabilities) / len(probabilities))


def test_one_row_per_clip_in_order():
    table = pd.concat([clip([0.9] * 5, "z"), clip([0.1] * 5, "a", fold=2, label=0, patient="q")])
    clips = vote(table)
    assert clips["clip_id"].tolist() == ["z", "a"]
    assert clips["votes"].tolist() == [5, 0] and clips["frames"].tolist() == [5, 5]
    assert clips["fold"].tolist() == [1, 2] and clips["label"].tolist() == [1, 0]


def test_good_predictions_pass():
    check_predictions(make_predictions())


@pytest.mark.parametrize("column,value", [("fold", 5), ("label", 1), ("patient_id", "other")])
def test_a_clip_in_two_folds_or_with_two_labels_or_patients_is_refused(column, value):
    table = clip([0.1] * 5, label=0)
    table.loc[2, column] = value
    with pytest.raises(DatasetError, match=f"more than one {column}"):
        check_predictions(table)


@pytest.mark.parametrize("column,value", [("label", 2), ("probability", 1.5), ("probability", float("nan"))])
def test_impossible_values_are_refused(column, value):
    table = clip([0.1] * 5)
    table.loc[1, column] = value
    with pytest.raises(DatasetError, match=column):
        check_predictions(table)


def test_missing_columns_and_empty_tables_are_refused():
    with pytest.raises(DatasetError, match="fold"):
        check_predictions(clip([0.1]).drop(columns="fold"))
    with pytest.raises(DatasetError, match="0 rows"):
        check_predictions(clip([]))


@pytest.mark.parametrize("column", ["clip_id", "patient_id", "fold"])
def test_empty_ids_are_refused(column):
    table = clip([0.1] * 5).astype({"fold": float})
    table.loc[1, column] = None
    with pytest.raises(DatasetError, match=f"empty {column}"):
        check_predictions(table)


def test_a_patient_is_called_by_most_clips_and_at_a_tie_by_the_mean():
    clips = pd.DataFrame(
        [
            (1, "a", "a1", 0, 0.9, 5, 5, 1),
            (1, "a", "a2", 0, 0.2, 0, 5, 0),  # a tie; mean 0.55
            (2, "b", "b1", 1, 0.45, 3, 5, 1),
            (2, "b", "b2", 0, 0.05, 0, 5, 0),
            (2, "b", "b3", 0, 0.1, 0, 5, 0),
            (2, "c", "c1", 1, 0.45, 3, 5, 1),  # the vote says abnormal, the mean does not
        ],
        columns=["fold", "patient_id", "clip_id", "label", "probability", "votes", "frames", "decision"],
    )
    patients = vote_of_patients(clips).set_index("patient_id")
    assert patients["decision"].to_dict() == {"a": 1, "b": 0, "c": 1}
    assert patients["label"].to_dict() == {"a": 0, "b": 1, "c": 1}  # abnormal if any clip is
    assert patients["votes"].tolist() == [1, 1, 1] and patients["clips"].tolist() == [2, 3, 1]
    assert patients["probability"].tolist() == pytest.approx([0.55, 0.2, 0.45])
    assert patients["fold"].tolist() == [1, 2, 2]
