import numpy as np
import pytest

from stenoscope.report.colours import colour_map, common_scale, overlay, signed_colours


def test_one_colour_for_one_value_whatever_else_is_in_the_map():
    small, large = np.zeros((8, 8)), np.zeros((8, 8))
    small[2, 2] = large[2, 2] = 0.5
    large[5, 5] = 4.0
    np.testing.assert_array_equal(colour_map(small, 2.0)[2, 2], colour_map(large, 2.0)[2, 2])


def test_no_evidence_is_black_and_signs_differ():
    values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0, 50.0]])
    red, _, blue = colour_map(values, 2.0)[0].astype(int).T
    assert colour_map(values, 2.0)[0, 2].tolist() == [0, 0, 0]
    assert red[3] > blue[3] and blue[1] > red[1]
    np.testing.assert_array_equal(colour_map(values, 2.0)[0, 4], colour_map(values, 2.0)[0, 5])


def test_more_evidence_is_brighter_on_both_sides():
    brightness = signed_colours().astype(int) @ [3, 6, 1]
    assert (np.diff(brightness[255:]) >= -15).all() and (np.diff(brightness[:256]) <= 15).all()
    assert brightness[0] > 2000 and brightness[510] > 2000 and brightness[255] == 0


def test_the_overlay_leaves_the_frame_where_there_is_no_evidence_for_abnormal():
    frame = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    heatmap = np.full((16, 16), -3.0)
    heatmap[4, 4] = 1.0
    painted = overlay(frame, heatmap, 1.0)
    bare = np.repeat(frame[..., None], 3, axis=2)
    same = (painted == bare).all(axis=2)
    assert same.sum() == 255 and not same[4, 4]
    np.testing.assert_array_equal(overlay(frame, heatmap * 0, 1.0), bare)


def test_common_scale():
    maps = [np.array([-5.0, peak]) for peak in np.arange(1, 12.0)]
    assert common_scale(maps) == pytest.approx(10.0)
    assert common_scale([np.full(3, -1.0)]) == 1.0
    assert common_scale([]) == 1.0
