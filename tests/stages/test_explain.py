from types import SimpleNamespace

import numpy as np
import pytest

from stenoscope.settings import TrainingSettings
from stenoscope.stages.explain import drawn_methods, in_frame, lesion_boxes


@pytest.mark.parametrize("row, col", [(10, 10), (25, 40), (49, 0)])
def test_a_map_lies_where_the_centre_crop_does(row, col):
    heatmap = np.zeros((50, 50), np.float32)
    heatmap[row, col] = 1
    placed = in_frame(heatmap)
    assert placed.shape == (512, 512) and placed.dtype == np.float32
    rows, cols = np.nonzero(placed == placed.max())
    # a pixel of the map is 10 x 10 pixels of the crop, which begins at (6, 6)
    if 0 < row < 49 and 0 < col < 49:
        assert (rows.mean(), cols.mean()) == pytest.approx((6 + 10 * row + 4.5, 6 + 10 * col + 4.5), abs=1)
    else:
        assert abs(rows.mean() - (6 + 10 * row + 4.5)) < 8 and abs(cols.mean() - (6 + 10 * col + 4.5)) < 8


def test_the_border_repeats_the_maps_edge():
    placed = in_frame(np.full((500, 500), 3, np.float32))
    assert (placed == 3).all()


def test_boxes_outside_the_frame_are_left_out():
    boxes = np.zeros((5, 4), np.float32)
    inside, left, below = boxes.copy(), boxes.copy(), boxes.copy()
    inside[2], left[2], below[2] = [500, 500, 530, 520], [-30, 5, 0, 20], [5, 512, 20, 530]
    clips = SimpleNamespace(lesions=[[{"boxes": box} for box in (inside, left, below)], []])
    np.testing.assert_array_equal(lesion_boxes(clips, 0, 2), [[500, 500, 530, 520]])
    assert lesion_boxes(clips, 1, 2).shape == (0, 4)


def test_the_default_map_comes_first_and_both_are_drawn():
    assert drawn_methods(TrainingSettings(heatmap="cam")) == ["cam", "hirescam"]
    assert drawn_methods(TrainingSettings(heatmap="hirescam")) == ["hirescam", "cam"]
