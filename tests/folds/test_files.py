from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stenoscope.augmentation.apply import apply_variant
from stenoscope.augmentation.grid import VARIANTS
from stenoscope.data import pickles
from stenoscope.errors import DatasetError
from stenoscope.folds.files import (
    fold_path,
    materialized_path,
    read_fold,
    read_part,
    write_folds,
    write_materialized,
)
from stenoscope.folds.mean_image import frames_of, mean_image
from stenoscope.folds.split import make_folds
from stenoscope.records import Fold


@pytest.fixture(scope="module")
def clip_set():
    num = 12
    frames = np.random.default_rng(0).integers(0, 256, (num, 5, 512, 512), dtype=np.uint8)
    labels = np.array([[i % 2] for i in range(num)], np.float32)
    labels[11] = np.nan
    return SimpleNamespace(
        frames=frames,
        labels=labels,
        label_names=["label"],
        clip_ids=[f"p{i:02d}_c1" for i in range(num)],
        patient_ids=[f"p{i:02d}" for i in range(num)],
        sha256="ab" * 32,
    )


@pytest.fixture(scope="module")
def folds(clip_set):
    clip_set.labels[11] = 1
    drawn = make_folds(clip_set.labels[:11], clip_set.patient_ids[:11], 7)
    clip_set.labels[11] = np.nan
    return drawn


@pytest.fixture(scope="module")
def written(clip_set, folds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    return folder, write_folds(folder, clip_set, folds, 7)


def test_15_files_and_a_table(written):
    folder, _ = written
    assert len(list(folder.glob("fold_[1-5]_*.pickle"))) == 15
    table = pd.read_csv(folder / "folds.csv")
    assert list(table.columns) == ["clip_id", "patient_id", "label", "fold"]
    assert len(table) == 11 and table["clip_id"].is_unique and table["label"].dtype == np.int64
    assert sorted(table["fold"].unique()) == [1, 2, 3, 4, 5]


def test_what_is_read_is_what_was_written(written, clip_set, folds):
    folder, _ = written
    for fold in folds:
        read = read_fold(folder, fold.number, clip_set.sha256)
        np.testing.assert_array_equal(read.train, fold.train)
        np.testing.assert_array_equal(read.valid, fold.valid)
        assert read.train.dtype == np.int64 and read.seed == 7 and read.number == fold.number
        np.testing.assert_array_equal(read.mean_image, mean_image(frames_of(clip_set.frames, fold.train)))
        part = read_part(folder, fold.number, "valid")
        np.testing.assert_array_equal(part.labels, clip_set.labels[fold.valid])
        assert part.labels.dtype == np.float32 and part.labels.shape == (len(part), 1)
        assert part.clip_ids == [clip_set.clip_ids[clip] for clip in fold.valid]


def test_counts(written):
    _, counts = written
    assert counts["clips"] == 11 and counts["unlabelled"] == 1 and counts["patients"] == 11
    assert counts["normal"] == 6 and counts["abnormal"] == 5
    assert sum(fold["clips"] for fold in counts["folds"]) == 11


def test_same_input_same_bytes(written, clip_set, folds, tmp_path):
    folder, _ = written
    write_folds(tmp_path, clip_set, folds, 7)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_other_clips_are_refused(written):
    with pytest.raises(DatasetError, match=r"another clips\.pickle"):
        read_fold(written[0], 1, "cd" * 32)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"fold_3_train\.pickle"):
        read_fold(tmp_path, 3)


def test_files_of_two_splits_are_refused(written, clip_set, tmp_path):
    folder, _ = written
    for path in folder.glob("fold_1_*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    mean = pickles.load(fold_path(folder, 1, "mean"))
    pickles.dump({**mean, "seed": 8}, fold_path(tmp_path, 1, "mean"))
    with pytest.raises(DatasetError, match="different splits"):
        read_fold(tmp_path, 1)


def test_a_file_of_another_fold_is_refused(written, tmp_path):
    folder, _ = written
    for part in ("train", "valid", "mean"):
        fold_path(tmp_path, 2, part).write_bytes(fold_path(folder, 1, part).read_bytes())
    with pytest.raises(DatasetError, match="'fold': 1"):
        read_fold(tmp_path, 2)


def test_a_patient_in_both_parts_is_refused(written, tmp_path):
    folder, _ = written
    for part in ("train", "valid", "mean"):
        fold_path(tmp_path, 1, part).write_bytes(fold_path(folder, 1, part).read_bytes())
    valid = pickles.load(fold_path(folder, 1, "valid"))
    train = pickles.load(fold_path(folder, 1, "train"))
    valid["patient_ids"] = [train["patient_ids"][0], *valid["patient_ids"][1:]]
    pickles.dump(valid, fold_path(tmp_path, 1, "valid"))
    with pytest.raises(DatasetError, match="both parts"):
        read_fold(tmp_path, 1)


def test_materialized_array(clip_set, folds, tmp_path):
    fold = Fold(1, folds[0].train[:1], folds[0].valid)
    steps = []
    path = write_materialized(tmp_path, clip_set, fold, lambda: steps.append(1))
    assert path == materialized_path(tmp_path, 1) and len(steps) == 25
    array = np.load(path, mmap_mode="r")
    assert array.shape == (25, 5, 500, 500) and array.dtype == np.uint8
    for number in (0, 7, 24):
        expected = apply_variant(clip_set.frames[fold.train[0]], VARIANTS[number])
        np.testing.assert_array_equal(array[number], expected)


def test_an_interrupted_array_leaves_nothing(clip_set, folds, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_materialized(tmp_path, clip_set, Fold(1, folds[0].train[:1], folds[0].valid), interrupt)
    assert list(tmp_path.iterdir()) == []
