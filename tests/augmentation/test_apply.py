import numpy as np
import pytest

from stenoscope.augmentation.apply import apply_variant, shift_grey
from stenoscope.augmentation.grid import CENTRE, OFFSETS, VARIANTS, Variant
from stenoscope.errors import DatasetError

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(3).integers(0, 256, (2, 512, 512), dtype=np.uint8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_against_plain_arithmetic(frames, variant):
    row, col, offset = variant
    crop = frames[:, row : row + 500, col : col + 500]
    expected = np.clip(crop.astype(int) + offset, 0, 255)
    result = apply_variant(frames, variant)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


@given(st.integers(0, 255), st.integers(-255, 255))
def test_grey_levels_saturate(level, offset):
    assert shift_grey(np.array([level], np.uint8), offset)[0] == min(max(level + offset, 0), 255)


def test_no_wrap_at_the_ends():
    assert shift_grey(np.array([250, 255, 0], np.uint8), 10).tolist() == [255, 255, 10]
    assert shift_grey(np.array([5, 0, 255], np.uint8), -10).tolist() == [0, 0, 245]


@pytest.mark.parametrize("offset", OFFSETS)
def test_the_input_is_left_alone(frames, offset):
    before = frames.copy()
    result = apply_variant(frames, Variant(0, 0, offset))
    result[:] = 7
    np.testing.assert_array_equal(frames, before)


def test_all_frames_of_a_clip_share_the_variant(frames):
    variant = VARIANTS[3]
    both = apply_variant(frames, variant)
    np.testing.assert_array_equal(both[1], apply_variant(frames[1], variant))
    assert apply_variant(frames[None], VARIANTS[CENTRE]).shape == (1, 2, 500, 500)


@pytest.mark.parametrize("wrong", [np.zeros((512, 512), np.float32), np.zeros((512, 500), np.uint8)])
def test_other_shapes_and_types_are_refused(wrong):
    with pytest.raises(DatasetError, match="512 x 512"):
        apply_variant(wrong, VARIANTS[0])
