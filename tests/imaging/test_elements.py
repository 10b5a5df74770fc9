import math
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from stenoscope.imaging.elements import DECIMAL_COMMA, numbers, read_elements
from tests.imaging.make_dicom import facts_of, header_of, make_dicom, ramp, rewrite


def element(path, keyword, vr, value):
    """The element as it is read from a file that has it so, and the notes."""
    with rewrite(make_dicom(path, ramp()), keyword, vr, value).open("rb") as stream:
        dataset, notes = read_elements(stream, [keyword])
    return numbers(dataset.get(keyword)), notes


@pytest.mark.parametrize(
    "keyword, vr, value, expected",
    [
        ("FrameTime", "DS", b" 66.7 ", [66.7]),
        ("FrameTime", "DS", b"1e2\\-.5\\+3.\0", [100, -0.5, 3]),
        ("FrameTime", "FD", b"\0\0\0\0\0\0\0\0", [0]),
        ("FrameTime", "FL", b"\0\0\x80\x3f", [1]),
        ("FrameTime", "FD", b"\0\0\0\0\0\0\xf0\x7f", [math.nan]),
        ("FrameTime", "DS", b"\\5", [math.nan, 5]),
        ("FrameTime", "DS", b"inf\\nan\\1_0\\0x10\\1e999\\5 ms", [math.nan] * 6),
        ("FrameTime", "DS", b"1.234,5\\1,234,5", [math.nan] * 2),
        ("FrameTime", "DS", b"", []),
        ("Rows", "US", b"\x10\0", [16]),
        ("Rows", "IS", b"16", [16]),
        ("Rows", "DS", b"16", [16]),
        ("Rows", "UL", b"\x10\0\0\0", [16]),
        ("Rows", "IS", b"x ", [math.nan]),
        ("PixelPaddingValue", "SS", b"\xfe\xff", [-2]),
        ("PixelPaddingValue", "UN", b"\xfe\xff", [65534]),
    ],
)
def test_numbers_of_any_value_representation(tmp_path, keyword, vr, value, expected):
    found, notes = element(tmp_path / "a.dcm", keyword, vr, value)
    np.testing.assert_array_equal(found, expected)
    assert notes == []


def test_a_decimal_comma_is_a_point_and_is_said_once(tmp_path):
    assert element(tmp_path / "a.dcm", "FrameTime", "DS", b"66,7\\1,5") == ([66.7, 1.5], [DECIMAL_COMMA])


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "FrameContentSequence"])
def test_a_sequence_that_is_none_is_absent(tmp_path, keyword):
    with rewrite(make_dicom(tmp_path / "a.dcm", ramp()), keyword, "OB", b"rubbish!").open("rb") as stream:
        dataset, notes = read_elements(stream, [keyword])
    assert keyword not in dataset and notes == [f"{keyword} can't be read"]


def test_the_stream_is_left_at_the_pixel_data(tmp_path):
    with make_dicom(tmp_path / "a.dcm", ramp()).open("rb") as stream:
        read_elements(stream, ["Rows"])
        assert stream.read(4) == b"\xe0\x7f\x10\x00"


@pytest.mark.parametrize(
    "keyword, value, time, view",
    [
        ("FrameTime", b"40,5", 40.5, (-30.0, 25.5)),
        ("PositionerPrimaryAngle", b"-31,25", 66.7, (-31.25, 25.5)),
        ("PositionerSecondaryAngle", b"1,5", 66.7, (-30.0, 1.5)),
    ],
)
def test_angles_and_times_with_a_decimal_comma(tmp_path, keyword, value, time, view):
    path = rewrite(make_dicom(tmp_path / "a.dcm", ramp()), keyword, "DS", value)
    header = header_of(path)
    assert (header.facts.frame_time_ms, header.view) == (time, view)
    assert DECIMAL_COMMA in header.facts.notes and not any("can't" in note for note in header.facts.notes)
    assert facts_of(path).primary_angle == view[0]


@pytest.mark.parametrize(
    "value, time", [(b"0\\40,5\\40,5", 40.5), (b"0\\x\\50\\50", 50), (b"0\\x", None), (b"40", 40)]
)
def test_a_time_vector_with_unreadable_steps(tmp_path, value, time):
    path = rewrite(make_dicom(tmp_path / "a.dcm", ramp(), FrameTime=None), "FrameTimeVector", "DS", value)
    facts = facts_of(path)
    assert facts.frame_time_ms == time and ("frame time can't be read" in facts.notes) == (time is None)


def test_angles_of_a_frame_that_are_none_leave_the_shared_ones(tmp_path):
    def position(primary):
        group, macro = Dataset(), Dataset()
        macro.PositionerPrimaryAngle, macro.PositionerSecondaryAngle = primary, 2.0
        group.PositionerPositionSequence = [macro]
        return group

    path = make_dicom(
        tmp_path / "a.dcm", ramp(), PositionerPrimaryAngle=None, PositionerSecondaryAngle=None,
        SharedFunctionalGroupsSequence=[position(10.0)],
        PerFrameFunctionalGroupsSequence=[position(999.0)] * 4,
    )  # fmt: skip
    assert header_of(path).view == (10.0, 2.0)


@pytest.mark.parametrize("keyword", ["SamplesPerPixel", "BitsStored", "HighBit", "PixelRepresentation"])
@pytest.mark.parametrize("vr, value", [("LO", b"abc"), ("SQ", b""), ("US", b"")])
def test_what_follows_from_the_rest_of_the_pixel_description(tmp_path, keyword, vr, value):
    before = header_of(make_dicom(tmp_path / "a.dcm", ramp()))
    after = header_of(rewrite(tmp_path / "a.dcm", keyword, vr, value))
    stated = replace(after.facts, bits_stored=before.facts.bits_stored)  # what the file says is told as it is
    assert (stated, after.renderings, after.samples) == (before.facts, before.renderings, before.samples)


@pytest.mark.parametrize("keyword", ["Modality", "PhotometricInterpretation"])
def test_a_text_with_more_than_one_value(tmp_path, keyword):
    path = make_dicom(tmp_path / "a.dcm", ramp())
    first = {"Modality": b"XA\\RF", "PhotometricInterpretation": b"MONOCHROME2\\"}[keyword]
    assert header_of(rewrite(path, keyword, "CS", first)).facts.num_frames == 4
