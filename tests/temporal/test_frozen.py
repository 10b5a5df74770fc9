import subprocess
import sys

import numpy as np
import pytest

from stenoscope.temporal import frozen
from stenoscope.temporal.features import CEILING, extract, scaled
from tests.keyframes.clips import LEVELS, filling_clip


@pytest.fixture(scope="module")
def values():
    return extract(filling_clip(LEVELS), "backbone").values


def test_a_line_shows_where_it_is_and_a_plain_field_shows_nothing():
    frames = np.full((2, 512, 512), 150, np.uint8)
    frames[1, :, 262:266] = 120  # a vessel 4 px wide, in column 16 of 32
    values = extract(frames, "backbone").values
    assert values.shape == (2, 32, 32, 4) and values.dtype == np.uint8
    assert not values[0].any()
    for channel in range(3):  # the ones that tell a line best
        across = values[1, 6:26, :, channel].mean(axis=0)
        near = across[13:20]  # some answer beside the line: they see 6 cells around
        assert near.max() > 10 and near.sum() > 0.95 * across.sum()


def test_kept_features_of_a_frame_take_half_the_memory_of_its_vesselness():
    frame = np.zeros((1, 64, 64), np.uint8)
    assert 2 * extract(frame, "backbone").values.nbytes == extract(frame).values.nbytes == 8192


def test_the_brightness_of_the_field_does_not_matter(values):
    brighter = extract(filling_clip(LEVELS[:3]) + np.uint8(20), "backbone").values
    np.testing.assert_allclose(brighter.astype(int), values[:3], atol=1)


def test_the_same_frames_give_the_same_features_each_by_itself(values):
    frames = filling_clip(LEVELS)
    np.testing.assert_array_equal(extract(frames, "backbone").values, values)
    alone = extract(frames[5:8], "backbone").values  # elsewhere in the backbone's batch
    np.testing.assert_allclose(alone.astype(int), values[5:8], atol=1)


def test_what_is_not_seen_is_nothing():
    frames = np.random.default_rng(0).integers(60, 200, (1, 256, 256), dtype=np.uint8)
    seen = np.zeros((256, 256), np.uint8)
    assert not frozen.measure(frames, seen).any()
    seen[:, 128:] = 1
    half = frozen.measure(frames, seen)
    assert half[:, :, 20:].any() and not half[:, :, :8].any()


def test_one_scale_for_the_clip(values):
    once = scaled(values.astype(np.float32), "backbone")
    twice = scaled(1.5 * values.astype(np.float32), "backbone")
    np.testing.assert_allclose(once, twice, atol=1e-5)
    assert once.min() == 0 and once.max() <= CEILING


def test_the_change_follows_the_contrast(values):
    courses = scaled(values, "backbone").mean(axis=(1, 2))
    likeness = [np.corrcoef(courses[:, k], LEVELS)[0, 1] for k in range(4)]
    assert min(likeness) > 0.75 and max(likeness) > 0.95


def test_the_kept_channels_are_those_that_drawn_lines_choose():
    found = frozen.calibrate()
    assert [channel for channel, _ in found] == [channel for channel, _ in frozen.KEPT]
    np.testing.assert_allclose([answer for _, answer in found], [a for _, a in frozen.KEPT], atol=2e-3)


def test_vesselness_loads_no_tensor_library(root):
    code = (
        "import sys, numpy as np\n"
        "from stenoscope.temporal.features import extract\n"
        "extract(np.zeros((2, 64, 64), np.uint8))\n"
        "sys.exit('loaded' if {'keras', 'tensorflow'} & set(sys.modules) else 0)"
    )
    assert not subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120).returncode
