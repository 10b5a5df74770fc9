import numpy as np
import pytest

from stenoscope.augmentation.apply import apply_variant
from stenoscope.augmentation.grid import VARIANTS
from stenoscope.errors import DatasetError
from stenoscope.folds.mean_image import fold_mean_images, frame_rows, mean_image
from stenoscope.records import Fold


def brute_force(frames):
    return np.mean([apply_variant(frames, variant).mean(axis=0) for variant in VARIANTS], axis=0)


def test_equals_the_mean_of_all_variants():
    frames = np.random.default_rng(1).integers(0, 256, (4, 512, 512), dtype=np.uint8)
    frames[:, :40] = 255  # where offsets saturate
    frames[:, 40:80] = 0
    result = mean_image(iter(frames))
    assert result.shape == (500, 500) and result.dtype == np.float32
    np.testing.assert_allclose(result, brute_force(frames), atol=1e-4)


def test_saturation_is_part_of_the_mean():
    white = np.full((1, 512, 512), 255, np.uint8)  # offsets -10, -5, 0, +5, +10 give 245, 250, 255, 255, 255
    assert mean_image(white)[0, 0] == 252.0


def test_folds_take_their_training_part_only():
    frames = np.random.default_rng(2).integers(0, 256, (3, 5, 512, 512), dtype=np.uint8)
    folds = [
        Fold(number, np.array([c for c in range(3) if c != number - 1]), np.array([number - 1]))
        for number in (1, 2, 3)
    ]
    for fold, mean in zip(folds, fold_mean_images(frames, folds), strict=True):
        np.testing.assert_array_equal(mean, mean_image(frames[fold.train].reshape(-1, 512, 512)))


def test_frame_rows_of_a_clip_are_contiguous():
    assert frame_rows(np.array([2, 0]), 5).tolist() == [10, 11, 12, 13, 14, 0, 1, 2, 3, 4]


def test_no_frames_is_an_error():
    with pytest.raises(DatasetError):
        mean_image([])
