"""Every form in which pixels are stored, beside an independent reader or files whose pixels are known."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels import apply_color_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from stenoscope.errors import DicomError
from stenoscope.imaging import dicom
from tests.imaging.make_dicom import (
    SECONDARY_CAPTURE,
    facts_of,
    item,
    levels,
    lut,
    make_dicom,
    ramp,
    stored_in,
)

NATIVE = (
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
)  # fmt: skip


def read(path):
    return dicom.read_dicom(path, "clip", str)


def grey(path):
    """First pixel of each frame."""
    return read(path).frames[:, 0, 0].tolist()


def notes(path):
    return facts_of(path).notes


def by_sitk(path):
    sitk = pytest.importorskip("SimpleITK")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("dtype, bits", [(np.uint8, 8), (np.uint16, 12), (np.int16, 12), (np.int16, 16)])
@pytest.mark.parametrize("rows, cols", [(64, 48), (15, 17)])
def test_native_pixels_equal_those_of_sitk(tmp_path, syntax, dtype, bits, rows, cols):
    frames = ramp(3, rows, cols, (1 << bits) - 1, np.uint16)
    frames = (frames.astype(np.int32) - (np.dtype(dtype).kind == "i") * (1 << bits - 1)).astype(dtype)
    path = make_dicom(tmp_path / "a.dcm", frames, syntax, BitsStored=bits)
    np.testing.assert_array_equal(stored_in(path), frames)
    np.testing.assert_array_equal(by_sitk(path), frames)


@pytest.mark.parametrize("syntax", NATIVE)
def test_signed_pixels_of_12_bits_below_an_overlay(tmp_path, syntax):
    frames = ramp(2, 16, 16, 4095, np.int16) - np.int16(2048)
    above = (frames & 0x0FFF) | np.int16(0x5000)  # neither zeros nor the sign, as overlays leave them
    np.testing.assert_array_equal(
        stored_in(make_dicom(tmp_path / "a.dcm", above, syntax, BitsStored=12)), frames
    )


def test_big_endian_words_of_8_bit_pixels(tmp_path):
    frames = ramp(3, 15, 17)  # frames of odd length: the words lie across two of them
    path = make_dicom(tmp_path / "a.dcm", frames, ExplicitVRBigEndian)
    dataset = dcmread(path)
    content = frames.tobytes() + b"\0"
    dataset.PixelData = np.frombuffer(content, "u2").byteswap().tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path)
    np.testing.assert_array_equal(stored_in(path), frames)


def jpegs(frames):
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, format="JPEG", quality=95)
        yield stream.getvalue()


def compressed(path, syntax):
    """A clip of 3 frames, its codestreams, and the frames: as encoded, or as another decoder has them."""
    frames = ramp(3, 64, 48)
    if syntax == JPEGBaseline8Bit:
        streams = list(jpegs(frames))
        frames = np.stack([np.asarray(Image.open(io.BytesIO(stream))) for stream in streams])
        dataset = dcmread(make_dicom(path, frames))
        dataset.file_meta.TransferSyntaxUID = syntax
        return dataset, streams, frames
    dataset = dcmread(make_dicom(path, frames, compress=syntax))
    return dataset, list(generate_frames(dataset.PixelData, number_of_frames=3)), frames


@pytest.mark.parametrize(
    "table, pieces, syntax",
    [
        (table, pieces, syntax)
        for table, pieces in [("basic", 1), ("basic", 3), ("empty", 1), ("empty", 3), ("extended", 1)]
        for syntax in (RLELossless, JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless)
        if pieces == 1 or syntax != RLELossless  # a frame is one fragment (PS3.5 A.4.2), with both tables
    ],
)
def test_frames_in_several_fragments(tmp_path, table, pieces, syntax):
    path = tmp_path / "a.dcm"
    dataset, streams, frames = compressed(path, syntax)
    if table == "extended":
        content, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
            streams
        )
    else:
        content = encapsulate(streams, fragments_per_frame=pieces, has_bot=table == "basic")
    dataset.PixelData = content
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    np.testing.assert_array_equal(stored_in(path), frames)


def test_jpeg_lossless_in_several_fragments(tmp_path):
    gdcm = pytest.importorskip("gdcm")
    frames, path = ramp(3, 64, 48, 4095, np.uint16), tmp_path / "a.dcm"
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(make_dicom(path, frames, BitsStored=12)))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    np.testing.assert_array_equal(stored_in(path), frames)
    dataset = dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    streams = list(generate_frames(dataset.PixelData, number_of_frames=3))
    for has_table in (True, False):
        dataset.PixelData = encapsulate(streams, fragments_per_frame=4, has_bot=has_table)
        dataset.save_as(path)
        np.testing.assert_array_equal(stored_in(path), frames)


@pytest.mark.parametrize("syntax", NATIVE)
def test_luts_whose_input_begins_below_zero(tmp_path, syntax):
    frames = levels(-200, -100, -99, 0, 100, dtype=np.int16)
    modality = lut(-100, range(0, 402, 2), 12)  # x -> 2 (x + 100)
    voi = lut(0, range(0, 4096, 10), 12)  # x -> 10 x
    for sequence in (modality, voi):
        if syntax == ExplicitVRBigEndian:
            sequence[0].LUTData = np.frombuffer(sequence[0].LUTData, "<u2").byteswap().tobytes()
    path = make_dicom(
        tmp_path / "a.dcm", frames, syntax, ModalityLUTSequence=modality, VOILUTSequence=voi, BitsStored=12,
        SOPClassUID=SECONDARY_CAPTURE,
    )  # fmt: skip
    expected = [round(255 * 10 * 2 * (x + 100) / 4095) for x in (-100, -100, -99, 0, 100)]
    assert grey(path) == expected == [0, 0, 1, 125, 249]


def test_voi_lut_after_a_rescale_below_zero(tmp_path):
    voi = lut(-50, range(0, 1010, 10), 10)  # after the rescale, -50 to 50 become 0 to 1000 of 1023
    path = make_dicom(
        tmp_path / "a.dcm", levels(900, 950, 1000, 1050), ImplicitVRLittleEndian, BitsStored=12,
        RescaleSlope=1, RescaleIntercept=-1000, VOILUTSequence=voi, SOPClassUID=SECONDARY_CAPTURE,
    )  # fmt: skip
    assert grey(path) == [0, 0, round(255 * 500 / 1023), round(255 * 1000 / 1023)]


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    "dtype, padding, limit, values",
    [
        (np.uint16, 0, None, (0, 500, 1000)),
        (np.uint16, 4095, 4000, (4000, 4095, 500, 1000)),
        (np.int16, -2048, None, (-2048, -500, 500)),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_out_of_the_range(tmp_path, syntax, dtype, padding, limit, values, photometric):
    elements = {"PixelPaddingValue": padding, "PhotometricInterpretation": photometric, "BitsStored": 12}
    if limit is not None:
        elements["PixelPaddingRangeLimit"] = limit
    path = make_dicom(tmp_path / "a.dcm", levels(*values, dtype=dtype), syntax, **elements)
    ends = [0, 255] if photometric == "MONOCHROME2" else [255, 0]
    assert grey(path) == [0] * (len(values) - 2) + ends
    assert "padding shown black" in notes(path)


def test_a_frame_of_padding_alone(tmp_path):
    path = make_dicom(tmp_path / "a.dcm", levels(0, 7, 9), BitsStored=12, PixelPaddingValue=0)
    assert grey(path) == [0, 0, 255]
    assert grey(make_dicom(tmp_path / "b.dcm", levels(0, 0), BitsStored=12, PixelPaddingValue=0)) == [0, 0]


def test_monochrome1_turns_the_windowed_values_round(tmp_path):
    for function, expected in [("LINEAR_EXACT", (255, 191, 0)), ("SIGMOID", (225, 186, 30))]:
        path = make_dicom(
            tmp_path / "a.dcm", levels(800, 900, 1200), BitsStored=12, WindowCenter=1000, WindowWidth=400,
            VOILUTFunction=function, PhotometricInterpretation="MONOCHROME1",
        )  # fmt: skip
        assert grey(path) == pytest.approx(expected, abs=1)  # 225 is 255 (1 - 1 / (1 + e^2))
    assert "MONOCHROME1 inverted" in notes(path)


@pytest.mark.parametrize(
    "elements, note",
    [
        ({"MaskSubtractionSequence": [item(MaskOperation="AVG_SUB", MaskFrameNumbers=[1])]},
         "subtraction mask (not applied)"),
        ({"RecommendedViewingMode": "SUB"}, "meant to be shown subtracted, read as it is stored"),
        ({"InConcatenationNumber": 2}, "part 2 of a run that was split"),
        ({"PositionerMotion": "DYNAMIC"}, "C-arm turns during the run"),
        ({"PixelAspectRatio": ["4", "3"]}, "pixels are not square, shown as if they were"),
    ],
)  # fmt: skip
def test_what_the_user_is_told(tmp_path, elements, note):
    frames = ramp(2, 512, 512)
    path = make_dicom(tmp_path / "a.dcm", frames, **elements)
    np.testing.assert_array_equal(read(path).frames, frames)  # nothing is applied
    assert notes(path) == (note,)
    assert notes(make_dicom(tmp_path / "b.dcm", frames)) == ()


def test_palette_colour_equals_pydicom(tmp_path):
    rng = np.random.default_rng(0)
    frames = ramp(2, 512, 512)
    elements = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [200, 10, 16]
        elements[f"{name}PaletteColorLookupTableData"] = rng.integers(0, 1 << 16, 200).astype("<u2").tobytes()
    path = make_dicom(tmp_path / "a.dcm", frames, **elements)
    expected = apply_color_lut(frames, dcmread(path)) @ [0.299, 0.587, 0.114] / 65535 * 255
    np.testing.assert_allclose(read(path).frames, expected, atol=0.51)
    assert "colour converted to grey" in notes(path)
    dataset = dcmread(path)
    del dataset.GreenPaletteColorLookupTableData
    dataset.save_as(path)
    with pytest.raises(DicomError, match="has no palette"):
        read(path)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_colour_secondary_captures_equal_those_of_sitk(tmp_path, planar, syntax):
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 24, 3), np.uint8)
    path = make_dicom(
        tmp_path / "a.dcm", frames, syntax if syntax != RLELossless else ExplicitVRLittleEndian,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4", PlanarConfiguration=0,
    )  # fmt: skip
    dataset = dcmread(path)
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)  # planes, whatever the header says
    elif planar:
        dataset.PixelData = frames.transpose(0, 3, 1, 2).tobytes()
    dataset.PlanarConfiguration = planar
    dataset.save_as(path)
    np.testing.assert_array_equal(stored_in(path), frames)
    np.testing.assert_array_equal(by_sitk(path), frames)
    assert "colour converted to grey" in notes(path) and len(read(path).frames) == 2


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_ybr_becomes_the_grey_of_its_luminance(tmp_path, photometric):
    frames = np.full((2, 512, 512, 3), 128, np.uint8)  # no chrominance: the grey is Y (PS3.3 C.7.6.3.1.2)
    frames[..., 0] = ramp(2, 512, 512)
    if photometric == "YBR_FULL_422":
        frames[:, :, 1::2, 0] = frames[:, :, ::2, 0]
    content = frames.tobytes()
    if photometric == "YBR_FULL_422":  # Y1 Y2 Cb Cr for every two pixels
        pairs = np.full((2, 512, 256, 4), 128, np.uint8)
        pairs[..., 0], pairs[..., 1] = frames[:, :, ::2, 0], frames[:, :, 1::2, 0]
        content = pairs.tobytes()
    path = make_dicom(tmp_path / "a.dcm", frames, PhotometricInterpretation=photometric, PixelData=content)
    np.testing.assert_allclose(read(path).frames.astype(int), frames[..., 0], atol=1)


@pytest.mark.parametrize("rows, cols, scale", [(1024, 1024, 0.5), (600, 1000, 0.512), (300, 200, 512 / 300)])
def test_other_sizes_are_resampled_and_said(tmp_path, rows, cols, scale):
    frames = ramp(2, rows, cols, 4095, np.uint16)
    path = make_dicom(tmp_path / "a.dcm", frames, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(by_sitk(path), stored_in(path))
    clip = read(path)
    assert clip.frames.shape == (2, 512, 512) and clip.scale == pytest.approx(scale)
    assert f"resampled from {rows} x {cols}" in notes(path)
