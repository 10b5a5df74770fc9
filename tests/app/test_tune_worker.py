"""Nesting: what is trained on and looked at for each job, with a learner that only takes notes."""

import numpy as np
import pytest

from stenoscope.app import fold_inputs, train_worker, tune, tune_worker
from stenoscope.errors import DatasetError
from stenoscope.folds.mean_image import frame_rows
from stenoscope.folds.split import make_folds
from stenoscope.learners.protocol import Learner
from stenoscope.learners.registry import LEARNERS
from stenoscope.settings import TrainingSettings, TuningSettings
from stenoscope.tuning.fits import OUTER, Job
from tests.tuning import fakes


class Notes(Learner):
    """Notes what it is given."""

    made: list = []  # noqa: RUF012
    fitted: list = []  # noqa: RUF012

    def __init__(self, settings, num_labels=1):
        super().__init__(settings, num_labels)
        Notes.made.append(settings)

    def fit(self, part, on_epoch=None, checkpoint=None):
        Notes.fitted.append({"train": set(part.train.tolist()), "labels": part.labels, "fold": part.number})
        return []

    def predict(self, frames):
        clips = frames._rows // 5
        Notes.fitted[-1]["test"] = set(clips.tolist())
        return np.float32(0.25 + clips[:, None] / 1000)

    def save(self, path):
        raise AssertionError("a trial keeps no network")

    @classmethod
    def load(cls, path, settings):
        raise AssertionError("a trial loads no network")


@pytest.fixture
def world(monkeypatch):
    """Fresh clips whose frames note which of them were looked at."""
    opened = fakes.open_folds.__wrapped__()
    for module in (tune, fold_inputs):
        monkeypatch.setattr(module, "open_folds", lambda folder: opened)
    monkeypatch.setattr(fold_inputs, "await_file", lambda path: None)
    monkeypatch.setitem(LEARNERS, "cnn", Notes)
    Notes.made, Notes.fitted = [], []
    for cache in (fold_inputs.opened, tune_worker._inner):
        cache.cache_clear()
    train_worker._learners.clear()
    yield opened
    for cache in (fold_inputs.opened, tune_worker._inner):
        cache.cache_clear()
    train_worker._learners.clear()


def fit(outer, inner, **settings):
    job = Job(TrainingSettings(**settings), outer, inner)
    named = tuple(sorted(fakes.open_folds()[2].items()))
    return tune_worker.fit_job(job, "x", named, inner_folds=3, seed=7, threads=1)


def patients(clips, indices) -> set[str]:
    return {clips.patient_ids[index] for index in indices}


def test_no_patient_of_the_test_part_is_in_the_inner_data(world):
    clips, folds, _ = world
    for outer in (1, 4):
        fold = folds[outer - 1]
        clips.frames.rows.clear()
        tested = set()
        for inner in (1, 2, 3):
            table = fit(outer, inner)
            note = Notes.fitted[-1]
            assert note["train"] | note["test"] == set(fold.train.tolist())
            assert not patients(clips, note["train"]) & patients(clips, note["test"])
            assert not patients(clips, note["train"] | note["test"]) & patients(clips, fold.valid)
            assert set(table["patient_id"]) == patients(clips, note["test"]) and set(table["fold"]) == {inner}
            tested |= note["test"]
        assert tested == set(fold.train.tolist()), "every training clip is judged once"
        looked_at = set(clips.frames.rows)
        assert looked_at and not looked_at & set(frame_rows(fold.valid, 5).tolist()), "nor in the mean images"


def test_the_outer_job_trains_on_the_whole_training_part(world):
    _, folds, _ = world
    table = fit(2, OUTER)
    assert Notes.fitted[-1]["train"] == set(folds[1].train.tolist())
    assert Notes.fitted[-1]["test"] == set(folds[1].valid.tolist()) and set(table["fold"]) == {2}
    assert len(table) == 5 * len(folds[1].valid) and table["label"].nunique() == 2


def test_a_whole_search_looks_at_a_test_part_only_after_its_last_trial(world, tmp_path):
    _, folds, _ = world
    (tmp_path / "space.yaml").write_text("epochs: [5, 10]\n")
    tune.tune(
        TuningSettings(
            study=str(tmp_path / "study"), space=str(tmp_path / "space.yaml"), trials=3, outer_folds=2
        )
    )
    notes = [(note["train"], note["test"]) for note in Notes.fitted]
    for fold in folds[:2]:
        test, train = set(fold.valid.tolist()), set(fold.train.tolist())
        outer = [index for index, note in enumerate(notes) if note == (train, test)]
        inner = [index for index, note in enumerate(notes) if note[0] | note[1] == train]
        assert len(outer) in (1, 2) and len(inner) in (3, 6), "settings that come again are not trained again"
        assert max(inner) < min(outer)
    assert len(notes) == sum(
        len(list((tmp_path / "study" / "predictions" / f"fold_{k}").rglob("*.csv"))) for k in (1, 2)
    )


def test_patients_that_are_held_out_to_calibrate_on_are_not_trained_on(world):
    clips, folds, _ = world
    fit(1, OUTER, inner_share=0.25)
    note = Notes.fitted[-1]
    assert note["train"] < set(folds[0].train.tolist()) and len(patients(clips, note["train"])) == 30
    assert note["test"] == set(folds[0].valid.tolist())


def test_a_network_is_traced_once_for_the_folds_of_a_trial(world):
    for inner in (1, 2, 3):
        fit(1, inner)
    fit(1, OUTER)
    fit(1, OUTER, epochs=5)
    fit(1, OUTER)
    usual = TrainingSettings().epochs
    assert [settings.epochs for settings in Notes.made] == [usual, 5, usual]


def test_shuffled_labels_are_shuffled_here_too(world):
    clips, folds, _ = world
    fit(1, OUTER, shuffle_labels=True)
    shuffled = Notes.fitted[-1]["labels"]
    assert not np.array_equal(shuffled[folds[0].train], clips.labels[folds[0].train])
    for fold in folds[1:]:
        assert shuffled[fold.valid].sum() == clips.labels[fold.valid].sum()
    table = fit(1, 1, shuffle_labels=True)
    assert table["label"].tolist() != fit(1, 1)["label"].tolist()


@pytest.mark.parametrize("count", [2, 3])
def test_inner_folds_split_the_training_part_by_patient(count):
    clips, folds, _ = fakes.open_folds()
    train = folds[0].train
    inner = tune_worker.split_training_part(clips, train, count, seed=7)
    assert [fold.number for fold in inner] == list(range(1, count + 1))
    assert sorted(np.concatenate([fold.valid for fold in inner])) == sorted(train)
    for fold in inner:
        assert not patients(clips, fold.train) & patients(clips, fold.valid)


def test_too_few_patients_are_told_before_the_first_trial(monkeypatch, tmp_path):
    clips = fakes.Clips(patients=30)
    folds = make_folds(clips.labels, clips.patient_ids, seed=7)
    monkeypatch.setattr(tune, "open_folds", lambda folder: (clips, folds, {"folds": "ab"}))
    (tmp_path / "space.yaml").write_text("epochs: [5, 10]\n")
    with pytest.raises(DatasetError, match="Too few patients"):
        tune.tune(
            TuningSettings(
                study=str(tmp_path / "study"), space=str(tmp_path / "space.yaml"), trials=1, inner_folds=20
            )
        )
    assert not (tmp_path / "study").exists()
