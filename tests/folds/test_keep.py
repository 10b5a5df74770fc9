import numpy as np
import pytest

from stenoscope.errors import DatasetError
from stenoscope.folds.keep import keep_folds, read_kept

CLIPS = ["a1", "a2", "b1", "c1", "d1"]
PATIENTS = ["a", "a", "b", "c", "d"]
KEPT = {"a1": 1, "a2": 1, "b1": 2, "c1": 1, "d1": 2}
LABELS = np.array([0.0, 1, 0, 1, 1])


def folds_of(folds, clips):
    return {clips[clip]: fold.number for fold in folds for clip in fold.valid}


def test_clips_stay_where_they_were_when_labels_change():
    flipped = np.array([1.0, 0, 1, 1, 0])
    folds = keep_folds(flipped, PATIENTS, CLIPS, KEPT)
    assert folds_of(folds, CLIPS) == KEPT
    for fold in folds:
        assert sorted([*fold.train, *fold.valid]) == [0, 1, 2, 3, 4]


def test_new_clips_join_their_patient_or_the_fold_that_has_fewest_of_their_class():
    clips, patients = [*CLIPS, "b2", "e1", "f1", "f2"], [*PATIENTS, "b", "e", "f", "f"]
    labels = np.array([*LABELS, 1, 0, 1, 1])
    # b2 goes to 2 with its patient. f has the most clips and comes first: fold 1 has the abnormal a2 and c1,
    # fold 2 d1 and b2, and each has one normal clip: 3 against 3, so the first. Then e: one normal clip in
    # each, and fold 2 has fewer clips.
    found = folds_of(keep_folds(labels, patients, clips, KEPT), clips)
    assert found == {**KEPT, "b2": 2, "f1": 1, "f2": 1, "e1": 2}


def test_unlabelled_and_missing_clips_are_in_no_fold():
    labels = np.array([0.0, np.nan, 0, 1, 1])
    assert folds_of(keep_folds(labels, PATIENTS, CLIPS, {**KEPT, "gone": 2}), CLIPS) == {
        name: fold for name, fold in KEPT.items() if name != "a2"
    }


def test_a_patient_in_two_folds_is_refused():
    with pytest.raises(DatasetError, match=r"1 patients have clips in several .* 'a' in 1 and 2") as caught:
        keep_folds(LABELS, ["a", "a", "a", "c", "d"], CLIPS, KEPT)
    assert "patient_id" in caught.value.fix


def test_a_fold_that_lost_a_class_is_refused():
    with pytest.raises(DatasetError, match="Fold 2 would test no normal clip"):
        keep_folds(np.array([0.0, 1, 1, 1, 1]), PATIENTS, CLIPS, KEPT)


@pytest.mark.parametrize(
    "text,told",
    [
        (None, "no folds to keep"),
        ("clip_id,fold\na,1\na,2\n", "twice"),
        ("clip_id,fold\na,1\nb,3\n", "leaves out a fold"),
        ("clip_id,fold\na,one\n", "can't be read"),
        ("clip,fold\na,1\n", "can't be read"),
        ("clip_id,fold\n", "leaves out a fold"),
    ],
)
def test_what_is_no_table_of_folds_is_refused(tmp_path, text, told):
    if text is not None:
        (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(DatasetError, match=told):
        read_kept(tmp_path)


def test_ids_that_a_spreadsheet_would_run_are_read_back(tmp_path):
    (tmp_path / "folds.csv").write_text("clip_id,fold\n'=1+1,1\n007,2\n")
    assert read_kept(tmp_path) == {"=1+1": 1, "007": 2}
