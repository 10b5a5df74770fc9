import json
import shutil

import numpy as np
import pytest

from stenoscope.errors import DatasetError
from stenoscope.stages.train import open_folds, predictions_table


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
    manifest["clips"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="other key frames") as caught:
        open_folds(data / "folds")
    assert "data_loader_kfold.py --overwrite" in caught.value.fix


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
