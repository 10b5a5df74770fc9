"""Display elements as makers write them: what can't be used is left out, and the pixels stay."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from stenoscope.imaging import dicom
from stenoscope.imaging.display import read_rendering
from stenoscope.imaging.intensity import RenderingError, Window
from tests.imaging.make_dicom import (
    SECONDARY_CAPTURE,
    XA,
    header_of,
    item,
    levels,
    lut,
    make_dicom,
    ramp,
    rewrite,
)

ENHANCED_XA = "1.2.840.10008.5.1.4.1.1.12.1.1"
FRAMES = levels(0, 500, 1000, 4000)
WINDOW = {"WindowCenter": 1000, "WindowWidth": 2001}
WINDOWED = [0, 64, 128, 255]  # (x - 999.5) / 2000 + 0.5
IN_RANGE = [0, 32, 64, 255]  # x / 4000


def grey(path):
    """First pixel of each frame, and what is noted beside its size."""
    with dicom.open_clip(path) as clip:
        frames = clip.frames()
    notes = [note for note in clip.facts.notes if not note.startswith("resampled")]
    return frames[:, 0, 0].tolist(), [note for note in notes if not note.startswith("no VOI")]


def make(path, **elements):
    return make_dicom(path, FRAMES, BitsStored=12, **{"SOPClassUID": SECONDARY_CAPTURE, **elements})


def test_without_anything_unusable_there_is_no_note(tmp_path):
    assert grey(make(tmp_path / "a.dcm", **WINDOW)) == (WINDOWED, [])
    assert grey(make(tmp_path / "b.dcm")) == (IN_RANGE, [])


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth"])
@pytest.mark.parametrize("text", [b"abc", b"nan", b"inf", b"-1e999", b"1.000,5", b"2_001", b"\xff\xfe"])
def test_a_window_that_is_no_number_is_dropped(tmp_path, keyword, text):
    path = rewrite(make(tmp_path / "a.dcm", **WINDOW), keyword, "DS", text)
    assert grey(path) == (IN_RANGE, ["window can't be used"])


@pytest.mark.parametrize("width", [b"0", b"0.5", b"-2001"])
def test_a_width_below_1_is_void(tmp_path, width):
    path = rewrite(make(tmp_path / "a.dcm", **WINDOW), "WindowWidth", "DS", width)
    assert grey(path) == (IN_RANGE, ["window can't be used"])


@pytest.mark.parametrize(
    "keyword, vr, value",
    [
        ("WindowWidth", "DS", b"2001,0"),
        ("WindowCenter", "DS", b"1000,0"),
        ("RescaleSlope", "DS", b"1,0"),
        ("RescaleIntercept", "DS", b"0,0"),
    ],
)
def test_a_decimal_comma_is_a_point(tmp_path, keyword, vr, value):
    path = rewrite(make(tmp_path / "a.dcm", RescaleSlope=1, RescaleIntercept=0, **WINDOW), keyword, vr, value)
    assert grey(path) == (WINDOWED, ["decimal comma read as a point"])


@pytest.mark.parametrize(
    "vr, value",
    [("LO", b"2001"), ("UN", b"2001"), ("OB", b"2001"), ("FD", b"2001"), ("US", b"\xd1\x07"), ("SQ", b"2001"),
     ("FD", b"\0\0\0\0\0\x44\x9f\x40"), ("SL", b"\xd1\x07\0\0")],
)  # fmt: skip
def test_a_window_of_another_value_representation_is_read(tmp_path, vr, value):
    path = rewrite(make(tmp_path / "a.dcm", **WINDOW), "WindowWidth", vr, value)
    assert grey(path) == (WINDOWED, [])


@pytest.mark.parametrize(
    "centers, widths, note",
    [
        ([10, 1000], [0, 2001], "window 2 of 2 used, the first that can be used"),
        ([10, 20, 1000], [0.5, -3, 2001], "window 3 of 3 used, the first that can be used"),
        ([1000, 10], [2001, 5], "first of 2 windows"),
    ],
)
def test_the_next_usable_window_is_taken(tmp_path, centers, widths, note):
    path = make(tmp_path / "a.dcm", WindowCenter=centers, WindowWidth=widths)
    assert grey(path) == (WINDOWED, [note])


def test_centers_and_widths_of_different_number_are_paired_as_far_as_they_go(tmp_path):
    assert grey(make(tmp_path / "a.dcm", WindowCenter=[1000, 5], WindowWidth=2001)) == (WINDOWED, [])
    assert grey(make(tmp_path / "b.dcm", WindowCenter=1000, WindowWidth=[2001, 5, 6])) == (WINDOWED, [])


@pytest.mark.parametrize(
    "name, expected",
    [("CUBIC", Window(1000, 2001)), ("sigmoid ", Window(1000, 2001, "SIGMOID")), ("", Window(1000, 2001))],
)
def test_an_unknown_voi_lut_function_is_left_out(tmp_path, name, expected):
    path = rewrite(make(tmp_path / "a.dcm", **WINDOW), "VOILUTFunction", "CS", name.encode())
    assert header_of(path).rendering.voi == expected
    assert grey(path)[1] == ["VOI LUT Function unknown, LINEAR taken"] * (name == "CUBIC")


VALUES = np.arange(4096)
EMPTY = item()
NO_DATA = item(LUTDescriptor=[4096, 0, 12])
NO_DESCRIPTOR = item(LUTData=lut(0, VALUES, 12)[0].LUTData)
NO_DESCRIPTOR["LUTData"].VR = "OW"
CONSTANT = lut(0, np.full(4096, 7), 12)[0]


@pytest.mark.parametrize("unusable", [EMPTY, NO_DATA, NO_DESCRIPTOR, CONSTANT])
def test_a_lut_that_is_none_is_dropped_and_the_next_one_taken(tmp_path, unusable):
    path = make(tmp_path / "a.dcm", VOILUTSequence=[unusable], **WINDOW)
    assert grey(path) == (WINDOWED, ["VOI LUT can't be used"])
    path = make(tmp_path / "b.dcm", VOILUTSequence=[unusable, *lut(0, VALUES[::-1], 12)], **WINDOW)
    assert grey(path) == ([255, 224, 193, 6], ["VOI LUT 2 of 2 used, the first that can be used"])
    path = make(
        tmp_path / "c.dcm", ModalityLUTSequence=[unusable], RescaleSlope=2, RescaleIntercept=0, **WINDOW
    )
    assert grey(path) == ([0, 128, 255, 255], ["modality LUT can't be used"])


@pytest.mark.parametrize(
    "top, declared, bits",
    [
        (255, 16, 8),
        (4095, 16, 12),
        (1023, 12, 10),
        (4095, 8, 12),
        (4095, 0, 12),
        (4095, 99, 12),
        (120, 12, 8),
    ],
)
def test_a_voi_lut_is_scaled_by_the_bits_it_holds(tmp_path, top, declared, bits):
    entries = VALUES * top // 4095
    path = make(tmp_path / "a.dcm", VOILUTSequence=lut(0, entries, declared))
    expected = [int(255 * entries[value] / ((1 << bits) - 1) + 0.5) for value in (0, 500, 1000, 4000)]
    assert grey(path) == (
        expected, [f"VOI LUT scaled by the {bits} bits it holds, not the {declared} it declares"]
    )  # fmt: skip


def test_a_voi_lut_that_uses_its_bits_is_scaled_by_them(tmp_path):
    path = make(tmp_path / "a.dcm", VOILUTSequence=lut(0, VALUES // 2 + 100, 12))  # to 2147 of 4095
    assert grey(path) == ([6, 22, 37, 131], [])


def packed(vr, count=4096):
    """A LUT of 8-bit entries, two in a word."""
    data = (VALUES // 16).astype(np.uint8).tobytes()
    entry = item(LUTDescriptor=[count, 0, 8])
    entry.add_new("LUTData", vr, data if vr == "OW" else np.frombuffer(data, "<u2").tolist())
    return [entry]


@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_entries_of_8_bits_two_in_a_word(tmp_path, vr, syntax):
    sequence = packed(vr)
    if syntax.endswith(".2.2") and vr == "OW":
        sequence[0].LUTData = np.frombuffer(sequence[0].LUTData, "<u2").byteswap().tobytes()
    path = make_dicom(tmp_path / "a.dcm", FRAMES, syntax, BitsStored=12, VOILUTSequence=sequence)
    assert grey(path) == ([0, 31, 62, 250], [])


@pytest.mark.parametrize("stated", [0, 256, 4095])
def test_a_lut_has_the_entries_that_are_there(tmp_path, stated):
    sequence = lut(0, VALUES, 12)
    sequence[0].LUTDescriptor = [stated, 0, 12]
    assert grey(make(tmp_path / "a.dcm", VOILUTSequence=sequence)) == ([0, 31, 62, 249], [])


@pytest.mark.parametrize("slope, intercept", [(0, 5), ("nan", 5), (2, "abc"), (2, ""), ("", 5), ("inf", 0)])
def test_an_unusable_rescale_is_dropped(tmp_path, slope, intercept):
    path = make(tmp_path / "a.dcm", **WINDOW)
    for keyword, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
        rewrite(path, keyword, "DS", str(value).encode())
    assert grey(path) == (WINDOWED, ["rescale can't be used"])


@pytest.mark.parametrize("sop_class", [XA, "1.2.840.10008.5.1.4.1.1.12.2", "1.2.840.10008.5.1.4.1.1.12.3"])
@pytest.mark.parametrize("relationship", [None, "", "LIN", "LOG", "DISP", "DRM"])
@pytest.mark.parametrize("table", [False, True])
def test_the_modality_lut_of_xa_and_xrf_is_not_for_the_display(tmp_path, sop_class, relationship, table):
    elements = {} if relationship is None else {"PixelIntensityRelationship": relationship}
    elements |= (
        {"ModalityLUTSequence": lut(0, VALUES[::-1], 12)}
        if table
        else {"RescaleSlope": 2, "RescaleIntercept": 3}
    )
    path = make(tmp_path / "a.dcm", SOPClassUID=sop_class, **elements, **WINDOW)
    assert grey(path) == (WINDOWED, ["modality LUT of X-ray intensity present, not part of the display"])


def test_an_identity_is_not_worth_a_note(tmp_path):
    path = make(tmp_path / "a.dcm", SOPClassUID=XA, RescaleSlope=1, RescaleIntercept=0, **WINDOW)
    assert grey(path) == (WINDOWED, [])


@pytest.mark.parametrize("sop_class", [SECONDARY_CAPTURE, ENHANCED_XA])
@pytest.mark.parametrize(
    "relationship, applied", [(None, True), ("LIN", True), ("DRM", True), ("LOG", False), ("DISP", False)]
)
def test_other_classes_go_by_the_pixel_intensity_relationship(tmp_path, sop_class, relationship, applied):
    elements = {} if relationship is None else {"PixelIntensityRelationship": relationship}
    path = make(
        tmp_path / "a.dcm", SOPClassUID=sop_class, RescaleSlope=2, RescaleIntercept=0, **elements, **WINDOW
    )
    assert grey(path)[0] == ([0, 128, 255, 255] if applied else WINDOWED)


def test_the_sop_class_of_the_file_meta_information_stands_in(tmp_path):
    path = make(tmp_path / "a.dcm", SOPClassUID=XA, RescaleSlope=2, RescaleIntercept=0, **WINDOW)
    dataset = dcmread(path)
    del dataset.SOPClassUID
    dataset.save_as(path)
    assert grey(path)[0] == WINDOWED


@pytest.mark.parametrize(
    "value, limit, dtype, expected",
    [
        (0, None, np.uint16, (0, 0)),
        (100, 5, np.uint16, (5, 100)),
        (63536, None, np.int16, (-2000, -2000)),  # US for signed pixels
        (0, 4095, np.uint16, None),  # every value
        (40000, None, np.uint16, None),  # no value of 12 bits
    ],
)
def test_padding_is_a_part_of_the_stored_values(value, limit, dtype, expected):
    header = item(
        BitsStored=12, PixelRepresentation=int(dtype == np.int16), PhotometricInterpretation="MONOCHROME2",
        PixelPaddingValue=value,
    )  # fmt: skip
    if limit is not None:
        header.PixelPaddingRangeLimit = limit
    rendering = read_rendering(header)
    assert rendering.padding == expected
    assert rendering.notes == (("pixel padding can't be used",) if limit == 4095 else ())


@pytest.mark.parametrize("vr, value", [("LO", b"abc "), ("SS", b"\xff\xff\xff"), ("FD", b"nan ")])
def test_padding_that_is_no_number_costs_no_clip(tmp_path, vr, value):
    path = rewrite(make(tmp_path / "a.dcm", **WINDOW), "PixelPaddingValue", vr, value)
    assert grey(path)[0] == WINDOWED


def voi(**elements):
    return item(FrameVOILUTSequence=[item(**elements)])


USABLE, VOID = {"WindowCenter": 1000, "WindowWidth": 2001}, {"WindowCenter": 9, "WindowWidth": 0.5}


@pytest.mark.parametrize(
    "elements, notes",
    [
        ({"SharedFunctionalGroupsSequence": [voi(**USABLE)]}, []),
        ({"PerFrameFunctionalGroupsSequence": [voi(**USABLE)] * 4}, []),
        ({"PerFrameFunctionalGroupsSequence": [voi(**VOID)] * 4,
          "SharedFunctionalGroupsSequence": [voi(**USABLE)]}, ["window can't be used"]),
        ({"PerFrameFunctionalGroupsSequence": [voi(VOILUTSequence=[EMPTY])] * 4, **USABLE},
         ["VOI LUT can't be used"]),
        ({"SharedFunctionalGroupsSequence": [item(FrameVOILUTSequence=[item(**VOID), item(**USABLE)])]},
         ["window can't be used"]),
        ({"SharedFunctionalGroupsSequence": [item(**USABLE)]}, []),  # without its macro
        ({"PerFrameFunctionalGroupsSequence": [item(**USABLE)] * 4}, []),
        ({"FrameVOILUTSequence": [item(**USABLE)]}, []),  # outside the functional groups
        ({"PerFrameFunctionalGroupsSequence": [voi(**USABLE)] * 3,
          "SharedFunctionalGroupsSequence": [voi(**USABLE)]},
         ["functional groups of 3 frames, but 4 frames: not used"]),
        ({"PerFrameFunctionalGroupsSequence": [voi(**USABLE), voi(**VOID), Dataset(), voi(**USABLE)]},
         ["window can't be used", "frames without a usable window shown in that of the frame before"]),
        ({"PerFrameFunctionalGroupsSequence": [voi(**VOID), *[voi(**USABLE)] * 3]},
         ["window can't be used", "frames without a usable window shown in that of the frame before"]),
    ],
)  # fmt: skip
def test_windows_of_functional_groups(tmp_path, elements, notes):
    assert grey(make(tmp_path / "a.dcm", SOPClassUID=ENHANCED_XA, **elements)) == (WINDOWED, notes)


def test_a_slope_of_functional_groups_that_is_void(tmp_path):
    void = item(PixelValueTransformationSequence=[item(RescaleSlope=0, RescaleIntercept=0)])
    elements = {"RescaleSlope": 2, "RescaleIntercept": 0, **WINDOW}
    path = make(tmp_path / "a.dcm", SharedFunctionalGroupsSequence=[void], **elements)
    assert grey(path) == ([0, 128, 255, 255], ["rescale can't be used"])


@pytest.mark.parametrize(
    "keyword", ["SharedFunctionalGroupsSequence", "VOILUTSequence", "FrameVOILUTSequence"]
)
@pytest.mark.parametrize("vr", ["OB", "LO", "SQ", "UN", "DS"])
def test_a_sequence_that_is_none_costs_no_clip(tmp_path, keyword, vr):
    path = rewrite(make(tmp_path / "a.dcm", **WINDOW), keyword, vr, b"12,5 rubbish")
    assert grey(path)[0] == WINDOWED


def test_a_palette_that_declares_16_bits_and_holds_8(tmp_path):
    elements = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        elements[f"{name}PaletteColorLookupTableData"] = np.arange(256).astype("<u2").tobytes()
    path = make_dicom(tmp_path / "a.dcm", ramp(2, 512, 512), **elements)
    np.testing.assert_array_equal(dicom.read_dicom(path, "a", str).frames, ramp(2, 512, 512))


def test_pixels_without_their_palette_are_lost(tmp_path):
    with pytest.raises(RenderingError, match="no palette"):
        read_rendering(item(BitsStored=8, PixelRepresentation=0, PhotometricInterpretation="PALETTE COLOR"))
