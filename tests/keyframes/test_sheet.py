import numpy as np
import pytest

from stenoscope.app.keyframe_methods import METHODS, choose
from stenoscope.keyframes.sheet import draw_sheet
from stenoscope.records import KeyframeChoice


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("num_frames", [1, 3, 26])
def test_every_choice_has_a_sheet(method, num_frames):
    frames = np.random.default_rng(0).integers(80, 120, (num_frames, 64, 64), dtype=np.uint8)
    sheet = draw_sheet(frames, choose(frames, method), "clip")
    assert sheet.dtype == np.uint8 and sheet.shape[1:] == (1600, 3)


def test_the_sheet_shows_the_chosen_frames_and_follows_the_choice():
    frames = np.repeat(np.arange(10, dtype=np.uint8)[:, None, None] * 20, 64, axis=1).repeat(64, axis=2)
    curve = np.linspace(0, 1, 10, dtype=np.float32)
    one = KeyframeChoice("opacification", (3, 4, 5, 6, 7), 5, 1, 8, curve)
    other = KeyframeChoice("opacification", (3, 4, 5, 6, 7), 5, None, None, curve)
    sheet = draw_sheet(frames, one, "a" * 200)
    tiles = sheet[-150]  # a row through the middle of the tiles
    for index in one.keyframes:
        assert (tiles == 20 * index).all(axis=1).sum() >= 200
    assert (sheet != draw_sheet(frames, other, "a" * 200)).any()
    np.testing.assert_array_equal(sheet, draw_sheet(frames, one, "a" * 200))


def test_many_key_frames_take_several_lines():
    frames = np.repeat(np.arange(99, dtype=np.uint8)[:, None, None] * 2, 64, axis=1).repeat(64, axis=2)
    curve = np.linspace(0, 1, 99, dtype=np.float32)
    heights = {}
    for count in (1, 5, 10, 11, 99):
        choice = KeyframeChoice("opacification", tuple(range(count)), count // 2, None, None, curve)
        sheet = draw_sheet(frames, choice, "clip")
        assert sheet.shape[1] == 1600
        assert all((sheet == 2 * index).all(axis=2).sum() >= 5000 for index in range(1, count))
        heights[count] = len(sheet)
    assert heights[10] < heights[11] < heights[99]


def test_what_was_masked_is_outlined():
    frames = np.full((6, 64, 64), 90, np.uint8)
    masked = np.zeros((64, 64), bool)
    masked[20:40, 20:40] = True
    base = {"method": "opacification", "keyframes": (0, 1, 2, 3, 4), "apex": 2, "start": None, "end": None}
    curve = np.zeros(6, np.float32)
    plain = draw_sheet(frames, KeyframeChoice(**base, curve=curve), "c")
    outlined = draw_sheet(frames, KeyframeChoice(**base, curve=curve, masked=masked), "c")
    assert (plain != outlined).any()
