import numpy as np
import pytest

from stenoscope.temporal.features import CEILING, extract, scaled
from tests.keyframes.clips import LEVELS, filling_clip


def test_maps_show_where_and_how_much():
    frame = np.full((1, 512, 512), 150, np.uint8)
    frame[:, 100:400, 202:206] = 100  # a vessel 4 px wide, in column 25 of 64
    values = extract(frame).values
    assert values.shape == (1, 64, 64, 2) and values.dtype == np.uint8
    across = values[0, 30, :, 0]
    assert across.argmax() == 25 and across[25] > 5 * max(across[20], across[30], 1)
    assert (values[..., 0] / 8 >= values[..., 1] / 16 - 0.1).all()  # no mean above its maximum


def test_each_frame_by_itself():
    frames = filling_clip(LEVELS[4:14])
    np.testing.assert_array_equal(extract(frames).values[5:], extract(frames[5:]).values)


def test_the_scaled_amount_follows_the_contrast():
    amount = scaled(extract(filling_clip(LEVELS)).values)[..., 1].mean(axis=(1, 2))
    assert np.corrcoef(amount, LEVELS)[0, 1] > 0.95


def test_one_scale_for_the_clip():
    values = extract(filling_clip(LEVELS)).values
    once, twice = scaled(values.astype(np.float32)), scaled(1.5 * values.astype(np.float32))
    np.testing.assert_allclose(once, twice, atol=1e-5)  # exposure does not matter
    assert once.min() == 0 and once.max() <= CEILING


def test_nothing_is_made_of_noise():
    noise = np.random.default_rng(0).integers(36, 45, (20, 64, 64, 2), dtype=np.uint8)
    assert scaled(noise).max() < 0.7  # half a grey level to either side is no vessel
    assert not scaled(np.full((6, 64, 64, 2), 40, np.uint8)).any()


@pytest.mark.parametrize("num_frames", [1, 2, 90])
def test_any_number_of_frames(num_frames):
    frames = np.random.default_rng(0).integers(80, 120, (num_frames, 64, 96), dtype=np.uint8)
    assert scaled(extract(frames).values).shape == (num_frames, 64, 64, 2)
