"""Technical headers of DICOM files, checked before anything is decoded or allocated.

Only the elements in `_TAGS` and `_DESCRIBED` are read: pixel description, timing, angles, what `intake.csv`
says of a file, and the patient's id, which is passed on only through a pseudonymizer. Errors and facts name
technical values from closed lists and never quote header text or a library's message about it.
"""

import contextlib
import math
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from stenoscope.errors import DicomError
from stenoscope.imaging import display, functional_groups, pixel_data
from stenoscope.imaging.bounded import BoundedReader
from stenoscope.imaging.dicom_file import LIBRARY_ERRORS, reporting
from stenoscope.imaging.elements import numbers, read_elements, text
from stenoscope.imaging.facts import MAX_FRAMES, MAX_SIDE, SIMULATOR, Facts, check_pixel_count
from stenoscope.imaging.intensity import Lut, Rendering, RenderingError
from stenoscope.imaging.pixel_data import VIDEO_SYNTAXES, PixelData, check_pixels, find_pixels
from stenoscope.records import FRAME_SIZE

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
_OVERLAY_ROWS = [Tag(group, 0x0010) for group in range(0x6000, 0x6020, 2)]  # PS3.3 C.9.2
_DESCRIBED = [
    "Manufacturer", "ManufacturerModelName", "CollimatorShape", "ShutterShape", "BurnedInAnnotation",
    "CollimatorShapeSequence", "FrameDisplayShutterSequence", *_OVERLAY_ROWS,
]  # fmt: skip
_SHAPES = frozenset(("RECTANGULAR", "CIRCULAR", "POLYGONAL", "BITMAP"))  # PS3.3 C.7.6.11, C.7.6.15, C.8.7.3
_XA_VOLUME = "1.2.840.10008.5.1.4.1.1.13.1.1"  # X-Ray 3D Angiographic: slices, not frames in time
View = tuple[float, float] | None


@dataclass(frozen=True)
class Header:
    """A checked header: what decoding needs and nothing that identifies a person but `patient_id`."""

    facts: Facts
    photometric: str
    bits_allocated: int
    bits_stored: int
    samples: int
    renderings: tuple[Rendering, ...]  # one for all frames, or one for each; none for RGB and YBR
    view: View  # primary and secondary positioner angle, degrees
    patient_id: str  # as the file has it; pass it on only through a pseudonymizer
    syntax: str  # UID of the transfer syntax of the pixels
    pixels: PixelData
    frame_table: dict | None  # see `PixelData.frame_table`; None for native pixels, too
    planar: int  # planar configuration of colour images

    @property
    def rendering(self) -> Rendering | None:
        """That of the first frame."""
        return next(iter(self.renderings), None)


def read_header(path: Path, stream: BoundedReader, syntax: str) -> tuple[Facts, Header | DicomError]:
    """Read the header once: what it says, and the checked header or why the file can't be used.

    `path` is named in errors; `stream` and `syntax` are from `open_dicom`. Raises DicomError if the header is
    damaged; not if it merely can't be used.
    """
    stream = stream.as_header()
    with reporting(path, "reading its header"):
        dataset, facts, view = _read(path, stream, syntax)
    try:
        with reporting(path, "reading its header"):
            header = _check_header(path, dataset, facts, view, syntax, stream)
    except DicomError as problem:
        return facts, problem
    return header.facts, header


def _read(path: Path, stream: BinaryIO, syntax: str) -> tuple[Dataset, Facts, View]:
    """The header's elements, what they say, checked or not, and the view; leaves the stream at the pixels."""
    dataset, mended = read_elements(stream, _TAGS, _DESCRIBED)
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
    made_by = tuple(str(dataset.get(name, "")) for name in ("Manufacturer", "ManufacturerModelName"))
    notes = ["colour converted to grey"] if photometric in _COLOUR else []
    notes += ["MONOCHROME1 inverted"] if photometric == "MONOCHROME1" else []
    notes += ["subtraction mask (not applied)"] if dataset.get("MaskSubtractionSequence") else []
    if text(dataset, "RecommendedViewingMode") == "SUB":
        notes.append("meant to be shown subtracted, read as it is stored")
    frame_time_ms, view, said = functional_groups.read_course(dataset)
    notes += said
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
        frame_time_ms=frame_time_ms,
        transfer_syntax="unknown transfer syntax" if name == syntax else name,
        modality=modality if modality in MODALITIES else "unknown",
        sop_class=_sop_class(dataset),
        bits_allocated=_whole(dataset, "BitsAllocated", None),
        bits_stored=_whole(dataset, "BitsStored", None),
        photometric=_terms(dataset, "PhotometricInterpretation", _ONE_SAMPLE | _COLOUR),
        collimator=_shapes(dataset, "CollimatorShapeSequence", "CollimatorShape"),
        shutter=_shapes(dataset, "FrameDisplayShutterSequence", "ShutterShape"),
        overlays=sum(tag in dataset for tag in _OVERLAY_ROWS),
        burned_in=_terms(dataset, "BurnedInAnnotation", frozenset(("YES", "NO"))),
        simulated="yes" if made_by == SIMULATOR else "",
        notes=tuple(notes + mended),
    )
    if not dataset.get("SOPClassUID"):
        dataset.SOPClassUID = dataset.file_meta.get("MediaStorageSOPClassUID") or ""
    return dataset, facts, view


def _sop_class(dataset: Dataset) -> str:
    value = dataset.get("SOPClassUID")
    if value is None:
        return ""
    uid = UID(str(value))
    return uid.name if uid.type == "SOP Class" else "unknown"


def _shapes(dataset: Dataset, macro: str, keyword: str) -> str:
    """Shapes of a collimator or shutter: of the first frame's macro (enhanced XA, PS3.3 A.47) or on top."""
    found = [_terms(item, keyword, _SHAPES) for item in functional_groups.find_macro(dataset, macro)]
    return "+".join(filter(None, found)) or _terms(dataset, keyword, _SHAPES)


def _terms(dataset: Dataset, keyword: str, known: Set[str]) -> str:
    """The defined terms of an element, joined by ``+``; one that DICOM does not define is 'unknown'."""
    value = dataset.get(keyword)
    values = value if isinstance(value, MultiValue) else [value]
    terms = (str(term or "").strip().upper() for term in values)
    return "+".join(term if term in known else "unknown" for term in terms if term)


def _decoded_as(syntax: str) -> str:
    """The transfer syntax that pixels have when `open_dicom` has opened a file of `syntax`."""
    return str(ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax)


def _stated_frames(dataset: Dataset) -> int | None:
    """NumberOfFrames, None if it is missing or no positive whole number."""
    count = next(iter(numbers(dataset.get("NumberOfFrames"))), 0.0)
    return int(count) if count >= 1 and count == int(count) else None


def _whole(dataset: Dataset, keyword: str, default: int | None) -> int | None:
    """First value of an element, `default` if it is missing or no number."""
    value = next(iter(numbers(dataset.get(keyword))), math.nan)
    return default if math.isnan(value) else int(value)


def _frame_bytes(dataset: Dataset) -> int:
    """Bytes of a frame of native pixel data."""
    samples = _whole(dataset, "SamplesPerPixel", 1)
    bits = int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.BitsAllocated)
    halved = text(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
    return (bits * 2 // 3 if halved else bits) // 8


def _check_header(
    path: Path, dataset: Dataset, facts: Facts, view: View, syntax: str, stream: BinaryIO
) -> Header:
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
    check_pixel_count(path, count, rows, cols)
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
    primary, secondary = view or (None, None)
    return Header(
        facts=replace(
            facts,
            voi=_voi(renderings[0]) if renderings else "",
            primary_angle=primary,
            secondary_angle=secondary,
            notes=tuple(dict.fromkeys([*facts.notes, *notes])),
        ),
        photometric=photometric,
        bits_allocated=allocated,
        bits_stored=stored,
        samples=samples,
        renderings=renderings,
        view=view,
        patient_id=str(dataset.get("PatientID") or "").strip(),
        syntax=_decoded_as(syntax),
        pixels=pixels,
        frame_table=frame_table,
        planar=int(_whole(dataset, "PlanarConfiguration", 0) == 1),
    )


def _voi(rendering: Rendering) -> str:
    if rendering.voi is None or isinstance(rendering.voi, Lut):
        return "none" if rendering.voi is None else "LUT"
    return f"{rendering.voi.function} {rendering.voi.center:g}/{rendering.voi.width:g}"
