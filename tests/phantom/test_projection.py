from dataclasses import replace

import numpy as np
import pytest

from stenoscope.phantom.projection import SOURCE_TO_ISOCENTRE_MM, View, splat, tube_thickness

AP = View(0.0, 0.0, 1071.0, 0.35, 512, (256.0, 256.0))  # magnification 1.4: 4 pixels per mm


def tube(start, direction, length, radius, step=0.1):
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    s = np.arange(0, length, step)
    points = np.asarray(start, float) + s[:, None] * direction
    n = len(s)
    return points, np.tile(direction, (n, 1)), np.full(n, step), np.full(n, radius), np.ones(n)


def test_scale_and_directions_of_the_frontal_view():
    assert AP.scale == pytest.approx(4.0)
    points, scale = AP.project(np.array([[0, 0, 0], [10, 0, 0], [0, 0, 10]], float))
    assert points == pytest.approx(
        np.array([[256, 256], [296, 256], [256, 216]])
    )  # left is right, head is up
    assert scale == pytest.approx(4.0)


def test_oblique_views_turn_the_right_way():
    front, back = np.array([[0.0, -50.0, 0.0]]), np.array([[0.0, 84.0, 0.0]])
    lao, rao, cranial = replace(AP, primary=40.0), replace(AP, primary=-30.0), replace(AP, secondary=30.0)
    assert lao.project(back)[0][0, 0] > 256 + 100  # the spine is to the right in LAO, to the left in RAO
    assert rao.project(back)[0][0, 0] < 256 - 80
    assert cranial.project(front)[0][0, 1] > 256 > cranial.project(back)[0][0, 1]


def test_axes_stay_orthonormal():
    axes = replace(AP, primary=37.0, secondary=-21.0).axes
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)


def test_nearer_to_the_source_is_larger():
    _, scale = AP.project(np.array([[0.0, 100.0, 0.0]]))  # behind the patient's middle, towards the tube
    assert scale[0] == pytest.approx(1071.0 / 0.35 / (SOURCE_TO_ISOCENTRE_MM - 100.0))


@pytest.mark.parametrize("radius", [0.6, 1.5, 3.0])
def test_tube_across_the_beam_has_the_chord_profile_and_the_volume(radius):
    image = tube_thickness(AP, *tube((-30, 0, 0.03), (1, 0, 0), 60, radius))
    rows = (np.arange(512) - 256 + 4 * 0.03) / 4.0
    chord = 2 * np.sqrt(np.clip(radius**2 - rows**2, 0, None))
    inside = np.abs(rows) < radius - 0.5  # the tent of splat rounds off the very edge
    assert image[inside, 240:272].mean(axis=1) == pytest.approx(chord[inside], rel=0.04)
    assert image[np.abs(rows) > radius + 0.5].max() == 0
    assert image.sum() / 4.0**2 == pytest.approx(np.pi * radius**2 * 60, rel=0.005)


@pytest.mark.parametrize("tilt", [30, 60, 75])
def test_foreshortened_tube_gets_thicker_and_keeps_its_volume(tilt):
    angle = np.deg2rad(tilt)
    far = replace(AP, source_to_detector=1.4e6, pixel=0.35e3)  # keeps the scale
    image = tube_thickness(
        far, *tube((-20 * np.cos(angle), 20 * np.sin(angle), 0), (np.cos(angle), -np.sin(angle), 0), 40, 1.5)
    )
    assert image[254:259, 250:262].mean(axis=1).max() == pytest.approx(3.0 / np.cos(angle), rel=0.12)


def test_crossing_tubes_add_up():
    one, two = tube((-20, 0, 0), (1, 0, 0), 40, 1.0), tube((0, 5, -20), (0, 0, 1), 40, 1.0)
    both = tuple(np.concatenate(pair) for pair in zip(one, two, strict=True))
    together = tube_thickness(AP, *both)
    assert together == pytest.approx(tube_thickness(AP, *one) + tube_thickness(AP, *two), abs=1e-4)
    assert together[256, 256] == pytest.approx(4.0, rel=0.1)


def test_splat_is_exact_on_pixel_centres_and_conserves_what_is_inside():
    image = splat(np.array([3.0, 4.25]), np.array([2.0, 5.5]), np.array([1.0, 8.0]), 8)
    assert image[2, 3] == 1.0
    assert image[5:7, 4:6] == pytest.approx(np.array([[3.0, 1.0], [3.0, 1.0]]))
    assert image.sum() == 9.0


def test_splat_survives_any_position():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-30, 60, (2, 5000)).astype(np.float32)
    edge = np.nextafter(np.float32(32), np.float32(0))
    x, y = np.append(x, edge), np.append(y, edge)
    assert np.isfinite(splat(x, y, np.ones(5001, np.float32), 32)).all()
