import numpy as np

from stenoscope.export.pictures import overlay_pictures


def drawn(heatmap, scale=4.0, caption="Frame 1"):
    frames = np.full((1, 512, 512), 90, np.uint8)
    return overlay_pictures(frames, heatmap[None], scale, [caption])[0]


def test_the_frame_is_bare_where_nothing_speaks_for_abnormal():
    picture = drawn(np.full((512, 512), -1.0, np.float32))
    assert picture.shape == (560, 512, 3) and (picture[:512] == 90).all()


def test_evidence_colours_its_place_and_a_ring_marks_the_maximum():
    heatmap = np.zeros((512, 512), np.float32)
    heatmap[200:260, 100:160] = 2.0
    heatmap[230, 130] = 4.0
    picture = drawn(heatmap)
    changed = (picture[:512] != 90).any(axis=2)
    assert changed[200:260, 100:160].all() and changed.sum() == 60 * 60
    assert picture[230, 130 + 9].min() > 200 and picture[230 - 9, 130].min() > 200
    stronger = drawn(heatmap, scale=2.0)
    assert stronger[205, 105, 0] > picture[205, 105, 0], "the scale is given, not the map's own"


def test_the_caption_is_part_of_the_picture():
    heatmap = np.zeros((512, 512), np.float32)
    one, other = drawn(heatmap, caption="Frame 1"), drawn(heatmap, caption="Frame 2")
    assert one[512:].max() > 200 and (one[512:] != other[512:]).any() and (one[:512] == other[:512]).all()


def test_a_map_without_a_ring_says_why():
    with_ring, without = (drawn(np.full((512, 512), value, np.float32)) for value in (1.0, -1.0))
    assert (with_ring[512:] != without[512:]).any()


def test_the_ring_stays_in_the_field_of_view():
    heatmap, inside = np.zeros((512, 512), np.float32), np.ones((512, 512), bool)
    heatmap[50, 20], heatmap[230, 130], inside[:, :40] = 4.0, 2.0, False
    frames = np.full((1, 512, 512), 90, np.uint8)
    picture = overlay_pictures(frames, heatmap[None], 4.0, ["Frame 1"], inside)[0]
    assert picture[230, 130 + 9].min() > 200 and picture[50, 20 + 9].max() == 90
