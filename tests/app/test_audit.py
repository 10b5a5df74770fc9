import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from stenoscope.app import audit as stage
from stenoscope.app.audit import ARMS, audit
from stenoscope.app.leaks import leaking_fold
from stenoscope.app.train_worker import train_fold
from stenoscope.errors import SettingsError
from stenoscope.folds.files import FoldData
from stenoscope.folds.mean_image import frame_rows, mean_image
from stenoscope.presets import training_settings
from tests.app.fakes import (
    INPUTS,
    PREDICTIONS,
    better,
    hurry,
    shuffled,
    write_experiment,
    write_predictions,
)


@pytest.fixture(scope="module")
def clips():
    """Twenty clips of ten patients; the label of the last clip is unknown."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (100, 64, 64), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    labels = np.tile([0.0, 1.0], 10)[:, None].astype(np.float32)
    labels[19] = np.nan
    patients = [f"p{i // 2}" for i in range(20)]
    return SimpleNamespace(
        frames=frames.reshape(20, 5, 512, 512),
        num_keyframes=5,
        labels=labels,
        label_names=["label"],
        patient_ids=patients,
    )


@pytest.fixture(scope="module")
def folds():
    """Patient-wise folds of the labelled clips."""
    parts = [np.arange(4 * k, min(4 * k + 4, 19)) for k in range(5)]
    every, empty = np.arange(19), np.zeros((500, 500), np.float32)
    return [
        FoldData(k, np.setdiff1d(every, part), part, empty, "ab" * 32, 7) for k, part in enumerate(parts, 1)
    ]


def drawn_folds(split, clips, folds, seed=7):
    return [leaking_fold(clips, folds, split, number, seed) for number in range(1, 6)]


def test_clip_wise_folds_split_patients_but_no_clip(clips, folds):
    drawn = drawn_folds("clip", clips, folds)
    assert [fold.number for fold in drawn] == [1, 2, 3, 4, 5]
    assert sorted(np.concatenate([fold.valid for fold in drawn])) == list(range(19)), (
        "each labelled clip once"
    )
    split = 0
    for fold in drawn:
        assert sorted([*fold.train, *fold.valid]) == list(range(19)) and not fold.frame_wise
        assert set(clips.labels[fold.valid, 0]) == {0, 1}
        split += len({clips.patient_ids[i] for i in fold.train} & {clips.patient_ids[i] for i in fold.valid})
    assert split > 5


def test_frame_wise_folds_split_clips_but_no_frame(clips, folds):
    drawn = drawn_folds("frame", clips, folds)
    assert sorted(np.concatenate([fold.valid for fold in drawn])) == list(range(95))
    for fold in drawn:
        assert sorted([*fold.train, *fold.valid]) == list(range(95)) and fold.frame_wise
        assert len(set(fold.train // 5) & set(fold.valid // 5)) > 5
        assert abs(clips.labels[fold.valid // 5, 0].mean() - clips.labels[:19, 0].mean()) < 0.06, "stratified"


@pytest.mark.parametrize("split", ["clip", "frame"])
def test_leaking_folds_still_have_the_mean_image_of_their_own_training_part(clips, folds, split):
    for fold in drawn_folds(split, clips, folds)[::2]:
        rows = fold.train if fold.frame_wise else frame_rows(fold.train, 5)
        np.testing.assert_array_equal(
            fold.mean_image, mean_image(clips.frames[divmod(row, 5)] for row in rows)
        )


def test_folds_depend_on_the_seed_alone(clips, folds):
    same, again, other = (leaking_fold(clips, folds, "clip", 1, seed).valid for seed in (7, 7, 8))
    assert same.tolist() == again.tolist() != other.tolist()


@pytest.fixture
def trained(monkeypatch, clips, folds):
    """Arms that were trained: name, settings, folds, and labels where they were given."""
    calls = []
    arms = {
        "patient": PREDICTIONS,
        "clip": better(PREDICTIONS, 0.3),
        "frame": better(PREDICTIONS, 0.5).assign(fold=np.arange(len(PREDICTIONS)) % 5 + 1),
        "shuffled": shuffled(PREDICTIONS),
    }

    def end_experiment(settings, clips, folds, inputs, jobs, tasks):
        name = settings.experiment.rsplit("/", 1)[1]
        if not write_experiment(settings, arms[name], inputs):
            calls.append((name, settings))

    class Tasks:
        def expect(self, jobs):
            assert {job.split for job in jobs} <= {"clip", "frame"}

        def finish(self, jobs):
            calls.extend((job.split, job.settings) for job in jobs)

    def undone(settings, inputs, run, split, maps):
        assert not maps and settings.experiment.endswith(split)
        return [SimpleNamespace(split=split, settings=settings)]

    @contextmanager
    def fold_tasks(settings):
        yield Tasks()

    hurry(monkeypatch)
    monkeypatch.setattr(stage, "open_folds", lambda folder: (clips, folds, INPUTS))
    monkeypatch.setattr(stage, "begin_experiment", lambda settings, clips, inputs: [])
    monkeypatch.setattr(stage, "end_experiment", end_experiment)
    monkeypatch.setattr(stage, "undone", undone)
    monkeypatch.setattr(stage, "gather", lambda folder, names: write_predictions(folder, arms[folder.name]))
    monkeypatch.setattr(stage, "fold_tasks", fold_tasks)
    return calls


def test_only_the_folds_and_the_shuffled_labels_differ(trained, tmp_path, capsys):
    audit(training_settings("smoke", experiment=str(tmp_path), inner_share=0.2))
    said = " ".join(capsys.readouterr().out.split())
    assert "inner_share is 0.2; the audit takes 0.0" in said and "shuffle_labels is" not in said
    assert [name for name, _ in trained] == list(ARMS)
    assert [settings.shuffle_labels for _, settings in trained] == [False, False, False, True]
    assert {settings.inner_share for _, settings in trained} == {0.0}, "equal shares to train on"


def test_labels_that_are_to_be_shuffled_are_told_too(trained, tmp_path, capsys):
    audit(training_settings("smoke", experiment=str(tmp_path), shuffle_labels=True))
    said = " ".join(capsys.readouterr().out.split())
    assert "shuffle_labels is True; the audit takes False" in said and "inner_share is" not in said
    assert [settings.shuffle_labels for _, settings in trained] == [False, False, False, True]


def test_no_patient_is_held_out_of_frame_wise_folds(clips, folds, tmp_path):
    (fold, *_) = drawn_folds("frame", clips, folds)
    settings = training_settings("smoke", inner_share=0.2)
    with pytest.raises(SettingsError, match=r"inner_share is 0\.2 for frame-wise folds"):
        train_fold(fold, clips, clips.labels, settings, tmp_path)


def test_what_an_audit_writes(trained, tmp_path, capsys):
    audit(training_settings("smoke", experiment=str(tmp_path)))
    folder = tmp_path / "audit"
    table = pd.read_csv(folder / "audit.csv").set_index(["arm", "figure"])
    assert list(table.index.get_level_values("arm").unique()) == list(ARMS)
    gain = table["difference"]
    assert 0 < gain["clip", "clip_auc"] < gain["frame", "clip_auc"]
    assert gain[["patient", "shuffled"]].isna().all()
    assert table["mean"]["frame", "clip_auc"] != table["mean"]["frame", "clip_auc"], "clips are of no fold"
    low, high = table.loc[("shuffled", "clip_auc"), ["low", "high"]]
    assert low < 0.5 < high
    saved = json.loads((folder / "audit.json").read_text())
    assert saved["schema"] == "stenoscope/audit" and saved["counts"]["clips"] > 30
    assert (folder / "figures" / "audit.png").exists() and (folder / "report.html").exists()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["experiment"] == str(tmp_path), "run again, it finds its own folder"
    said = " ".join(capsys.readouterr().out.split())
    assert "contains 0.5, as it must" in said and "this split is optimistic" in said


def test_a_finished_audit_is_left_alone_and_an_interrupted_one_goes_on(trained, tmp_path, monkeypatch):
    settings = training_settings("smoke", experiment=str(tmp_path))
    gather = stage.gather

    def interrupted(folder, names):
        if folder.name == "frame":
            raise KeyboardInterrupt
        gather(folder, names)

    monkeypatch.setattr(stage, "gather", interrupted)
    with pytest.raises(KeyboardInterrupt):
        audit(settings)
    trained.pop()  # it trained, and was stopped before it kept that
    monkeypatch.setattr(stage, "gather", gather)
    audit(settings)
    assert [name for name, _ in trained] == list(ARMS), "none was trained twice"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    audit(settings)
    assert len(trained) == len(ARMS)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
