import numpy as np

from stenoscope.augmentation.sheet import Example, draw_sheet, draw_training


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


def test_training_images_stand_above_their_ringed_twins():
    image, twin = np.full((64, 64), 100, np.uint8), np.full((64, 64), 150, np.uint8)
    ringed, bare = (
        Example(image, ("as it is",), twin, (32.0, 16.0)),
        Example(image, ("as it is",), twin),
    )
    sheet = draw_training([ringed, bare, Example(image, ("as it is",))], "p001_c1", ["a note"])
    plain = (sheet == 100).all(axis=2), (sheet == 150).all(axis=2)
    above, below = (np.flatnonzero(mask.any(axis=1)) for mask in plain)
    assert above.max() < below.min() and len(above) >= 240
    assert [mask[row].sum() for mask, row in zip(plain, (above[0], below[0]), strict=True)] == [
        3 * 240,
        2 * 240,
    ]
    ring = np.argwhere((sheet == (217, 95, 14)).all(axis=2))
    left, top = np.flatnonzero(plain[1].any(axis=0))[0], below[0]
    np.testing.assert_allclose(ring.mean(axis=0), (top + 32.5 / 64 * 240, left + 16.5 / 64 * 240), atol=2)


def test_ten_epochs_take_two_lines():
    image = np.full((32, 32), 100, np.uint8)
    one, two = (draw_training([Example(image, ("a",))] * count, "t", []).shape for count in (5, 10))
    assert one[1] == two[1] and two[0] > 1.7 * one[0]


def test_each_caption_more_moves_the_image_down():
    image = np.full((32, 32), 100, np.uint8)
    sheets = [draw_training([Example(image, ("g",) * count)], "t", []) for count in (3, 4, 6)]
    tops = [np.nonzero((sheet == 100).all(axis=2))[0][0] for sheet in sheets]
    assert np.diff(tops).tolist() == [18, 36]
