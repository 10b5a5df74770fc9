import numpy as np
import pytest

from stenoscope.keyframes import scores
from stenoscope.keyframes.scores import measure_filling
from tests.keyframes.clips import LEVELS, filling_clip


def test_the_share_follows_the_filling():
    share = measure_filling(filling_clip(LEVELS)).share
    assert share[:5].max() < 0.1 * share.max() and share[-3:].max() < 0.1 * share.max()
    assert share[12:19].min() > 0.8 * share.max()


def test_the_share_is_the_area_of_the_vessels():
    share = measure_filling(filling_clip(LEVELS)).share
    drawn = 5 * 5 * 110 / 192**2
    assert drawn < share.max() < 2.5 * drawn  # the filter widens a vessel by about a sigma to each side


def test_a_static_catheter_does_not_count():
    levels = np.zeros(12)
    assert measure_filling(filling_clip(levels)).share.max() == 0


def test_a_pan_is_followed():
    still = measure_filling(filling_clip(LEVELS)).share
    pan = np.r_[np.zeros(16, int), 4 * np.arange(1, len(LEVELS) - 15)]  # 4 px a frame during the wash-out
    moving = measure_filling(filling_clip(LEVELS, pan=pan)).share
    assert np.corrcoef(still, moving)[0, 1] > 0.95
    assert moving[-1] < 0.3 * moving.max()


def test_what_moves_with_the_patient_does_not_count():
    pan = 4 * np.arange(20)  # ribs and catheter alone, which a background fixed in the image would leave
    assert measure_filling(filling_clip(np.zeros(20), pan=pan)).share.max() < 0.005


def test_time_reversed_clips_give_reversed_shares():
    frames = filling_clip(LEVELS)
    backwards = measure_filling(np.ascontiguousarray(frames[::-1])).share[::-1]
    np.testing.assert_allclose(backwards, measure_filling(frames).share, atol=0.005)


def test_brightness_does_not_matter():
    frames = filling_clip(LEVELS)
    np.testing.assert_allclose(
        measure_filling(frames + np.uint8(40)).share, measure_filling(frames).share, atol=0.002
    )


def test_low_rank_is_the_order_statistic():
    images = np.random.default_rng(0).integers(0, 256, (9, 7, 5), dtype=np.uint8)
    before = images.copy()
    for rank in range(4):
        np.testing.assert_array_equal(scores._low_rank(images, rank), np.sort(images, axis=0)[rank])
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("shape", [(7, 40, 60), (6, 101, 77), (5, 512, 512)])
def test_any_size(shape):
    filling = measure_filling(np.random.default_rng(0).integers(90, 110, shape, dtype=np.uint8))
    assert filling.share.shape == shape[:1] and filling.masked.shape == shape[1:]
    assert ((filling.share >= 0) & (filling.share <= 1)).all()
