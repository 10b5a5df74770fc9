import tracemalloc

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from stenoscope.errors import DicomError
from stenoscope.imaging import dicom
from stenoscope.imaging.intensity import to_frame
from tests.imaging.make_dicom import SECONDARY_CAPTURE, facts_of, header_of, lut, make_dicom, ramp, stored_in


def read(path):
    return dicom.read_dicom(path, "clip", "pseudonym of {}".format)


def full(value, dtype=np.uint8, count=3, rows=512, cols=512):
    return np.full((count, rows, cols), value, dtype)


def test_eight_bit_clip_is_read_as_it_is(tmp_path):
    frames = ramp(5, 512, 512)
    clip = read(make_dicom(tmp_path / "a.dcm", frames))
    np.testing.assert_array_equal(clip.frames, frames)
    assert clip.clip_id == "clip" and clip.scale == 1.0
    assert clip.frame_time_ms == 66.7 and clip.view == (-30.0, 25.5)
    assert clip.patient_id == "pseudonym of sentinel-id"
    assert len(clip.source_sha256) == 64


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [8, 12])
def test_compressed_syntaxes(tmp_path, syntax, bits):
    frames = ramp(4, 64, 48, (1 << bits) - 1, np.uint8 if bits == 8 else np.uint16)
    path = make_dicom(tmp_path / "a.dcm", frames, compress=syntax, BitsStored=bits)
    np.testing.assert_array_equal(stored_in(path), frames)


def test_monochrome1_is_inverted(tmp_path):
    frames = ramp(2, 512, 512)
    path = make_dicom(tmp_path / "a.dcm", frames, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(path).frames, 255 - frames)


@pytest.mark.parametrize(
    "elements, value, expected",
    [
        ({"WindowCenter": 1000, "WindowWidth": 401}, 999.5, 128),
        ({"WindowCenter": 1000, "WindowWidth": 401}, 799, 0),
        ({"WindowCenter": 1000, "WindowWidth": 401}, 1200, 255),
        ({"WindowCenter": 1000, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"}, 900, 64),
        ({"WindowCenter": 1000, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"}, 1100, 186),  # 1/(1+e^-1)
        ({"WindowCenter": 0, "WindowWidth": 401, "RescaleSlope": 2, "RescaleIntercept": -2000}, 1050, 192),
        ({"VOILUTSequence": lut(990, range(0, 4096, 256), 12)}, 999, 143),  # entry 9 of 16: 2304 of 4095
        ({"VOILUTSequence": lut(990, range(0, 4096, 256), 12)}, 5, 0),
        ({"VOILUTSequence": lut(990, range(0, 4096, 256), 12)}, 4000, 239),
        (
            {"ModalityLUTSequence": lut(1000, [10, 20, 30], 12), "WindowCenter": 20.5, "WindowWidth": 41},
            1001,
            128,
        ),
        (
            {"WindowCenter": 1000, "WindowWidth": 401, "PhotometricInterpretation": "MONOCHROME1"},
            1100,
            255 - 192,
        ),
    ],
)
def test_known_grey_levels_of_12_bit_files(tmp_path, elements, value, expected):
    frames = full(int(value), np.uint16, 2, 8, 8)
    frames[0] = int(np.ceil(value))
    path = make_dicom(tmp_path / "a.dcm", frames, BitsStored=12, SOPClassUID=SECONDARY_CAPTURE, **elements)
    clip = read(path)
    assert int(clip.frames[0, 0, 0]) == pytest.approx(expected, abs=1)
    assert int(clip.frames[1, 0, 0]) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    "elements, note",
    [
        ({"WindowCenter": [10, 128], "WindowWidth": [1, 256]}, "first of 2 windows"),
        ({"WindowCenter": 128, "WindowWidth": 256}, ""),
        ({"VOILUTSequence": lut(0, range(256), 8) + lut(0, range(256), 8)}, "first of 2 VOI LUTs"),
        (
            {"VOILUTSequence": lut(0, range(256), 8), "WindowCenter": [1, 2, 3], "WindowWidth": [4, 5, 6]},
            "",
        ),
    ],
)
def test_the_first_of_several_windows_is_used_and_that_is_said(tmp_path, elements, note):
    header = header_of(make_dicom(tmp_path / "a.dcm", ramp(), **elements))
    assert [text for text in header.facts.notes if text.startswith("first of")] == [note] * bool(note)


def test_the_first_of_several_windows_of_a_frame_is_said(tmp_path):
    window, shared = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = [9, 8, 7], [6, 5, 4]
    shared.FrameVOILUTSequence = [window]
    elements = {"SharedFunctionalGroupsSequence": [shared], "WindowCenter": 1, "WindowWidth": 2}
    header = header_of(make_dicom(tmp_path / "a.dcm", ramp(), **elements))
    assert "first of 3 windows" in header.facts.notes and header.rendering.voi.center == 9


def test_signed_pixels_with_a_window(tmp_path):
    frames = np.stack([full(v, np.int16, 1, 8, 8)[0] for v in (-100, 0, 100)])
    clip = read(make_dicom(tmp_path / "a.dcm", frames, WindowCenter=0.5, WindowWidth=201))
    assert clip.frames[:, 0, 0].tolist() == [0, 128, 255]


def test_without_voi_the_scale_is_that_of_the_clip_not_of_the_frame(tmp_path):
    frames = np.stack([full(v, np.uint16, 1, 8, 8)[0] for v in (500, 1000, 1500)])
    clip = read(make_dicom(tmp_path / "a.dcm", frames, BitsStored=16))
    assert clip.frames[:, 0, 0].tolist() == [0, 128, 255]
    assert "no VOI" in " ".join(facts_of(tmp_path / "a.dcm").notes)


def test_bits_above_those_stored_do_not_count(tmp_path):
    frames = ramp(2, 16, 16, 4095, np.uint16)
    path = make_dicom(tmp_path / "a.dcm", frames | 0x8000, BitsStored=12)  # an overlay in the high bits
    np.testing.assert_array_equal(stored_in(path), frames)


def test_non_square_source_is_padded_and_resampled(tmp_path):
    frames = full(200, rows=300, cols=400)
    clip = read(make_dicom(tmp_path / "a.dcm", frames))
    assert clip.frames.shape == (3, 512, 512)
    np.testing.assert_array_equal(clip.frames[0], to_frame(frames[0]))
    assert clip.scale == pytest.approx(1.28)
    assert clip.frames[0, 10, 256] == 0 and clip.frames[0, 256, 10] == 200


def test_colour_becomes_grey(tmp_path):
    frames = np.zeros((2, 512, 512, 3), np.uint8)
    frames[..., 1] = 100
    path = make_dicom(tmp_path / "a.dcm", frames)
    assert (read(path).frames == 59).all()  # 0.587 x 100
    assert "colour converted to grey" in facts_of(path).notes


@pytest.mark.parametrize(
    "elements, expected",
    [
        ({"FrameTime": None, "CineRate": 15}, 1000 / 15),
        ({"FrameTime": None, "FrameTimeVector": [0, 40, 40, 80]}, 40),
        ({"FrameTime": None}, None),
        ({"FrameTime": "0"}, None),
    ],
)
def test_frame_time(tmp_path, elements, expected):
    facts = facts_of(make_dicom(tmp_path / "a.dcm", ramp(), **elements))
    assert facts.frame_time_ms == expected and "frame time can't be read" not in facts.notes


@pytest.mark.parametrize(
    "old, new, note",
    [
        (b"66.7", b"6\\77", "frame time can't be read"),
        (b"66.7", b"1e99", "frame time can't be read"),
        (b"66.7", b"-66 ", "frame time can't be read"),
        (b"66.7", b"nan ", "frame time can't be read"),
        (b"66.7", b"0.99", "frame time can't be read"),
        (b"66.7", b"2001", "frame time can't be read"),
        (b"25.5", b"2\\55", "angles can't be read"),
        (b"25.5", b"1e99", "angles can't be read"),
        (b"25.5", b"25.x", "angles can't be read"),
        (b"1\\1 ", b"1x1 ", "pixel aspect ratio can't be read"),
        (b"IS\x02\x007 ", b"IS\x02\x00x ", "part of a run that was split"),
    ],
)
def test_a_malformed_element_that_reading_does_not_need_costs_no_clip(tmp_path, old, new, note):
    path = make_dicom(tmp_path / "a.dcm", ramp(), PixelAspectRatio=["1", "1"])
    dataset = dcmread(path)
    dataset.add_new("InConcatenationNumber", "IS", "7")
    dataset.save_as(path)
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    clip, facts = read(path), facts_of(path)
    part = note if "part" in note else "part 7 of a run that was split"
    assert set(facts.notes) == {"resampled from 16 x 16", part, note}
    assert facts.frame_time_ms == clip.frame_time_ms == (None if "time" in note else 66.7)
    assert clip.view == (None if "angles" in note else (-30.0, 25.5))


def test_another_element_stands_in_for_a_malformed_frame_time(tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp(), CineRate=25)
    path.write_bytes(path.read_bytes().replace(b"66.7", b"66;7"))
    facts = facts_of(path)
    assert facts.frame_time_ms == 40 and "frame time can't be read" not in facts.notes


def test_no_patient_id_gives_none(tmp_path):
    for number, value in enumerate((None, "", "  ")):
        path = make_dicom(tmp_path / f"{number}.dcm", ramp(), PatientID=value)
        assert read(path).patient_id is None
        with dicom.open_clip(path) as clip:
            assert clip.patient(str) is None


@pytest.mark.parametrize(
    "frames, elements, text",
    [
        (ramp(1), {}, "single frame"),
        (ramp(), {"Modality": "RF"}, "of modality RF"),
        (ramp(), {"Modality": "SENTINEL"}, "of modality unknown"),
        (ramp(), {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.1"}, "a volume"),
        (ramp(), {"PhotometricInterpretation": "SENTINEL"}, "photometric interpretation unknown"),
        (ramp(), {"NumberOfFrames": 3}, "holds 4"),
        (ramp(), {"NumberOfFrames": 9}, "holds 4"),
        (ramp(), {"NumberOfFrames": 10**9}, "claims 1000000000 frames"),
        (ramp(), {"Rows": 60000}, "claims"),
        (ramp(), {"PixelData": None}, "no pixel data"),
        (ramp(), {"Rows": None}, "holds no image"),
        (ramp(), {"HighBit": 15}, "from bit 15"),
        (ramp(), {"BitsAllocated": 32}, "in 32"),
        (ramp(), {"PhotometricInterpretation": "PALETTE COLOR"}, "no palette"),
    ],
)
def test_what_is_no_angiogram_is_refused(tmp_path, frames, elements, text):
    path = make_dicom(tmp_path / "a.dcm", frames, **elements)
    with pytest.raises(DicomError) as caught:
        read(path)
    assert text in caught.value.received
    assert str(path) in caught.value.received and caught.value.fix
    assert "entinel" not in str(caught.value).replace(str(path), "")


@pytest.mark.parametrize(
    "count, side, read_it", [(1024, 2048, True), (1025, 2048, False), (8192, 8192, False)]
)
def test_small_files_of_very_many_pixels_are_refused_before_they_are_decoded(tmp_path, count, side, read_it):
    path = make_dicom(tmp_path / "a.dcm", full(0, rows=64, cols=64), compress=JPEG2000Lossless)
    dataset = dcmread(path)
    (frame, *_) = generate_frames(dataset.PixelData, number_of_frames=3)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = count, side, side
    dataset.PixelData = encapsulate([frame] * count)
    dataset.save_as(path)
    if read_it:
        assert header_of(path).facts.num_frames == count
        return
    with pytest.raises(DicomError, match=rf"has {count} frames of {side} x {side}") as caught:
        read(path)
    assert "1,024 frames of 2048 x 2048" in caught.value.expected and path.stat().st_size < 2e6


def test_syntax_that_no_plugin_decodes_is_named(tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp(), compress=RLELossless)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    dataset.save_as(path)
    with pytest.raises(DicomError) as caught:
        read(path)
    assert "MPEG2 Main Profile" in caught.value.received and "export the run again" in caught.value.fix


def test_missing_plugin_is_named(tmp_path, monkeypatch):
    path = make_dicom(tmp_path / "a.dcm", ramp(), compress=RLELossless)
    monkeypatch.setitem(dicom.PLUGINS, RLELossless, ())
    with pytest.raises(DicomError, match=r"RLE Lossless, 8 bits stored \(no plugin\)"):
        read(path)


@pytest.mark.parametrize("compress", ["", RLELossless])
@pytest.mark.parametrize("share", [0.98, 0.9, 0.5, 0.2])
def test_truncated_files(tmp_path, compress, share):
    path = make_dicom(tmp_path / "a.dcm", ramp(6, 64, 64), compress=compress)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DicomError, match=r"truncated|holds|no pixel data"):
        read(path)


def test_fewer_and_more_compressed_frames_than_stated(tmp_path):
    for stated in (2, 3, 5, 40):
        path = make_dicom(tmp_path / f"{stated}.dcm", ramp(4), compress=RLELossless)
        dataset = dcmread(path)
        dataset.NumberOfFrames = stated
        dataset.save_as(path)
        with pytest.raises(DicomError, match=rf"states {stated} frames|damaged"):
            read(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICMgarbage" * 9, b"\0" * 5000]
)
def test_files_that_are_no_dicom(tmp_path, content):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    with pytest.raises(DicomError):
        read(path)
    with pytest.raises(DicomError, match="not a readable file"):
        read(tmp_path / "missing.dcm")


def test_memory_is_that_of_the_grey_frames(tmp_path):
    path = make_dicom(
        tmp_path / "a.dcm", ramp(12, 1024, 1024, 4095, np.uint16), WindowCenter=9, WindowWidth=9
    )
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 512 * 512 + 20e6  # a whole decoded clip would be 25 MB more


def test_real_clip_equals_an_independent_reader(real_data):
    sitk = pytest.importorskip("SimpleITK")
    clip = read(real_data / "rubo" / "0002.DCM")
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(real_data / "rubo" / "0002.DCM")))
    np.testing.assert_array_equal(clip.frames, reference)
    assert clip.frames.shape == (96, 512, 512) and clip.frame_time_ms == 33.0 and clip.view == (-32.0, 2.0)


def test_real_fluoroscopy_is_refused_but_described(real_data):
    path = real_data / "rubo" / "0015.DCM"
    with pytest.raises(DicomError, match="of modality RF"):
        read(path)
    facts = facts_of(path)
    assert (facts.modality, facts.num_frames, facts.rows, facts.cols) == ("RF", 1, 1024, 1024)


def test_real_lossless_syntaxes_decode_alike(real_data):
    folder = real_data / "nema_wg04_xa1"
    reference = stored_in(folder / "XA1_UNC.dcm")
    assert reference.shape == (1, 1024, 1024) and reference.max() < 1024
    for name in ("J2KR", "JLSL", "JPLL", "RLE"):
        np.testing.assert_array_equal(stored_in(folder / f"XA1_{name}.dcm"), reference)


def test_real_12_bit_jpeg_is_a_clear_error(real_data):
    with pytest.raises(DicomError) as caught:
        read(real_data / "nema_wg04_xa1" / "XA1_JPLY.dcm")
    assert "JPEG Extended" in caught.value.received and "dcmdjpeg" in caught.value.fix
