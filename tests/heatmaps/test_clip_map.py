"""Maps of a clip whose vessels move."""

import cv2
import numpy as np
import pytest

from stenoscope.heatmaps.clip_map import SIZE, clip_map, displacements

SHIFTS = ((-12, 6), (-6, 2), (0, 0), (8, -4), (14, -10))


def _frames(shifts):
    """A dark branching tree on grey noise, moved by (x, y) pixels."""
    rng = np.random.default_rng(5)
    background = np.full((512, 512), 150, np.float32) + rng.normal(0, 2, (512, 512)).astype(np.float32)
    frames = []
    for dx, dy in shifts:
        tree = np.zeros((512, 512), np.float32)
        for start, end in (((250, 60), (230, 460)), ((240, 200), (400, 330)), ((242, 280), (90, 420))):
            points = [(x + dx, y + dy) for x, y in (start, end)]
            cv2.line(tree, *points, 60, 7, cv2.LINE_AA)
        frames.append(background - cv2.GaussianBlur(tree, (0, 0), 1.5))
    return np.clip(frames, 0, 255).astype(np.uint8)


def _spot(x, y):
    rows, cols = np.mgrid[:512, :512]
    return np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * 8.0**2)).astype(np.float32)


def test_a_spot_that_moves_with_its_vessel_becomes_one_spot():
    maps = np.stack([_spot(240 + dx, 220 + dy) for dx, dy in SHIFTS])
    found = clip_map(maps, _frames(SHIFTS))
    assert found.shape == (SIZE, SIZE) and found.dtype == np.float32
    row, col = np.unravel_index(found.argmax(), found.shape)
    assert abs(2 * col + 0.5 - 240) <= 3 and abs(2 * row + 0.5 - 220) <= 3
    assert found.max() > 0.9
    smeared = clip_map(maps, np.repeat(_frames(SHIFTS[2:3]), 5, axis=0))  # had nothing moved
    assert smeared.max() < 0.75


@pytest.mark.parametrize("shown", [SHIFTS[2:3], SHIFTS[:2], SHIFTS[:3], (*SHIFTS, *SHIFTS[3:])])
def test_the_middle_frame_follows_the_number_of_frames(shown):
    dx, dy = shown[len(shown) // 2]
    found = clip_map(np.stack([_spot(240 + x, 220 + y) for x, y in shown]), _frames(shown))
    row, col = np.unravel_index(found.argmax(), found.shape)
    assert abs(2 * col + 0.5 - (240 + dx)) <= 3 and abs(2 * row + 0.5 - (220 + dy)) <= 3


def test_displacements_of_a_known_movement():
    found = displacements(_frames(SHIFTS))
    assert (found[2] == 0).all()
    on_vessel = found[:, 110, 120]  # pixels of 256 x 256
    np.testing.assert_allclose(on_vessel, np.array(SHIFTS) / 2, atol=1.0)


def test_a_clip_that_stands_still_has_the_mean():
    maps = np.random.default_rng(1).normal(size=(5, 16, 16)).astype(np.float32)
    found = clip_map(maps, np.repeat(_frames(SHIFTS[:1]), 5, axis=0))
    expected = cv2.resize(maps.mean(axis=0), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found, expected, atol=1e-4)
