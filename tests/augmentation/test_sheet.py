import numpy as np

from stenoscope.augmentation.sheet import draw_sheet


def test_the_sheet_shows_brighter_variants_to_the_right():
    frame = np.full((512, 512), 100, np.uint8)
    sheet = draw_sheet(frame, "p001_c1, key frame 3")
    assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.shape[2] == 3
    line = sheet[sheet.shape[0] // 2, :, 0]
    shades = [level for level in (90, 95, 100, 105, 110) if (line == level).sum() >= 200]
    assert shades == [90, 95, 100, 105, 110]
    positions = [np.flatnonzero(line == level).mean() for level in shades]
    assert positions == sorted(positions)


def test_the_sheet_is_deterministic_and_shows_the_frame():
    frame = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    assert np.array_equal(draw_sheet(frame), draw_sheet(frame))
    assert not np.array_equal(draw_sheet(frame), draw_sheet(255 - frame))
