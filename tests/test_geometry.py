import cv2
import numpy as np
import pytest

from stenoscope.augmentation.grid import CENTRE_CROP
from stenoscope.geometry import WHOLE_FRAME, Transform, Window, resizing, source_to_frame
from stenoscope.imaging.intensity import to_frame


@pytest.mark.parametrize("row, col", [(10, 10), (25, 40), (49, 0)])
def test_a_map_lies_where_the_centre_crop_does(row, col):
    heatmap = np.zeros((50, 50), np.float32)
    heatmap[row, col] = 1
    placed = CENTRE_CROP.place(heatmap)
    assert placed.shape == (512, 512) and placed.dtype == np.float32
    rows, cols = np.nonzero(placed == placed.max())
    # a pixel of the map is 10 x 10 pixels of the crop, which begins at (6, 6)
    if 0 < row < 49 and 0 < col < 49:
        assert (rows.mean(), cols.mean()) == pytest.approx((6 + 10 * row + 4.5, 6 + 10 * col + 4.5), abs=1)
    else:
        assert abs(rows.mean() - (6 + 10 * row + 4.5)) < 8 and abs(cols.mean() - (6 + 10 * col + 4.5)) < 8


def test_the_border_repeats_the_maps_edge():
    placed = CENTRE_CROP.place(np.full((500, 500), 3, np.float32))
    assert (placed == 3).all()


def test_a_map_over_the_whole_frame_is_resized():
    cells = np.random.default_rng(0).normal(0, 1, (8, 8)).astype(np.float32)
    np.testing.assert_array_equal(WHOLE_FRAME.place(cells), cv2.resize(cells, (512, 512)))


def test_cells_keep_their_place_and_their_scale():
    cells = np.zeros((4, 4), np.float32)
    cells[1, 2] = 6
    placed = Window(10, 20, 20, 20).place(cells)[10:30, 20:40]
    # a cell is 5 px wide: the centre of cell (1, 2) is pixel (7, 12)
    assert placed[7, 12] == placed.max() == 6 and placed[7, 17] == 0
    assert placed[7, 14] == pytest.approx(6 * 3 / 5), "linear between the centres"
    turned = Window(10, 20, 20, 20).place(cells[::-1, ::-1])[10:30, 20:40]
    np.testing.assert_allclose(turned[::-1, ::-1], placed, atol=1e-6)


@pytest.mark.parametrize("rows, cols", [(512, 512), (1024, 1024), (480, 640), (701, 500)])
def test_a_dot_of_the_source_lies_where_the_transform_says(rows, cols):
    image = np.zeros((rows, cols), np.uint8)
    row, col = rows // 3, cols // 4
    image[row - 8 : row + 9, col - 8 : col + 9] = 200
    found = np.argwhere(to_frame(image) > 100)
    place = source_to_frame(rows, cols).pixels((row, col))
    np.testing.assert_allclose(found.mean(axis=0), place, atol=0.6)


def test_transforms_compose_and_go_back():
    path = source_to_frame(480, 640).then(CENTRE_CROP.from_frame).then(resizing((500, 500), (256, 256)))
    place = path.pixels((100, 200))
    # rows are padded by 80; the scale is 0.8, then 0.512
    expected = (((100.5 + 80) * 0.8 - 6) * 0.512 - 0.5, ((200.5) * 0.8 - 6) * 0.512 - 0.5)
    np.testing.assert_allclose(place, expected)
    np.testing.assert_allclose(path.inverse().pixels(place), (100, 200))
    np.testing.assert_allclose(path.then(path.inverse()).box((1, 2, 3, 4)), (1, 2, 3, 4))
    assert Transform().box((1, 2, 3, 4)) == (1, 2, 3, 4)
