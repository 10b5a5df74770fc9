from stenoscope.augmentation.grid import CENTRE, CROP_SIZE, CROPS, OFFSETS, VARIANTS
from stenoscope.records import FRAME_SIZE


def test_25_different_variants():
    assert len(set(VARIANTS)) == len(VARIANTS) == 25
    assert sorted({variant.offset for variant in VARIANTS}) == [-10, -5, 0, 5, 10] == list(OFFSETS)


def test_the_centre_is_central_and_unchanged():
    assert VARIANTS[CENTRE] == (6, 6, 0)


def test_the_corners_reach_all_four_borders():
    last = FRAME_SIZE - CROP_SIZE
    assert {CROPS[name] for name in CROPS if name != "centre"} == {(0, 0), (0, last), (last, 0), (last, last)}
