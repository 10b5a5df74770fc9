"""Technical headers of DICOM files, checked before anything is decoded or allocated.

Only the elements in `_TAGS` are read: pixel description, timing, angles and the patient's id, which is passed
on only through a pseudonymizer. Error messages name technical values from closed lists and never quote header
text or a library's message about it.
"""

import contextlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from stenoscope.errors import DicomError
from stenoscope.imaging import display, functional_groups, pixel_data
from stenoscope.imaging.bounded import BoundedReader
from stenoscope.imaging.elements import numbers, read_elements, text
from stenoscope.imaging.facts import MAX_FRAMES, MAX_SIDE, Facts, too_many_pixels
from stenoscope.imaging.intensity import Rendering, RenderingError
from stenoscope.imaging.pixel_data import VIDEO_SYNTAXES, PixelData, check_pixels, find_pixels
from stenoscope.imaging.quiet import quiet
from stenoscope.records import FRAME_SIZE
from stenoscope.run.access import check_file, is_file

MODALITIES = frozenset({
    "CR", "CT", "DX", "ECG", "ES", "HD", "IVOCT", "IVUS", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "PX",
    "REG", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SC", "SEG", "SM", "SR", "US", "XA", "XC",
})  # fmt: skip
"""Terms of Modality (PS3.3 C.7.3.1.1.1) that are reported by name; any other is 'unknown'."""

_ONE_SAMPLE = frozenset(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"))
_COLOUR = frozenset(
    ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420")
)
_TAGS = [
    "SOPClassUID", "Modality", "PatientID", "NumberOfFrames", "Rows", "Columns", "PixelAspectRatio",
    "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated", "HighBit", "MaskSubtractionSequence",
    "RecommendedViewingMode", "InConcatenationNumber", *functional_groups.TAGS, *display.TAGS,
    *pixel_data.TAGS,
]  # fmt: skip
_XA_VOLUME = "1.2.840.10008.5.1.4.1.1.13.1.1"  # X-Ray 3D Angiographic: slices, not frames in time
_MAX_INFLATION = 32  # an angiogram grows tenfold when inflated, hostile bytes grow a thousandfold
_ALWAYS_INFLATED = 64 << 20  # bytes, whatever the size of the file

# What pydicom and its plugins raise on damaged files, found by reading and by mutating files.
LIBRARY_ERRORS = (
    InvalidDicomError, BytesLengthException, AttributeError, ValueError, TypeError, LookupError, RuntimeError,
    ArithmeticError, AssertionError, OSError, EOFError, MemoryError, SyntaxError, struct.error, zlib.error,
)  # fmt: skip
_RUST_PANICS = "pyo3_runtime"  # the RLE decoder's PanicException, a BaseException that can't be imported


@dataclass(frozen=True)
class Header:
    """A checked header: what decoding needs and nothing that identifies a person but `patient_id`.

    Attributes
    ----------
    facts : Facts
    photometric : str
    bits_allocated, bits_stored, samples : int
    renderings : tuple of Rendering
        One for all frames, or one for each; none for RGB and YBR.
    view : tuple of float or None
        Primary and secondary positioner angle, degrees.
    patient_id : str
        As the file has it; pass it on only through a pseudonymizer.
    syntax : str
        UID of the transfer syntax of the pixels.
    pixels : PixelData
    frame_table : dict or None
        See `PixelData.frame_table`; None for native pixels, too.
    planar : int
        Planar configuration of colour images.
    """

    facts: Facts
    photometric: str
    bits_allocated: int
    bits_stored: int
    samples: int
    renderings: tuple[Rendering, ...]
    view: tuple[float, float] | None
    patient_id: str
    syntax: str
    pixels: PixelData
    frame_table: dict | None
    planar: int

    @property
    def rendering(self) -> Rendering | None:
        """That of the first frame."""
        return next(iter(self.renderings), None)


def has_magic(path: str | os.PathLike) -> bool:
    """Whether it is a file that has ``DICM`` at byte 128 (PS3.10 7.1)."""
    if not is_file(Path(path)):  # opening a named pipe would wait without end
        return False
    try:
        with Path(path).open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_header(path: str | os.PathLike) -> Header:
    """Read and check the technical header.

    Raises
    ------
    DicomError
        If it is no X-ray angiogram in DICOM, damaged, without pixel data, or its pixels can't be read.
    """
    path = Path(path)
    with reporting(path, "reading its header"), open_dicom(path, header=True) as (stream, syntax):
        dataset, facts = _read(path, stream, syntax)
        return _check_header(path, dataset, facts, syntax, stream)


def read_facts(path: str | os.PathLike) -> Facts:
    """Technical facts from the header alone, as far as it has them.

    Raises
    ------
    DicomError
        If it is no DICOM file or damaged; not if it merely can't be used.
    """
    path = Path(path)
    with contextlib.suppress(DicomError):
        return read_header(path).facts
    with reporting(path, "reading its header"), open_dicom(path, header=True) as (stream, syntax):
        return _read(path, stream, syntax)[1]


@contextlib.contextmanager
def open_dicom(path: Path, header: bool = False) -> Iterator[tuple[BinaryIO, str]]:
    """Open a DICOM file for reading; yields the stream and the UID of its transfer syntax.

    A deflated file (PS3.5 A.5) is inflated into memory, with a bound, and then reads as an explicit one. With
    `header`, more than any header needs can't be read (see `BoundedReader`).
    """
    check_file(path)
    if not has_magic(path):
        raise DicomError(
            f"{path} is not a DICOM file.",
            "the letters DICM at byte 128",
            "leave it out; a file without the DICOM preamble can be repaired with `gdcmconv IN OUT`.",
        )
    with path.open("rb") as file:
        meta = _read_meta(BoundedReader(file, header=True))
    syntax = str(meta.get("TransferSyntaxUID") or "")
    if not UID(syntax).is_transfer_syntax:
        raise DicomError(
            f"{path} names no known transfer syntax.",
            "a transfer syntax of the DICOM standard",
            "export the file in a standard syntax, for example Explicit VR Little Endian.",
        )
    with path.open("rb") as file, io.BytesIO() as inflated:  # which must not outlive a failure
        if syntax != DeflatedExplicitVRLittleEndian:
            yield BoundedReader(file, header), syntax
            return
        file.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))  # preamble, DICM, the length itself
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        limit = max(_ALWAYS_INFLATED, _MAX_INFLATION * path.stat().st_size)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        inflated.write(bytes(128) + b"DICM")
        write_file_meta_info(inflated, meta)
        while not inflater.eof and inflated.tell() < limit and (packed := file.read(1 << 16)):
            inflated.write(inflater.decompress(packed))
        if not inflater.eof:
            raise ValueError("truncated, or larger than any clip")
        yield BoundedReader(inflated, header), syntax


def _read_meta(stream: BinaryIO) -> FileMetaDataset:
    """File Meta Information (PS3.10 7.1), explicit VR little endian; some makers wrote it implicit."""
    stream.seek(136)
    implicit = not stream.read(2).isalpha()
    stream.seek(132)
    return FileMetaDataset(read_dataset(stream, implicit, True, stop_when=lambda tag, *_: tag >> 16 != 2))


@contextlib.contextmanager
def reporting(path: Path, doing: str) -> Iterator[None]:
    """Turn what the libraries raise into a DicomError, and keep them quiet: their messages quote headers."""
    try:
        with quiet():
            yield
    except DicomError:
        raise
    except BaseException as problem:
        if not isinstance(problem, LIBRARY_ERRORS) and type(problem).__module__ != _RUST_PANICS:
            raise
        raise DicomError(
            f"{path} is damaged: {doing} failed ({type(problem).__name__}).",
            "a valid multi-frame XA file",
            "copy or export it again.",
        ) from None


def _read(path: Path, stream: BinaryIO, syntax: str) -> tuple[Dataset, Facts]:
    """The header's elements, and what they say, checked or not; leaves the stream at the pixel data."""
    dataset, mended = read_elements(stream, _TAGS)
    if not dataset.get("SOPClassUID"):
        dataset.SOPClassUID = dataset.file_meta.get("MediaStorageSOPClassUID") or ""
    rows, cols = (
        None if dataset.get(name) is None else int(dataset[name].value) for name in ("Rows", "Columns")
    )
    num_frames = None
    if rows is not None:
        num_frames = _stated_frames(dataset)
        if num_frames is None:
            here = stream.tell()
            num_frames = 1
            with contextlib.suppress(DicomError, *LIBRARY_ERRORS):
                pixels = find_pixels(path, stream, UID(_decoded_as(syntax)))
                num_frames = pixels.count(stream, _frame_bytes(dataset))
            stream.seek(here)
            if "NumberOfFrames" in dataset or num_frames > 1:
                mended.append("frames counted: NumberOfFrames is missing or no whole number")
    modality = text(dataset, "Modality")
    photometric = text(dataset, "PhotometricInterpretation")
    name = UID(syntax).name
    notes = ["colour converted to grey"] if photometric in _COLOUR else []
    notes += ["MONOCHROME1 inverted"] if photometric == "MONOCHROME1" else []
    notes += ["subtraction mask (not applied)"] if dataset.get("MaskSubtractionSequence") else []
    if text(dataset, "RecommendedViewingMode") == "SUB":
        notes.append("meant to be shown subtracted, read as it is stored")
    notes += functional_groups.read_notes(dataset)
    if part := numbers(dataset.get("InConcatenationNumber")):
        known = len(part) == 1 and not math.isnan(part[0])
        notes.append(f"part {part[0]:g} of a run that was split" if known else "part of a run that was split")
    if sides := numbers(dataset.get("PixelAspectRatio")):
        if len(sides) != 2 or any(math.isnan(side) for side in sides):
            notes.append("pixel aspect ratio can't be read")
        elif sides[0] != sides[1]:
            notes.append("pixels are not square, shown as if they were")
    notes += [f"resampled from {rows} x {cols}"] if (rows, cols) != (FRAME_SIZE, FRAME_SIZE) else []
    facts = Facts(
        num_frames=num_frames,
        rows=rows,
        cols=cols,
        frame_time_ms=functional_groups.read_frame_time(dataset),
        transfer_syntax="unknown transfer syntax" if name == syntax else name,
        modality=modality if modality in MODALITIES else "unknown",
        notes=tuple(notes + mended),
    )
    return dataset, facts


def _decoded_as(syntax: str) -> str:
    """The transfer syntax that pixels have when `open_dicom` has opened a file of `syntax`."""
    return str(ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax)


def _stated_frames(dataset: Dataset) -> int | None:
    """NumberOfFrames, None if it is missing or no positive whole number."""
    count = next(iter(numbers(dataset.get("NumberOfFrames"))), 0.0)
    return int(count) if count >= 1 and count == int(count) else None


def _whole(dataset: Dataset, keyword: str, default: int) -> int:
    """First value of an element, `default` if it is missing or no number."""
    value = next(iter(numbers(dataset.get(keyword))), math.nan)
    return default if math.isnan(value) else int(value)


def _frame_bytes(dataset: Dataset) -> int:
    """Bytes of a frame of native pixel data."""
    samples = _whole(dataset, "SamplesPerPixel", 1)
    bits = int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.BitsAllocated)
    halved = text(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
    return (bits * 2 // 3 if halved else bits) // 8


def _check_header(path: Path, dataset: Dataset, facts: Facts, syntax: str, stream: BinaryIO) -> Header:
    """The header of an X-ray angiogram, or a DicomError; `stream` stands at the pixel data."""
    rows, cols, count = facts.rows, facts.cols, facts.num_frames
    if rows is None:
        raise DicomError(f"{path} holds no image.", "a multi-frame XA file", "leave it out.")
    volume = dataset.get("SOPClassUID") == _XA_VOLUME
    if facts.modality != "XA" or volume:
        raise DicomError(
            f"{path} is {'a volume' if volume else f'of modality {facts.modality}'}.",
            "modality XA (X-ray angiography), frames in time",
            "leave it out; if it is a coronary angiography run anyway, set its Modality: "
            "`dcmodify -m Modality=XA FILE` (DCMTK).",
        )
    if not (0 < rows <= MAX_SIDE and 0 < cols <= MAX_SIDE and 0 < count <= MAX_FRAMES):
        raise DicomError(
            f"{path} claims {count} frames of {rows} x {cols} pixels.",
            f"1 to {MAX_FRAMES} frames of at most {MAX_SIDE} x {MAX_SIDE}",
            "check the header; split a longer run.",
        )
    if problem := too_many_pixels(path, count, rows, cols):
        raise problem
    samples, allocated = _whole(dataset, "SamplesPerPixel", 1), int(dataset.BitsAllocated)
    stored = _whole(dataset, "BitsStored", allocated) or allocated
    high_bit = _whole(dataset, "HighBit", stored - 1)
    photometric = text(dataset, "PhotometricInterpretation")
    table = photometric in _ONE_SAMPLE and samples == 1
    colour = photometric in _COLOUR - _ONE_SAMPLE and samples == 3 and (allocated, stored) == (8, 8)
    if not (table or colour):
        known = photometric if photometric in (_ONE_SAMPLE | _COLOUR) else "unknown"
        raise DicomError(
            f"{path} has photometric interpretation {known}, {samples} samples of {allocated} bits a pixel.",
            "MONOCHROME1, MONOCHROME2 or PALETTE COLOR, or 8-bit RGB or YBR",
            "export the run as greyscale.",
        )
    if allocated not in (8, 16) or not 1 <= stored <= allocated or high_bit != stored - 1:
        raise DicomError(
            f"{path} stores {stored} bits from bit {high_bit} down, in {allocated}.",
            "8 or 16 bits allocated and the stored bits at their low end",
            "export the run again.",
        )
    dataset.BitsStored, dataset.PhotometricInterpretation = stored, photometric
    dataset.PixelRepresentation = _whole(dataset, "PixelRepresentation", 0)
    try:
        renderings = functional_groups.read_renderings(dataset, count) if table else ()
    except RenderingError as problem:
        raise DicomError(
            f"{path} has {problem}.", "windows and tables as PS3.3 C.11 has them", "export the run again."
        ) from None
    notes = [note for rendering in renderings for note in rendering.notes]
    if any(rendering.needs_range for rendering in renderings):
        notes.append("no VOI: shown from the clip's smallest to its largest value")
    if len(renderings) > 1:
        notes.append("each frame shown in its own window")
    if any(rendering.padding for rendering in renderings):
        notes.append("padding shown black")
    pixels = find_pixels(path, stream, UID(_decoded_as(syntax)))
    is_video = syntax.startswith(VIDEO_SYNTAXES)  # whose fragments are no frames
    check_pixels(path, pixels, 1 if is_video else count, _frame_bytes(dataset))
    frame_table = pixels.frame_table(dataset, count) if pixels.fragments else None
    if pixels.fragments and frame_table is None and not is_video:
        notes.append("offset table is wrong: frames read in the order of their fragments")
    return Header(
        facts=replace(facts, notes=tuple(dict.fromkeys([*facts.notes, *notes]))),
        photometric=photometric,
        bits_allocated=allocated,
        bits_stored=stored,
        samples=samples,
        renderings=renderings,
        view=functional_groups.read_view(dataset),
        patient_id=str(dataset.get("PatientID") or "").strip(),
        syntax=_decoded_as(syntax),
        pixels=pixels,
        frame_table=frame_table,
        planar=int(_whole(dataset, "PlanarConfiguration", 0) == 1),
    )
