"""Where frames lie: their number and the offset tables, right, wrong and missing, beside SimpleITK."""

import struct

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from stenoscope.errors import DicomError
from tests.imaging.make_dicom import facts_of, header_of, make_dicom, ramp, rewrite, stored_in

FRAMES = ramp(4, 64, 48)
ORDER = "offset table is wrong: frames read in the order of their fragments"
COUNTED = "frames counted: NumberOfFrames is missing or no whole number"


def read(path):
    """Stored values, and what is noted beside the size."""
    notes = [note for note in facts_of(path).notes if not note.startswith("resampled")]
    return stored_in(path), notes


def compressed(path, syntax):
    """A clip of 4 frames and its codestreams."""
    dataset = dcmread(make_dicom(path, FRAMES, compress=syntax))
    return dataset, list(generate_frames(dataset.PixelData, number_of_frames=4))


def save(path, dataset, data):
    dataset.PixelData = data
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)


def with_table(streams, change, pieces=1):
    """Encapsulated frames with a Basic Offset Table that `change` makes of the right one."""
    data = encapsulate(streams, fragments_per_frame=pieces)
    table = change(list(struct.unpack("<4L", data[8:24])))
    table = table if isinstance(table, bytes) else struct.pack(f"<{len(table)}L", *table)
    return data[:4] + struct.pack("<L", len(table)) + table + data[24:]


WRONG = {
    "beside the items": lambda table: [table[0], *(offset + 2 for offset in table[1:])],
    "zeros": lambda table: [0] * 4,
    "too few": lambda table: table[:2],
    "too many": lambda table: [*table, table[-1] + 98],
    "backwards": lambda table: table[::-1],
    "beyond the file": lambda table: [2**31 + 4, 8, 12, 16],
    "no words": lambda table: struct.pack("<4L", *table) + b"\1\2",
}


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_frames_with_a_wrong_basic_offset_table_are_read_as_sitk_reads_them(tmp_path, syntax, change):
    sitk = pytest.importorskip("SimpleITK")
    path = tmp_path / "a.dcm"
    dataset, streams = compressed(path, syntax)
    save(path, dataset, with_table(streams, change))
    stored, notes = read(path)
    np.testing.assert_array_equal(stored, FRAMES)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), FRAMES)
    assert notes == [ORDER]


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_frames_of_several_fragments_with_a_wrong_table(tmp_path, change):
    path = tmp_path / "a.dcm"
    dataset, streams = compressed(path, JPEGLSLossless)
    save(path, dataset, with_table(streams, change, pieces=3))
    stored, notes = read(path)
    np.testing.assert_array_equal(stored, FRAMES)
    assert notes == [ORDER]


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
@pytest.mark.parametrize(
    "offsets, lengths, right",
    [
        (None, None, True),
        ([0, 8, 16, 24], None, False),
        (None, [5, 5, 5, 5], False),
        ([0, 0, 0, 0], [1, 1, 1, 1], False),
        ([0, 1], [2, 3], False),
        (None, [], False),
    ],
)
def test_extended_offset_tables(tmp_path, syntax, offsets, lengths, right):
    path = tmp_path / "a.dcm"
    dataset, streams = compressed(path, syntax)
    data, *tables = encapsulate_extended(streams)
    for name, table, given in zip(
        ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"), tables, (offsets, lengths), strict=True
    ):
        table = table if given is None else struct.pack(f"<{len(given)}Q", *given)
        if table:
            setattr(dataset, name, table)
    save(path, dataset, data)
    stored, notes = read(path)
    np.testing.assert_array_equal(stored, FRAMES)
    assert notes == ([] if right else [ORDER])


def test_a_right_basic_table_stands_in_for_a_wrong_extended_one(tmp_path):
    path = tmp_path / "a.dcm"
    dataset, streams = compressed(path, JPEGLSLossless)
    dataset.ExtendedOffsetTable = dataset.ExtendedOffsetTableLengths = bytes(32)
    save(path, dataset, encapsulate(streams, fragments_per_frame=3))
    stored, notes = read(path)
    np.testing.assert_array_equal(stored, FRAMES)
    assert notes == []


UNUSABLE = [None, b"", b"4.5", b"abc", b"0", b"-4", b"nan", b"1e999"]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
@pytest.mark.parametrize("text", UNUSABLE)
def test_frames_are_counted_where_their_number_is_none(tmp_path, syntax, text):
    compress = "" if syntax == ExplicitVRLittleEndian else syntax
    path = make_dicom(tmp_path / "a.dcm", FRAMES, compress=compress)
    if text is None:
        dataset = dcmread(path)
        del dataset.NumberOfFrames
        dataset.save_as(path)
    else:
        rewrite(path, "NumberOfFrames", "IS", text)
    stored, notes = read(path)
    np.testing.assert_array_equal(stored, FRAMES)
    assert notes == [COUNTED]


@pytest.mark.parametrize("has_table", [True, False])
def test_frames_of_several_fragments_are_counted(tmp_path, has_table):
    path = tmp_path / "a.dcm"
    dataset, streams = compressed(path, JPEG2000Lossless)
    del dataset.NumberOfFrames
    save(path, dataset, encapsulate(streams, fragments_per_frame=3, has_bot=has_table))
    stored, notes = read(path)
    np.testing.assert_array_equal(stored, FRAMES)
    assert notes == [COUNTED]


@pytest.mark.parametrize("text", [b"4.0", b"4,0", b" +4 ", b"4\\9"])
def test_a_number_of_frames_written_another_way(tmp_path, text):
    stored, notes = read(rewrite(make_dicom(tmp_path / "a.dcm", FRAMES), "NumberOfFrames", "IS", text))
    np.testing.assert_array_equal(stored, FRAMES)
    assert notes == ["decimal comma read as a point"] * (b"," in text)


def test_one_frame_needs_no_number(tmp_path):
    path = make_dicom(tmp_path / "a.dcm", FRAMES[:1], NumberOfFrames=None)
    assert header_of(path).facts.num_frames == 1
    assert COUNTED not in facts_of(path).notes


def test_a_file_cut_within_frames_that_are_counted_is_truncated(tmp_path):
    path = make_dicom(tmp_path / "a.dcm", FRAMES, NumberOfFrames=None)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DicomError, match="is truncated: its pixel data ends before frame 3"):
        header_of(path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixel_data_of_unknown_value_representation(tmp_path, syntax, dtype):
    frames = FRAMES.astype(dtype)
    if syntax in (RLELossless, JPEGLSLossless):
        path = make_dicom(tmp_path / "a.dcm", frames, compress=syntax)
    else:
        path = make_dicom(tmp_path / "a.dcm", frames, syntax)
    data = path.read_bytes()
    tag = b"\x7f\xe0\x00\x10" if syntax == ExplicitVRBigEndian else b"\xe0\x7f\x10\x00"
    at = data.rindex(tag)
    path.write_bytes(data[: at + 4] + b"UN" + data[at + 6 :])
    np.testing.assert_array_equal(read(path)[0], frames)


@pytest.mark.parametrize(
    "keyword",
    ["NumberOfFrames", "Rows", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
     "SamplesPerPixel", "PhotometricInterpretation", "Modality", "FrameTime", "PositionerPrimaryAngle",
     "SOPClassUID", "PatientID"],
)  # fmt: skip
def test_known_elements_of_unknown_value_representation(tmp_path, keyword):
    path = make_dicom(tmp_path / "a.dcm", FRAMES)
    before = header_of(path)
    plain = dcmread(path)
    plain.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    plain.save_as(tmp_path / "implicit.dcm", implicit_vr=True, little_endian=True)
    raw = dcmread(tmp_path / "implicit.dcm").get_item(keyword).value
    after = header_of(rewrite(path, keyword, "UN", raw))
    assert (after.facts, after.view, after.patient_id) == (before.facts, before.view, before.patient_id)
    np.testing.assert_array_equal(read(path)[0], FRAMES)
