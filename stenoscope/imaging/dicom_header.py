"""Technical headers of DICOM files, checked before anything is decoded or allocated.

Only the elements in `_TAGS` are read: pixel description, timing, angles and the patient's id, which is passed
on only through a pseudonymizer. Error messages name technical values from closed lists and never quote header
text or a library's message about it.
"""

import contextlib
import io
import logging
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import parse_fragments
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from stenoscope.errors import DicomError
from stenoscope.imaging import intensity
from stenoscope.imaging.facts import MAX_FRAMES, MAX_SIDE, Facts
from stenoscope.records import FRAME_SIZE

MODALITIES = frozenset({
    "CR", "CT", "DX", "ECG", "ES", "HD", "IVOCT", "IVUS", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "PX",
    "RF", "RG", "RTIMAGE", "SC", "SEG", "SM", "SR", "US", "XA", "XC",
})  # fmt: skip
"""Terms of Modality (PS3.3 C.7.3.1.1.1) that are reported by name; any other is 'unknown'."""

_PHOTOMETRIC = frozenset(
    ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420")
)
_TAGS = [
    "SOPClassUID", "Modality", "PatientID", "NumberOfFrames",
    "FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate",
    "PositionerPrimaryAngle", "PositionerSecondaryAngle", "PositionerPositionSequence",
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelIntensityRelationship", "ModalityLUTSequence", "RescaleSlope",
    "RescaleIntercept", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "MaskSubtractionSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_XA_VOLUME = "1.2.840.10008.5.1.4.1.1.13.1.1"  # X-Ray 3D Angiographic: slices, not frames in time
_MAX_INFLATED = 4 << 30  # bytes; a deflated file can grow a thousandfold

# What pydicom and its plugins raise on damaged files, found by reading and by mutating files.
LIBRARY_ERRORS = (
    InvalidDicomError, BytesLengthException, AttributeError, ValueError, TypeError, LookupError, RuntimeError,
    ArithmeticError, AssertionError, OSError, EOFError, MemoryError, SyntaxError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """A checked header: what decoding needs and nothing that identifies a person but `patient_id`.

    Attributes
    ----------
    facts : Facts
    photometric : str
    bits_allocated, bits_stored, samples : int
    rendering : Rendering or None
        None for colour images.
    view : tuple of float or None
        Primary and secondary positioner angle, degrees.
    patient_id : str
        As the file has it; pass it on only through a pseudonymizer.
    syntax : str
        UID of the transfer syntax of the pixels.
    """

    facts: Facts
    photometric: str
    bits_allocated: int
    bits_stored: int
    samples: int
    rendering: intensity.Rendering | None
    view: tuple[float, float] | None
    patient_id: str
    syntax: str


def has_magic(path: str | os.PathLike) -> bool:
    """Whether the file has ``DICM`` at byte 128 (PS3.10 7.1)."""
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
    with reporting(path, "reading its header"), open_dicom(path) as (stream, syntax):
        dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS))
        header = _check_header(path, dataset, syntax)
        _check_pixel_data(path, header, stream)
    return header


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
    with reporting(path, "reading its header"), open_dicom(path) as (stream, syntax):
        return _facts(dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS)), syntax)


@contextlib.contextmanager
def open_dicom(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Open a DICOM file for reading; yields the stream and the UID of its transfer syntax.

    A deflated file (PS3.5 A.5) is inflated into memory, with a bound, and then reads as an explicit one.
    """
    if not path.is_file():
        raise DicomError(f"{path} is not a readable file.", "a DICOM file", "check path and permissions.")
    if not has_magic(path):
        raise DicomError(
            f"{path} is not a DICOM file.",
            "the letters DICM at byte 128",
            "leave it out; a file without the DICOM preamble can be mended with `gdcmconv IN OUT`.",
        )
    meta = read_file_meta_info(path)
    syntax = str(meta.get("TransferSyntaxUID") or "")
    if not UID(syntax).is_transfer_syntax:
        raise DicomError(
            f"{path} names no known transfer syntax.",
            "a transfer syntax of the DICOM standard",
            "export the file in a standard syntax, for example Explicit VR Little Endian.",
        )
    with path.open("rb") as stream:
        if syntax != DeflatedExplicitVRLittleEndian:
            yield stream, syntax
            return
        stream.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))  # preamble, DICM, the length itself
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        content = inflater.decompress(stream.read(), _MAX_INFLATED)
        if not inflater.eof:
            raise ValueError("truncated, or larger than any clip")
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        inflated = io.BytesIO()
        inflated.write(bytes(128) + b"DICM")
        write_file_meta_info(inflated, meta)
        inflated.write(content)
        inflated.seek(0)
        yield inflated, syntax


@contextlib.contextmanager
def reporting(path: Path, doing: str) -> Iterator[None]:
    """Turn what the libraries raise into a DicomError, and keep them quiet: their messages quote headers."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DicomError:
        raise
    except LIBRARY_ERRORS as problem:
        raise DicomError(
            f"{path} is damaged: {doing} failed ({type(problem).__name__}).",
            "a valid multi-frame XA file",
            "copy or export it again.",
        ) from None
    finally:
        logger.setLevel(level)


def _facts(dataset: Dataset, syntax: str) -> Facts:
    """What the header says, checked or not."""
    rows, cols = (
        None if dataset.get(name) is None else int(dataset[name].value) for name in ("Rows", "Columns")
    )
    modality = str(dataset.get("Modality") or "").strip().upper()
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    name = UID(syntax).name
    notes = ["colour converted to grey"] if dataset.get("SamplesPerPixel") == 3 else []
    notes += ["MONOCHROME1 inverted"] if photometric == "MONOCHROME1" else []
    notes += ["mask for subtraction present, not applied"] if dataset.get("MaskSubtractionSequence") else []
    notes += [f"resampled from {rows} x {cols}"] if (rows, cols) != (FRAME_SIZE, FRAME_SIZE) else []
    return Facts(
        num_frames=None if rows is None else int(dataset.get("NumberOfFrames") or 1),
        rows=rows,
        cols=cols,
        frame_time_ms=_frame_time(dataset),
        transfer_syntax="unknown transfer syntax" if name == syntax else name,
        modality=modality if modality in MODALITIES else "unknown",
        notes=tuple(notes),
    )


def _check_header(path: Path, dataset: Dataset, syntax: str) -> Header:
    """The header of an X-ray angiogram, or a DicomError."""
    facts = _facts(dataset, syntax)
    rows, cols, count = facts.rows, facts.cols, facts.num_frames
    if rows is None:
        raise DicomError(f"{path} holds no image.", "a multi-frame XA file", "leave it out.")
    volume = dataset.get("SOPClassUID") == _XA_VOLUME
    if facts.modality != "XA" or volume:
        raise DicomError(
            f"{path} is {'a volume' if volume else f'of modality {facts.modality}'}.",
            "modality XA (X-ray angiography), frames in time",
            "leave it out.",
        )
    if not (0 < rows <= MAX_SIDE and 0 < cols <= MAX_SIDE and 0 < count <= MAX_FRAMES):
        raise DicomError(
            f"{path} claims {count} frames of {rows} x {cols} pixels.",
            f"1 to {MAX_FRAMES} frames of at most {MAX_SIDE} x {MAX_SIDE}",
            "check the header; split a longer run.",
        )
    samples = int(dataset.get("SamplesPerPixel") or 1)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or dataset.BitsAllocated)
    high_bit = stored - 1 if dataset.get("HighBit") is None else int(dataset.HighBit)
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    mono = photometric in {"MONOCHROME1", "MONOCHROME2"} and samples == 1
    colour = photometric in _PHOTOMETRIC and samples == 3 and (allocated, stored) == (8, 8)
    if not (mono or colour):
        known = photometric if photometric in _PHOTOMETRIC else "unknown"
        raise DicomError(
            f"{path} has photometric interpretation {known}, {samples} samples of {allocated} bits a pixel.",
            "MONOCHROME1 or MONOCHROME2, or 8-bit RGB or YBR",
            "export the run as greyscale.",
        )
    if allocated not in (8, 16) or not 1 <= stored <= allocated or high_bit != stored - 1:
        raise DicomError(
            f"{path} stores {stored} bits from bit {high_bit} down, in {allocated}.",
            "8 or 16 bits allocated and the stored bits at their low end",
            "export the run again.",
        )
    dataset.BitsStored, dataset.PhotometricInterpretation = stored, photometric
    dataset.PixelRepresentation = int(dataset.get("PixelRepresentation") or 0)
    macros = _functional_groups(dataset)
    rendering = None if colour else intensity.read_rendering(dataset, macros)
    if rendering is not None and rendering.needs_range:
        note = "no VOI: shown from the clip's smallest to its largest value"
        facts = replace(facts, notes=(*facts.notes, note))
    return Header(
        facts=facts,
        photometric=photometric,
        bits_allocated=allocated,
        bits_stored=stored,
        samples=samples,
        rendering=rendering,
        view=_view(dataset, macros),
        patient_id=str(dataset.get("PatientID") or "").strip(),
        syntax=str(ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax),
    )


def _check_pixel_data(path: Path, header: Header, stream: BinaryIO) -> None:
    """Hold the pixel data element against the header, before anything is allocated for it.

    `stream` stands at the element (PS3.5 7.1). Native pixel data must have the very length that the header
    implies; encapsulated pixel data (PS3.5 A.4) must have at least one whole fragment a frame.
    """
    facts = header.facts
    syntax = UID(header.syntax)
    order = "<" if syntax.is_little_endian else ">"
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    if end - here < 8:
        raise DicomError(f"{path} has no pixel data.", "Pixel Data (7FE0,0010)", "export the run again.")
    group, element = struct.unpack(f"{order}HH", stream.read(4))
    if (group, element) != (0x7FE0, 0x0010):
        raise DicomError(
            f"{path} holds floating-point pixels.", "integer Pixel Data (7FE0,0010)", "export the run again."
        )
    stream.seek(0 if syntax.is_implicit_VR else 4, os.SEEK_CUR)
    (length,) = struct.unpack(f"{order}L", stream.read(4))
    left = end - stream.tell()
    truncated = DicomError(
        f"{path} is truncated: its pixel data ends before frame {facts.num_frames - 1}.",
        f"{facts.num_frames} whole frames, as the header says",
        "copy or export the file again.",
    )
    if not syntax.is_encapsulated:
        bits = facts.rows * facts.cols * header.samples * header.bits_allocated
        if header.photometric == "YBR_FULL_422":
            bits = bits * 2 // 3
        frame_bytes = bits // 8
        expected = frame_bytes * facts.num_frames
        if min(length, left) < expected:
            if length >= expected:
                raise truncated
            raise wrong_count(path, facts.num_frames, str(length // frame_bytes))
        if length >= expected + frame_bytes:
            raise wrong_count(path, facts.num_frames, str(length // frame_bytes))
        return
    fragments, offsets = parse_fragments(stream)  # the first one is the Basic Offset Table
    if offsets:
        stream.seek(offsets[-1] + 4)
        (last,) = struct.unpack("<L", stream.read(4))
        if offsets[-1] + 8 + last > end:
            raise truncated
    if fragments - 1 < facts.num_frames:
        raise wrong_count(path, facts.num_frames, f"at most {max(fragments - 1, 0)}")


def wrong_count(path: Path, stated: int, found: str) -> DicomError:
    """Error for pixel data with another number of frames than the header's."""
    return DicomError(
        f"{path} states {stated} frames, but its pixel data holds {found}.",
        "as many frames as NumberOfFrames (0028,0008) says",
        "the file is truncated or its header was edited: copy or export it again.",
    )


def _functional_groups(dataset: Dataset) -> Dataset:
    """VOI and positioner of an enhanced image, shared or of its first frame; `dataset` for a classic one."""
    macros = Dataset()
    for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        if not dataset.get(name):
            continue
        group = dataset[name].value[0]
        for macro in ("FrameVOILUTSequence", "PositionerPositionSequence"):
            if group.get(macro):
                macros.update(group[macro].value[0])
    return macros if len(macros) else dataset


def _view(dataset: Dataset, macros: Dataset) -> tuple[float, float] | None:
    """Primary and secondary positioner angle in degrees (PS3.3 C.8.7.5), None if one is missing."""
    angles = []
    for name in ("PositionerPrimaryAngle", "PositionerSecondaryAngle"):
        value = macros.get(name, dataset.get(name))
        if value is None or value == "" or not math.isfinite(float(value)):
            return None
        angles.append(float(value))
    return angles[0], angles[1]


def _frame_time(dataset: Dataset) -> float | None:
    """Milliseconds between frames: FrameTime, the median of FrameTimeVector, or a rate (PS3.3 C.7.6.5)."""
    if dataset.get("FrameTime"):
        value = float(dataset.FrameTime)
    elif dataset.get("FrameTimeVector"):
        steps = np.atleast_1d(np.asarray(dataset.FrameTimeVector, np.float64))
        value = float(np.median(steps[1:] if len(steps) > 1 else steps))  # the first entry is 0
    else:
        rate = float(dataset.get("CineRate") or dataset.get("RecommendedDisplayFrameRate") or 0)
        value = 1000.0 / rate if rate > 0 else 0.0
    return value if math.isfinite(value) and value > 0 else None
