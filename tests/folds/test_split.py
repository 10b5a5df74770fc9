import numpy as np
import pytest

from stenoscope.errors import DatasetError
from stenoscope.folds.split import inner_split, make_folds

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st


def cohort(normal, abnormal, seed=0):
    """Labels and patients of one to three clips each, in random order."""
    rng = np.random.default_rng(seed)
    labels, patients = [], []
    for number in range(normal + abnormal):
        clips = rng.integers(1, 4)
        labels += [float(number >= normal)] * clips
        patients += [f"p{number:03d}"] * clips
    order = rng.permutation(len(labels))
    return np.array(labels)[order], np.array(patients)[order]


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.integers(0, 2**31))
def test_no_patient_in_both_parts_and_every_clip_tested_once(normal, abnormal, seed):
    labels, patients = cohort(normal, abnormal, seed % 1000)
    folds = make_folds(labels, patients, seed)
    assert [fold.number for fold in folds] == [1, 2, 3, 4, 5]
    tested = np.concatenate([fold.valid for fold in folds])
    assert sorted(tested) == list(range(len(labels)))
    for fold in folds:
        assert not set(patients[fold.train]) & set(patients[fold.valid])
        assert sorted(np.concatenate([fold.train, fold.valid])) == list(range(len(labels)))
        assert set(labels[fold.valid]) == {0.0, 1.0}
        assert np.all(np.diff(fold.train) > 0) and np.all(np.diff(fold.valid) > 0)


def test_folds_are_stratified():
    labels, patients = cohort(60, 40)
    shares = [labels[fold.valid].mean() for fold in make_folds(labels, patients, 7)]
    assert np.ptp(shares) < 0.1


def test_same_seed_same_folds_and_other_seed_other_folds():
    labels, patients = cohort(20, 20)

    def parts(seed):
        return [fold.valid.tolist() for fold in make_folds(labels, patients, seed)]

    assert parts(7) == parts(7)
    assert parts(7) != parts(8)


def test_unlabelled_clips_are_in_no_fold():
    labels, patients = cohort(10, 10)
    labels[[0, 5]] = np.nan
    folds = make_folds(labels, patients, 7)
    assert set(np.concatenate([fold.valid for fold in folds])) == set(range(len(labels))) - {0, 5}
    assert all(not {0, 5} & set(fold.train) for fold in folds)


def test_several_labels_are_stratified_by_the_first():
    labels, patients = cohort(10, 10)
    several = np.column_stack([labels, np.full(len(labels), np.nan)])
    for one, other in zip(make_folds(labels, patients, 7), make_folds(several, patients, 7), strict=True):
        np.testing.assert_array_equal(one.valid, other.valid)


def test_a_patient_with_both_labels_stays_together():
    labels, patients = cohort(12, 12)
    patients[np.flatnonzero(labels == 1)[0]] = patients[np.flatnonzero(labels == 0)[0]]
    for fold in make_folds(labels, patients, 7):
        assert not set(patients[fold.train]) & set(patients[fold.valid])


@pytest.mark.parametrize("normal,abnormal", [(4, 20), (20, 4), (0, 20)])
def test_too_few_patients_is_an_error_that_counts(normal, abnormal):
    labels, patients = cohort(normal, abnormal)
    with pytest.raises(DatasetError) as caught:
        make_folds(labels, patients, 7)
    text = str(caught.value)
    assert f"normal (label 0): {normal} patients" in text
    assert f"abnormal (label 1): {abnormal} patients" in text
    assert caught.value.fix


def test_many_clips_of_few_patients_do_not_count():
    labels = np.array([0.0] * 30 + [1.0] * 30)
    patients = np.array(["a"] * 30 + [f"b{i}" for i in range(30)])
    with pytest.raises(DatasetError, match="1 patients with 30 clips"):
        make_folds(labels, patients, 7)


@pytest.mark.parametrize("seed", range(30))
def test_cohorts_with_mixed_patients_have_both_classes_in_every_fold(seed):
    labels, patients = cohort(8, 8, seed)
    labels = np.append(labels, [1.0, 0.0])  # one clip of the other class for two patients
    patients = np.append(patients, ["p000", "p015"])
    for fold in make_folds(labels, patients, seed):
        assert set(labels[fold.valid]) == {0.0, 1.0}


def test_other_labels_are_refused():
    with pytest.raises(DatasetError, match="label 2"):
        make_folds(np.array([0, 1, 2.0]), ["a", "b", "c"], 7)


def test_fewer_folds_for_inner_splits():
    labels, patients = cohort(6, 6)
    folds = make_folds(labels, patients, 7, num_folds=3)
    assert sorted(np.concatenate([fold.valid for fold in folds])) == list(range(len(labels)))


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 40), st.integers(6, 40), st.floats(0.15, 0.5), st.integers(0, 2**31))
def test_the_inner_split_holds_out_whole_patients_of_both_classes(normal, abnormal, share, seed):
    labels, patients = cohort(normal, abnormal, seed % 1000)
    some = make_folds(labels, patients, seed)[2].train
    train, inner = inner_split(some, labels[:, None], patients, share, seed)
    assert sorted([*train, *inner]) == sorted(some)
    assert not set(patients[train]) & set(patients[inner])
    assert set(labels[train]) == set(labels[inner]) == {0.0, 1.0}
    assert 0 <= len(set(patients[inner])) - share * len(set(patients[some])) < 1
    again = inner_split(some, labels[:, None], patients, share, seed)
    assert train.tolist() == again[0].tolist() and np.all(np.diff(train) > 0) and np.all(np.diff(inner) > 0)


def test_the_inner_split_is_stratified_and_seeded():
    labels, patients = cohort(60, 40)
    everyone = np.arange(len(labels))
    inner = inner_split(everyone, labels, patients, 0.2, 7)[1]
    assert abs(labels[inner].mean() - labels.mean()) < 0.02
    assert inner.tolist() != inner_split(everyone, labels, patients, 0.2, 8)[1].tolist()
    assert inner_split(everyone, labels, patients, 0.0, 7)[1].size == 0


def test_too_few_patients_for_an_inner_split_are_counted():
    labels, patients = cohort(20, 1)
    with pytest.raises(DatasetError, match=r"of 21 training patients \(1 of them") as caught:
        inner_split(np.arange(len(labels)), labels, patients, 0.2, 7)
    assert "inner_share" in caught.value.fix


@pytest.mark.parametrize("normal,works", [(4, 4), (3, 3), (2, 2)])
def test_the_fix_of_too_few_patients_is_the_largest_number_that_works(normal, works):
    labels, patients = cohort(normal, 20)
    with pytest.raises(DatasetError) as caught:
        make_folds(labels, patients, 7)
    assert f"`--folds {works}`, the largest number that works" in caught.value.fix
    assert len(make_folds(labels, patients, 7, works)) == works


def test_one_patient_of_a_class_makes_no_number_of_folds_work():
    labels, patients = cohort(1, 20)
    with pytest.raises(DatasetError) as caught:
        make_folds(labels, patients, 7)
    assert "--folds" not in caught.value.fix and "add clips of more patients" in caught.value.fix
