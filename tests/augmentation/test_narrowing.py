"""Synthetic narrowings, on straight vessels whose width and darkness are known."""

import numpy as np
import pytest

from stenoscope.augmentation.narrowing import (
    MARGIN,
    Site,
    find_site,
    middle_line,
    narrow,
    synthetic_narrowing,
    vessel_component,
)

SIZE = 512
DEPTH = 60.0
RADIUS = 6.0


def straight_vessel(angle: float = 0.0, noise: float = 0.0) -> np.ndarray:
    """Frame of grey level 160 with a round vessel through its middle, `DEPTH` darker on its axis."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    across = -x * np.sin(angle) + y * np.cos(angle)
    lumen = np.sqrt(np.clip(1 - (across / RADIUS) ** 2, 0, None))
    grain = np.random.default_rng(0).normal(0, noise, lumen.shape) if noise else 0.0
    return np.clip(np.rint(160 - DEPTH * lumen + grain), 0, 255).astype(np.uint8)


def middle(angle: float) -> Site:
    return Site(SIZE // 2, SIZE // 2, angle, RADIUS)


def darkness_across(frame: np.ndarray, angle: float) -> float:
    """Sum of the darkness on a line across the vessel through the middle of the frame."""
    steps = np.arange(-12, 13)
    rows = np.rint(SIZE // 2 + steps * np.cos(angle)).astype(int)
    cols = np.rint(SIZE // 2 - steps * np.sin(angle)).astype(int)
    return float((160.0 - frame[rows, cols]).sum())


@pytest.mark.parametrize("angle", [0.0, np.pi / 2, np.pi / 4, -np.pi / 3])
@pytest.mark.parametrize("severity", [0.5, 0.7])
def test_the_lumen_shrinks_by_the_square_of_the_width(angle, severity):
    frame = straight_vessel(angle)
    edited = narrow(frame, middle(angle), vessel_component(frame), severity, 14.0)
    share = darkness_across(edited, angle) / darkness_across(frame, angle)
    assert share == pytest.approx((1 - severity) ** 2, abs=0.08)  # w times as thick, w times as wide


def test_no_severity_changes_nothing():
    frame = straight_vessel(0.3)
    edited = narrow(frame, middle(0.3), vessel_component(frame), 0.0, 14.0)
    assert np.abs(edited.astype(int) - frame).max() <= 1


def test_only_the_place_changes_and_it_only_gets_brighter():
    frame = straight_vessel()
    edited = narrow(frame, middle(0.0), vessel_component(frame), 0.8, 12.0)
    rows, cols = np.nonzero(edited != frame)
    assert abs(rows - SIZE // 2).max() <= 1.5 * RADIUS + 4 and abs(cols - SIZE // 2).max() <= 14
    assert abs(cols - SIZE // 2).max() >= 5
    assert (edited.astype(int) - frame).min() >= -2 and (edited.astype(int) - frame).max() > 0.5 * DEPTH


def test_the_noise_stays():
    noisy = straight_vessel(noise=6.0)
    edited = narrow(noisy, middle(0.0), vessel_component(noisy), 0.8, 12.0)
    patch = np.s_[SIZE // 2 - 2 : SIZE // 2 + 3, SIZE // 2 - 4 : SIZE // 2 + 5]
    assert edited[patch].std() > 0.6 * noisy[:100, :100].std()


def test_the_component_finds_the_vessel_and_not_the_ground():
    component = vessel_component(straight_vessel(0.4))
    assert component[SIZE // 2, SIZE // 2] > 0.7 * DEPTH
    assert component[20, 300] == 0 and component.dtype == np.float32


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, -0.7])
def test_a_site_lies_on_the_axis_along_the_vessel(angle):
    frame = straight_vessel(angle, noise=3.0)
    for seed in range(5):
        site = find_site(vessel_component(frame), np.random.default_rng(seed))
        y, x = site.row - SIZE // 2, site.col - SIZE // 2
        assert abs(-x * np.sin(angle) + y * np.cos(angle)) <= 2.5
        assert abs(np.sin(site.angle - angle)) < 0.1
        assert site.radius == pytest.approx(RADIUS, abs=3.0)  # the mask includes the blurred wall


def test_a_frame_without_vessels_has_no_site():
    blank = np.full((SIZE, SIZE), 120, np.uint8)
    edited, site = synthetic_narrowing(blank, 1)
    assert site is None and edited is blank


def test_same_seed_same_narrowing():
    frame = straight_vessel(0.2, noise=4.0)
    first, site = synthetic_narrowing(frame, 11)
    again, same = synthetic_narrowing(frame, 11)
    other, _ = synthetic_narrowing(frame, 12)
    np.testing.assert_array_equal(first, again)
    assert site == same and (other != first).any()
    assert MARGIN <= site.row < SIZE - MARGIN and MARGIN <= site.col < SIZE - MARGIN


BEND = 70.0


def curved_vessel() -> np.ndarray:
    """A vessel on a circle of radius `BEND` around the middle of the frame."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    across = np.hypot(x, y) - BEND
    lumen = np.sqrt(np.clip(1 - (across / RADIUS) ** 2, 0, None))
    return np.clip(np.rint(160 - DEPTH * lumen), 0, 255).astype(np.uint8)


def darkness_at(frame: np.ndarray, along: float) -> float:
    """Sum of the darkness across the circle, `along` pixels of arc from its top."""
    angle = along / BEND
    radii = np.arange(BEND - 12, BEND + 13)
    rows = np.rint(SIZE // 2 - radii * np.cos(angle)).astype(int)
    cols = np.rint(SIZE // 2 + radii * np.sin(angle)).astype(int)
    return float((160.0 - frame[rows, cols]).sum())


TOP = Site(SIZE // 2 - int(BEND), SIZE // 2, 0.0, RADIUS)


def test_the_middle_line_follows_a_bend():
    line = middle_line(vessel_component(curved_vessel()), TOP, 60)
    radii = np.hypot(line[:, 0] - SIZE // 2, line[:, 1] - SIZE // 2)
    assert np.abs(radii - BEND).max() < 1.5
    assert line[0, 2] == pytest.approx(-60, abs=6) and line[-1, 2] == pytest.approx(60, abs=6)
    assert np.hypot(*np.diff(line[:, :2], axis=0).T) == pytest.approx(1, abs=0.05)


def test_the_middle_line_ends_with_the_vessel():
    frame = straight_vessel()
    frame[:, SIZE // 2 + 20 :] = 160
    line = middle_line(vessel_component(frame), middle(0.0), 60)
    assert line[:, 0].max() <= SIZE // 2 + 26 and line[:, 0].min() < SIZE // 2 - 50


def test_a_long_narrowing_follows_the_bend():
    frame = curved_vessel()
    edited = narrow(frame, TOP, vessel_component(frame), 0.6, 60.0)
    for along in (-20, 0, 20):
        share = darkness_at(edited, along) / darkness_at(frame, along)
        assert share == pytest.approx(0.4**2, abs=0.1)
    for along in (-75, 75):
        assert darkness_at(edited, along) == pytest.approx(darkness_at(frame, along), rel=0.05)


def test_an_uneven_narrowing_is_deepest_where_it_says():
    frame = straight_vessel()
    edited = narrow(
        frame, middle(0.0), vessel_component(frame), 0.6, 60.0, uneven=np.array([0.0, 0.0, 1.0, 1.0])
    )
    left, right = (np.s_[SIZE // 2 - 12 : SIZE // 2 + 13, SIZE // 2 + shift] for shift in (-22, 22))
    darkness = [(160.0 - edited[where]).sum() for where in (left, right)]
    assert darkness[1] < 0.35 * darkness[0]


def test_at_the_border_of_the_frame_nothing_breaks():
    frame = straight_vessel()
    site = Site(SIZE // 2, MARGIN, 0.0, RADIUS)
    edited = narrow(frame, site, vessel_component(frame), 0.6, 80.0)
    assert edited.shape == frame.shape and (edited[:, MARGIN] != frame[:, MARGIN]).any()
