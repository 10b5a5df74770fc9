import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing

from stenoscope.geometry import source_to_frame
from stenoscope.imaging.intensity import (
    Lut,
    Rendering,
    Window,
    apply_table,
    to_frame,
)


def header(**elements) -> Dataset:
    dataset = Dataset()
    dataset.BitsStored, dataset.PixelRepresentation = 12, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("center, width", [(2048, 4096), (1000, 500), (300.5, 7), (100, 1.5)])
def test_window_equals_pydicom(function, center, width):
    values = np.arange(4096)
    dataset = header(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    expected = apply_windowing(values, dataset) / 4095
    np.testing.assert_allclose(Window(center, width, function)(values), expected, atol=1e-12)


def test_window_by_hand():
    # PS3.3 C.11.2.1.2.1, the standard's own example: c=2048, w=4096 maps 0..4095 onto the whole output range
    np.testing.assert_allclose(Window(2048, 4096)(np.array([0, 4095, 2047.5])), [0, 1, 0.5])
    np.testing.assert_allclose(
        Window(10, 4, "LINEAR_EXACT")(np.array([7, 8, 9, 10, 12, 13])), [0, 0, 0.25, 0.5, 1, 1]
    )
    assert Window(10, 4, "SIGMOID")(np.array([10.0]))[0] == 0.5
    assert Window(0, 1e-6, "SIGMOID")(np.array([-4e4, 4e4])).tolist() == pytest.approx([0, 1], abs=1e-300)


def test_window_of_width_one_is_a_threshold():
    np.testing.assert_array_equal(Window(100, 1)(np.array([99, 99.5, 99.6, 100])), [0, 0, 1, 1])


def test_lut_clamps_below_and_above():
    table = Lut(first=10, entries=np.array([5, 6, 250]), bits=8)
    np.testing.assert_array_equal(table(np.array([-3, 10, 11, 12, 99])), [5, 5, 6, 250, 250])


def test_eight_bits_without_voi_are_untouched():
    rendering = Rendering(bits=8)
    assert not rendering.needs_range
    np.testing.assert_array_equal(rendering.table(), np.arange(256))


def test_more_bits_without_voi_take_the_range_of_the_clip():
    rendering = Rendering(bits=16)
    assert rendering.needs_range
    table = rendering.table((100, 1120))
    assert (table[100], table[1120], table[0], table[65535]) == (0, 255, 0, 255)
    assert table[100 + 510] == 128  # half way rounds up
    assert (np.diff(table.astype(int)) >= 0).all()
    assert not rendering.table((7, 7)).any()  # a flat clip is black, not a division by zero


def test_signed_values_start_below_zero():
    rendering = Rendering(bits=8, signed=True)
    assert rendering.lowest == -128
    frame = np.array([[-128, 0, 127]], np.int8)
    np.testing.assert_array_equal(apply_table(frame, rendering.table(), rendering.lowest), [[0, 128, 255]])


def test_monochrome1_is_inverted_after_the_window():
    straight = Rendering(bits=12, voi=Window(1000, 400)).table()
    inverted = Rendering(bits=12, voi=Window(1000, 400), inverted=True).table()
    np.testing.assert_allclose(inverted.astype(int) + straight, 255, atol=1)
    assert inverted[0] == 255 and inverted[4095] == 0


def test_rescale_comes_before_the_window():
    table = Rendering(bits=12, rescale=(2.0, -1000.0), voi=Window(1000, 401, "LINEAR")).table()
    # stored x is 2x - 1000; the window runs from 799.5 to 1199.5, so x = 899.75 is black, 1099.75 white
    assert table[899] == 0 and table[900] == 0 and table[1100] == 255
    assert table[1000] == round(255 * ((1000 - 999.5) / 400 + 0.5))


def test_negative_slope_turns_grey_levels_round():
    np.testing.assert_array_equal(Rendering(bits=8, rescale=(-1.0, 255.0)).table(), np.arange(255, -1, -1))


def test_voi_lut_of_8_bits_with_many_entries_does_not_wrap():
    entries = np.arange(4096) // 16
    table = Rendering(bits=12, voi=Lut(0, entries, 8)).table()
    np.testing.assert_array_equal(table, entries)


def test_table_is_clamped_at_its_ends():
    table = np.array([7, 8, 9], np.uint8)
    np.testing.assert_array_equal(apply_table(np.array([[0, 2, 500]], np.uint16), table), [[7, 9, 9]])


def test_square_frame_of_the_right_size_is_not_touched():
    frame = np.zeros((512, 512), np.uint8)
    assert to_frame(frame) is frame


@pytest.mark.parametrize(
    "rows, cols", [(300, 400), (400, 300), (1024, 1024), (1000, 600), (1, 1), (511, 512)]
)
def test_any_size_becomes_512(rows, cols):
    frame = to_frame(np.full((rows, cols), 200, np.uint8))
    assert frame.shape == (512, 512) and frame.dtype == np.uint8
    assert frame[256, 256] == 200
    used = (frame > 100).sum() / (512 * 512)
    assert used == pytest.approx(min(rows, cols) / max(rows, cols), abs=0.01)  # the rest is black padding


def test_a_source_pixel_lands_where_the_docstring_says():
    grey = np.zeros((600, 1000), np.uint8)
    grey[140:160, 740:760] = 255
    scale = source_to_frame(600, 1000).scale[0]
    rows, cols = np.nonzero(to_frame(grey) > 127)
    assert scale == 0.512
    assert rows.mean() + 0.5 == pytest.approx((150 + 200) * scale, abs=0.6)
    assert cols.mean() + 0.5 == pytest.approx(750 * scale, abs=0.6)


def test_shrinking_averages():
    checkers = np.indices((1024, 1024)).sum(0) % 2 * 255
    assert set(np.unique(to_frame(checkers.astype(np.uint8)))) <= {127, 128}


@pytest.mark.parametrize("inverted", [False, True])
def test_padding_is_black_whatever_the_polarity_and_out_of_the_range(inverted):
    rendering = Rendering(12, inverted=inverted, padding=(100, 110))
    assert rendering.extent(np.array([[100, 105, 110, 300, 700]])) == (300, 700)
    table = rendering.table((300, 700))
    assert (table[100:111] == 0).all() and table[500] == 128
    assert (table[99], table[111]) == ((255, 255) if inverted else (0, 0))  # beside the padding
