"""Nothing of a test clip may reach what is trained: not its patient, its pixels, nor its label."""

from dataclasses import replace

import numpy as np
import pytest

from stenoscope.app import tune_worker
from stenoscope.app.fold_inputs import open_folds, shuffled_labels
from stenoscope.data.clipset import ClipSet
from stenoscope.folds.files import read_fold, read_part
from stenoscope.folds.mean_image import fold_mean_images, frames_of, mean_image
from stenoscope.folds.part import TrainingPart
from stenoscope.presets import training_settings
from stenoscope.training.fold import Trainer
from stenoscope.tuning.fits import OUTER, Job
from tests.training.small import predict


class Guarded:
    """Key frames of which some clips' must not be looked at."""

    def __init__(self, frames: np.ndarray, forbidden: np.ndarray):
        self.frames, self.forbidden = frames, {int(clip) for clip in forbidden}

    @property
    def shape(self):
        return self.frames.shape

    def __getitem__(self, place):
        assert int(place[0]) not in self.forbidden, f"{place} belongs to a test clip"
        return self.frames[place]


@pytest.fixture(scope="module")
def opened(prepared):
    """Clips and folds of the cohort."""
    clips, folds, _ = open_folds(prepared.folder / "data/folds")
    return clips, folds


def test_no_patient_is_on_both_sides_and_every_clip_is_tested_once(prepared, opened):
    clips, _ = opened
    tested = []
    for number in range(1, 6):
        train, valid = (
            read_part(prepared.folder / "data/folds", number, part) for part in ("train", "valid")
        )
        assert not set(train.patient_ids) & set(valid.patient_ids)
        assert sorted([*train.clip_ids, *valid.clip_ids]) == sorted(clips.clip_ids)
        assert set(valid.labels[:, 0]) == {0.0, 1.0}
        tested += valid.clip_ids
    assert sorted(tested) == sorted(clips.clip_ids)


def test_the_mean_image_is_that_of_the_training_part(prepared, opened):
    clips, folds = opened
    fold = read_fold(prepared.folder / "data/folds", 4)
    own = mean_image(frames_of(clips.frames, fold.train))
    np.testing.assert_array_equal(fold.mean_image, own)
    assert not np.array_equal(fold.mean_image, folds[0].mean_image)


def test_other_pixels_of_test_clips_change_neither_mean_image_nor_model(opened):
    clips, folds = opened
    fold, settings = folds[0], training_settings("smoke", image_size=32, cut="block2_add", epochs=2)
    changed = np.array(clips.frames)
    changed[fold.valid] = 255
    labels = clips.labels.copy()
    labels[fold.valid] = 1 - labels[fold.valid]
    means = fold_mean_images(changed, folds)
    np.testing.assert_array_equal(means[0], fold.mean_image)
    assert not np.array_equal(means[1], folds[1].mean_image), "the change is seen where it may be"

    trainer = Trainer(settings)

    def trained(frames, labels, mean):
        trainer.fit(TrainingPart.of(replace(fold, mean_image=mean), frames, labels))
        return [np.array(weight) for weight in trainer.model.weights]

    before = trained(clips.frames, clips.labels, fold.mean_image)
    after = trained(changed, labels, means[0])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_does_not_even_read_test_frames(opened):
    clips, folds = opened
    trainer = Trainer(
        training_settings("smoke", image_size=32, cut="block0_project_bn", heatmap_layer="auto")
    )
    fold = folds[2]
    guarded = Guarded(clips.frames, fold.valid)
    trainer.fit(TrainingPart.of(fold, guarded, clips.labels))
    with pytest.raises(AssertionError, match="test clip"):
        predict(trainer, guarded, fold.valid)


def test_a_learner_is_given_no_label_of_a_test_clip(opened):
    clips, folds = opened
    part = TrainingPart.of(folds[1], clips.frames, clips.labels)
    np.testing.assert_array_equal(part.labels[folds[1].train], clips.labels[folds[1].train])
    assert np.isnan(part.labels[folds[1].valid]).all()
    frames, labels = part.examples()
    assert len(frames) == len(labels) == 5 * len(folds[1].train) and not np.isnan(labels).any()


def test_the_search_never_looks_at_the_test_part_of_its_outer_fold(opened, monkeypatch):
    clips, folds = opened
    test = folds[0].valid
    labels = clips.labels.copy()
    labels[test] = np.nan
    guarded = replace(clips, frames=Guarded(clips.frames, test), labels=labels)
    monkeypatch.setattr(tune_worker, "opened", lambda folder, named: (guarded, folds))
    job = Job(training_settings("smoke"), outer=1, inner=1)
    found = tune_worker.fit_job(job, "guarded", (), inner_folds=2, seed=7, threads=1)
    assert found["probability"].between(0, 1).all() and found["label"].isin((0, 1)).all()
    with pytest.raises(AssertionError, match="test clip"):
        tune_worker.fit_job(replace(job, inner=OUTER), "guarded", (), inner_folds=2, seed=7, threads=1)


def test_shuffled_labels_keep_every_folds_prevalence(opened):
    clips, folds = opened
    shuffled = shuffled_labels(clips.labels, folds, seed=7)
    for fold in folds:
        assert shuffled[fold.valid].sum() == clips.labels[fold.valid].sum()
    np.testing.assert_array_equal(shuffled, shuffled_labels(clips.labels, folds, seed=7))
    draws = np.array([shuffled_labels(clips.labels, folds, seed)[:, 0] for seed in range(200)])
    assert (draws != clips.labels[:, 0]).any(axis=0).all(), "every clip's label moves"
    for fold in folds:  # each clip gets the prevalence of its fold in the mean
        expected = clips.labels[fold.valid, 0].mean()
        np.testing.assert_allclose(draws[:, fold.valid].mean(axis=0), expected, atol=0.13)


def test_a_clip_set_opens_read_only(prepared):
    clips = ClipSet.open(prepared.folder / "data/keyframes")
    with pytest.raises(ValueError, match="read-only"):
        clips.frames[0] = 0
