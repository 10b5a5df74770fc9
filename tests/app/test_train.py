import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stenoscope.app.fold_inputs import open_folds
from stenoscope.app.train import gather, train
from stenoscope.app.train_worker import train_fold
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.folds.mean_image import frame_rows, frames_of, mean_image
from stenoscope.models.classifier import load_classifier
from stenoscope.presets import training_settings
from stenoscope.results.predictions import predictions_table
from stenoscope.run import provenance
from stenoscope.training.batches import resize


@pytest.fixture
def data(prepared, tmp_path):
    """A copy of data/keyframes and data/folds that a test may spoil."""
    for name in ("keyframes", "folds"):
        shutil.copytree(prepared.folder / "data" / name, tmp_path / name)
    return tmp_path


def test_folds_open_with_their_clips(data):
    clips, folds, inputs = open_folds(data / "folds")
    assert [fold.number for fold in folds] == [1, 2, 3, 4, 5] and inputs["clips.pickle"] == clips.sha256
    assert sorted(np.concatenate([fold.valid for fold in folds])) == list(range(len(clips)))


def test_folds_of_other_clips_are_refused(data):
    path = data / "keyframes" / "manifest.json"
    manifest = json.loads(path.read_text())
    clips = {**manifest["clips"], "sha256": "0" * 64}
    provenance.write_manifest(path.parent, "keyframes", {}, {}, {}, clips=clips)
    with pytest.raises(DatasetError, match="other key frames") as caught:
        open_folds(data / "folds")
    assert f"data_loader_kfold.py --output {data / 'folds'} --overwrite" in caught.value.fix


def test_a_missing_fold_file_is_named(data):
    (data / "folds" / "fold_3_mean.pickle").unlink()
    with pytest.raises(DatasetError, match=r"fold_3_mean\.pickle"):
        open_folds(data / "folds")


def test_a_row_per_key_frame(data):
    clips, folds, _ = open_folds(data / "folds")
    fold = folds[1]
    probabilities = np.linspace(0, 1, 5 * len(fold.valid)).reshape(-1, 5).astype(np.float32)
    table = predictions_table(fold, clips, clips.labels, probabilities)
    assert len(table) == probabilities.size and (table["fold"] == 2).all()
    for position, clip in enumerate(fold.valid):
        rows = table.iloc[5 * position : 5 * position + 5]
        assert set(rows["clip_id"]) == {clips.clip_ids[clip]}
        assert set(rows["patient_id"]) == {clips.patient_ids[clip]}
        assert set(rows["label"]) == {int(clips.labels[clip, 0])}
        assert rows["frame_index"].tolist() == clips.keyframes[clip].tolist()
        np.testing.assert_allclose(rows["probability"], probabilities[position], atol=6e-7)


@pytest.fixture(scope="module")
def two_folds(prepared, tmp_path_factory):
    """An inner split, a second label that is partly unknown, and a frame-wise fold, trained for an epoch."""
    clips, folds, _ = open_folds(prepared.folder / "data" / "folds")
    second = np.where(np.arange(len(clips)) % 3, 1 - clips.labels[:, 0], np.nan)
    clips = replace(
        clips,
        labels=np.column_stack([clips.labels[:, 0], second]).astype(np.float32),
        label_names=["label", "calcified"],
    )
    rows = frame_rows(np.sort(np.concatenate([folds[1].train, folds[1].valid])), 5)
    frame_wise = replace(folds[1], train=rows[::2], valid=rows[1::2], frame_wise=True)
    small = training_settings(
        "smoke",
        image_size=32,
        cut="block2_add",
        heatmap_layer="block2_add",
        narrowings=False,
        inner_share=0.3,
        experiment=str(tmp_path_factory.mktemp("two")),
    )
    for fold, own in ((folds[0], small), (frame_wise, replace(small, inner_share=0.0))):
        folder = Path(small.experiment) / f"fold_{fold.number}"
        folder.mkdir()
        train_fold(fold, clips, clips.labels, own, folder, maps=False)
        (folder.parent / "checkpoint.npz").unlink()
    table = gather(Path(small.experiment), clips.label_names)
    return clips, folds[0], frame_wise, small, table


def read(settings, name) -> pd.DataFrame:
    return pd.read_csv(f"{settings.experiment}/{name}", dtype=str, keep_default_na=False)


def test_held_out_patients_are_predicted_and_not_trained_on(two_folds):
    clips, fold, _, settings, _ = two_folds
    inner, tested = (read(settings, f"fold_1/{name}.csv") for name in ("inner", "predictions"))
    assert list(inner.columns) == list(tested.columns) and set(inner["fold"]) == {"1"}
    held = set(inner["patient_id"])
    everyone = {clips.patient_ids[clip] for clip in fold.train}
    assert held < everyone and len(held) == math.ceil(0.3 * len(everyone))
    assert set(inner["label"]) == {"0", "1"}
    of_held = [clips.clip_ids[clip] for clip in fold.train if clips.patient_ids[clip] in held]
    assert inner["clip_id"].tolist() == list(np.repeat(of_held, 5))


def test_held_out_patients_are_not_in_the_mean_image(two_folds):
    clips, fold, _, settings, _ = two_folds
    held = set(read(settings, "fold_1/inner.csv")["patient_id"])
    part = np.array([clip for clip in fold.train if clips.patient_ids[clip] not in held])
    model = load_classifier(Path(settings.experiment) / "fold_1" / "model.keras")
    found = np.asarray(model.get_layer("standardize").mean_image)[..., 0]
    expected = mean_image(frames_of(clips.frames, part))
    np.testing.assert_allclose(found, resize(expected[None], 32)[0], rtol=1e-5)
    assert np.abs(found - resize(fold.mean_image[None], 32)[0]).max() > 0.1


def test_further_labels_have_tables_of_their_own(two_folds):
    clips, fold, _, settings, _ = two_folds
    first, second = (read(settings, f"fold_1/predictions{name}.csv") for name in ("", "_calcified"))
    same = ["fold", "patient_id", "clip_id", "frame_index"]
    pd.testing.assert_frame_equal(first[same], second[same])
    expected = ["" if np.isnan(label) else str(int(label)) for label in clips.labels[fold.valid, 1]]
    assert second["label"].tolist() == list(np.repeat(expected, 5)) and "" in expected
    assert (first["probability"] != second["probability"]).any()
    assert len(read(settings, "predictions_calcified.csv")) == len(read(settings, "predictions.csv"))


def test_a_frame_wise_fold_tests_frames(two_folds):
    clips, fold, frame_wise, settings, table = two_folds
    found = read(settings, "fold_2/predictions.csv")
    clip, keyframe = np.divmod(frame_wise.valid, 5)
    assert found["clip_id"].tolist() == [clips.clip_ids[i] for i in clip]
    assert found["frame_index"].astype(int).tolist() == clips.keyframes[clip, keyframe].tolist()
    assert len(table) == 5 * len(fold.valid) + len(frame_wise.valid)


def test_a_finished_fold_leaves_its_network_and_history_alone(two_folds):
    _, _, _, settings, _ = two_folds
    names = {"SHA256SUMS", "history.csv", "model.keras", "predictions.csv", "predictions_calcified.csv"}
    for number, more in ((1, {"inner.csv"}), (2, set())):
        folder = Path(settings.experiment) / f"fold_{number}"
        assert {path.name for path in folder.iterdir()} == names | more


def test_repeating_with_other_folds_is_refused(data, tmp_path):
    _, _, inputs = open_folds(data / "folds")
    made = tmp_path / "made"
    made.mkdir()
    manifest = {"schema": "stenoscope/experiment", "inputs": {**inputs, "folds": "ab" * 32}}
    (made / "manifest.json").write_text(json.dumps(manifest))
    settings = training_settings("smoke", input=str(data / "folds"), experiment=str(tmp_path / "again"))
    with pytest.raises(DatasetError, match=r"is not what .*folds abababababab, now") as caught:
        train(settings, config=str(made / "config.yaml"))
    assert "--input" in caught.value.fix and not (tmp_path / "again").exists()


def test_another_library_is_refused_like_other_folds(data, tmp_path, monkeypatch):
    _, _, inputs = open_folds(data / "folds")
    made = tmp_path / "made"
    made.mkdir()
    manifest = {"schema": "stenoscope/experiment", "inputs": inputs}
    (made / "manifest.json").write_text(json.dumps(manifest))
    settings = training_settings("smoke", input=str(data / "folds"), experiment=str(tmp_path / "again"))
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    with pytest.raises(DatasetError, match=r"is not what .*Keras backend \w+, now numpy"):
        train(settings, config=str(made / "config.yaml"))
    assert inputs["seed of the folds"].isdigit(), "to draw them again"


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"heatmap": "gradcamm"}, "gradcam_plus_plus"), ({"heatmap": "attention", "attention": "none"}, "cbam")],
)
def test_a_heatmap_that_cannot_be_drawn_is_told_before_the_training(two_folds, tmp_path, changes, told):
    clips, fold, _, settings, _ = two_folds
    settings = replace(settings, experiment=str(tmp_path / "e"), **changes)
    with pytest.raises(SettingsError) as caught:
        train_fold(fold, clips, clips.labels, settings, tmp_path)
    assert told in str(caught.value) and not list(tmp_path.iterdir())
