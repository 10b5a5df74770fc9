"""Valid DICOM clips in every transfer syntax that can be written here, taken apart for `damage.py`."""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.imaging.make_dicom import lut, make_dicom, ramp

PLANTED = ("Xq7Xq7Xq7Xq7Xq7Xq7", "19370219", "1.2.424242424242.424242424242")
"""Text, date and UID of the person in every original."""

TRACES = ("Xq7", "q7X", "7Xq", "19370219", "424242")
"""What of them a damaged file can still show."""

TEXT, _DATE, _UID = PLANTED
PERSON = {
    **dict.fromkeys(
        ("PatientName", "PatientID", "PatientAddress", "PatientComments", "InstitutionName",
         "ReferringPhysicianName", "OperatorsName", "StationName", "DeviceSerialNumber", "AccessionNumber",
         "StudyID", "StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments"),
        TEXT[:16],
    ),
    **dict.fromkeys(("PatientBirthDate", "StudyDate", "SeriesDate", "ContentDate"), _DATE),
    **dict.fromkeys(("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"), _UID),
}  # fmt: skip

PIXELS = (0x7FE0, 0x0010)
LONG = frozenset((b"OB", b"OW", b"OL", b"OF", b"OD", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"UV", b"SV"))
ITEM, ITEM_END, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True)
class Original:
    """A valid clip.

    Attributes
    ----------
    name : str
    data : bytes
        The file; of a deflated one, with its body inflated.
    syntax : UID
    body : int
        Where the data set begins, after the file meta information.
    elements : list of (int, int, bytes)
        Of each element of the data set: where it and where its value begin, and its value representation.
    """

    name: str
    data: bytes
    syntax: UID
    body: int
    elements: list[tuple[int, int, bytes]]

    @property
    def intact(self) -> bytes:
        """The file as it was written."""
        if self.syntax != DeflatedExplicitVRLittleEndian:
            return self.data
        return self.data[: self.body] + deflate(self.data[self.body :])

    @property
    def order(self) -> str:
        """Byte order of the data set, for `struct`."""
        return "<" if self.syntax.is_little_endian else ">"

    def tag(self, at: int) -> tuple[int, int]:
        """Group and element number of the element that begins at a byte."""
        return struct.unpack(self.order + "HH", self.data[at : at + 4])


def originals(folder: Path) -> list[Original]:
    """Write the valid clips into `folder` and take them apart."""
    eight, twelve = ramp(3, 32, 32), ramp(3, 40, 32, 4095, np.uint16)
    signed = ramp(3, 32, 40, 2000, np.int16) - np.int16(1000)
    colour = np.repeat(eight[..., None], 3, axis=-1)
    window = {"WindowCenter": "1000.5", "WindowWidth": "401", "BitsStored": 12}
    luts = {
        "BitsStored": 12,
        "ModalityLUTSequence": lut(0, range(4096), 16),
        "VOILUTSequence": lut(990, range(0, 4096, 256), 12),
    }
    macro, position, group = Dataset(), Dataset(), Dataset()
    macro.WindowCenter, macro.WindowWidth = 1000, 401
    position.PositionerPrimaryAngle, position.PositionerSecondaryAngle = 12.5, -3.0
    group.FrameVOILUTSequence, group.PositionerPositionSequence = [macro], [position]
    enhanced = {
        "BitsStored": 12,
        "SharedFunctionalGroupsSequence": [group],
        "PerFrameFunctionalGroupsSequence": [Dataset(), Dataset(), Dataset()],
    }
    vector = {"FrameTime": None, "FrameTimeVector": [0, 40, 40]}
    plans = {
        "implicit": (eight, {"syntax": ImplicitVRLittleEndian}),
        "explicit": (twelve, window),
        "big endian": (twelve, {"syntax": ExplicitVRBigEndian, **luts}),
        "deflated": (signed, {"syntax": DeflatedExplicitVRLittleEndian, **vector}),
        "luts": (twelve, luts),
        "enhanced": (twelve, enhanced),
        "colour": (colour, {}),
        "RLE": (eight, {"compress": RLELossless}),
        "RLE 12": (twelve, {"compress": RLELossless, **window}),
        "RLE colour": (colour, {"compress": RLELossless}),
        "JPEG-LS": (eight, {"compress": JPEGLSLossless}),
        "JPEG-LS 12": (twelve, {"compress": JPEGLSLossless, **window}),
        "JPEG 2000": (eight, {"compress": JPEG2000Lossless}),
        "JPEG 2000 12": (twelve, {"compress": JPEG2000Lossless, "BitsStored": 12}),
        "JPEG 2000 colour": (colour, {"compress": JPEG2000Lossless, "PhotometricInterpretation": "RGB"}),
    }
    made = []
    for name, (frames, options) in plans.items():
        path = make_dicom(folder / f"{name}.dcm", frames, **{**PERSON, **options})
        made.append(_take_apart(name, path.read_bytes()))
    jpegs = [_jpeg(frame) for frame in eight]
    extended = [jpeg.replace(b"\xff\xc0", b"\xff\xc1", 1) for jpeg in jpegs]
    halves = pixel_items(b"", [part for jpeg in jpegs for part in (jpeg[:200], jpeg[200:])]) + end_of_pixels()
    made += [
        _encapsulated("JPEG", folder, eight, JPEGBaseline8Bit, encapsulate(jpegs)),
        _encapsulated(
            "JPEG extended", folder, eight, JPEGExtended12Bit, encapsulate(extended, has_bot=False)
        ),
        _encapsulated("fragments", folder, eight, JPEGBaseline8Bit, halves),
        _offset_table("extended offset table", folder, eight, jpegs),
        _lossless("JPEG lossless", folder, eight),
        _lossless("JPEG lossless 12", folder, twelve, BitsStored=12),
    ]
    return made


def _take_apart(name: str, data: bytes) -> Original:
    dataset = dcmread(io.BytesIO(data))
    syntax = dataset.file_meta.TransferSyntaxUID
    body = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    if syntax == DeflatedExplicitVRLittleEndian:
        data = data[:body] + zlib.decompress(data[body:], -zlib.MAX_WBITS)
    return Original(name, data, syntax, body, list(_elements(data, body, syntax)))


def _elements(data: bytes, at: int, syntax: UID):
    """Elements of the top level (PS3.5 7.1): where each and its value begin, and its VR."""
    order = "<" if syntax.is_little_endian else ">"
    dataset = dcmread(io.BytesIO(data)) if syntax.is_implicit_VR else None
    while at < len(data):
        kind = data[at + 4 : at + 6]
        if dataset is not None:
            kind = dataset[struct.unpack(order + "HH", data[at : at + 4])].VR[:2].encode()
            begin, form = at + 8, "L"
        else:
            begin, form = (at + 12, "L") if kind in LONG else (at + 8, "H")
        yield at, begin, kind
        (length,) = struct.unpack(order + form, data[begin - struct.calcsize(order + form) : begin])
        if length == 0xFFFFFFFF:  # the pixels, or a sequence, which pydicom writes with its length
            return
        at = begin + length


def _encapsulated(name: str, folder: Path, frames, syntax, pixels: bytes, **elements) -> Original:
    path = make_dicom(folder / f"{name}.dcm", frames, **{**PERSON, **elements})
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pixels
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    stream = io.BytesIO()
    dcmwrite(stream, dataset)
    return _take_apart(name, stream.getvalue())


def _offset_table(name: str, folder: Path, frames, jpegs: list[bytes]) -> Original:
    pixels, offsets, lengths = encapsulate_extended(jpegs)
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    return _encapsulated(name, folder, frames, JPEGBaseline8Bit, pixels, **tables)


def _lossless(name: str, folder: Path, frames, **elements) -> Original:
    import gdcm

    path = make_dicom(folder / f"{name}.dcm", frames, **{**PERSON, **elements})
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()
    jpegs = list(generate_frames(dcmread(path).PixelData, number_of_frames=len(frames)))
    return _encapsulated(name, folder, frames, JPEGLosslessSV1, encapsulate(jpegs), **elements)


def _jpeg(frame: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, format="JPEG", quality=90)
    return stream.getvalue()


def pixel_items(table: bytes, fragments: list[bytes]) -> bytes:
    """An offset table and fragments as items (PS3.5 A.4)."""
    padded = [table, *(fragment + b"\0" * (len(fragment) % 2) for fragment in fragments)]
    return b"".join(ITEM + struct.pack("<L", len(item)) + item for item in padded)


def end_of_pixels() -> bytes:
    """The Sequence Delimitation Item (PS3.5 A.4)."""
    return DELIMITER + bytes(4)


def deflate(data: bytes) -> bytes:
    """Deflated as PS3.5 A.5 wants it: without a zlib header."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()
