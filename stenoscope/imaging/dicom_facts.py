"""What a DICOM header says beyond what decoding needs: the columns of `intake.csv` on a DICOM file.

As in `dicom_header`, texts come from closed lists and no other header text is passed on.
"""

import math
import os
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID

from stenoscope.errors import DicomError
from stenoscope.imaging import dicom_header, functional_groups
from stenoscope.imaging.elements import numbers, read_elements
from stenoscope.imaging.facts import SIMULATOR, Facts
from stenoscope.imaging.intensity import Lut, Rendering

_PHOTOMETRIC = frozenset((
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT",
    "YBR_PARTIAL_420",
))  # fmt: skip
_SHAPES = frozenset(("RECTANGULAR", "CIRCULAR", "POLYGONAL", "BITMAP"))  # PS3.3 C.7.6.11, C.7.6.15, C.8.7.3
_OVERLAY_ROWS = [Tag(group, 0x0010) for group in range(0x6000, 0x6020, 2)]  # PS3.3 C.9.2
_TAGS = [
    "SOPClassUID", "Manufacturer", "ManufacturerModelName",
    "BitsAllocated", "BitsStored", "PhotometricInterpretation", "CollimatorShape",
    "ShutterShape", "BurnedInAnnotation", "CollimatorShapeSequence", "FrameDisplayShutterSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *_OVERLAY_ROWS,
]  # fmt: skip


def read_facts(path: str | os.PathLike) -> Facts:
    """All technical facts of a DICOM file, as far as its header has them.

    Raises
    ------
    DicomError
        If it is no DICOM file or damaged; not if it merely can't be used.
    """
    path = Path(path)
    try:
        header = dicom_header.read_header(path)
        facts, voi, view = header.facts, _voi(header.rendering), header.view or (None, None)
    except DicomError:
        facts, voi, view = dicom_header.read_facts(path), "", (None, None)
    with (
        dicom_header.reporting(path, "reading its header"),
        dicom_header.open_dicom(path, header=True) as (stream, _),
    ):
        dataset, _ = read_elements(stream, _TAGS)
        made_by = tuple(str(dataset.get(name, "")) for name in ("Manufacturer", "ManufacturerModelName"))
        return replace(
            facts,
            sop_class=_sop_class(dataset),
            bits_allocated=_number(dataset, "BitsAllocated"),
            bits_stored=_number(dataset, "BitsStored"),
            photometric=_terms(dataset, "PhotometricInterpretation", _PHOTOMETRIC),
            voi=voi,
            primary_angle=view[0],
            secondary_angle=view[1],
            collimator=_shapes(dataset, "CollimatorShapeSequence", "CollimatorShape"),
            shutter=_shapes(dataset, "FrameDisplayShutterSequence", "ShutterShape"),
            overlays=sum(tag in dataset for tag in _OVERLAY_ROWS),
            burned_in=_terms(dataset, "BurnedInAnnotation", frozenset(("YES", "NO"))),
            simulated="yes" if made_by == SIMULATOR else "",
        )


def _voi(rendering: Rendering | None) -> str:
    if rendering is None:
        return ""
    if rendering.voi is None:
        return "none"
    if isinstance(rendering.voi, Lut):
        return "LUT"
    return f"{rendering.voi.function} {rendering.voi.center:g}/{rendering.voi.width:g}"


def _sop_class(dataset: Dataset) -> str:
    value = dataset.get("SOPClassUID")
    if value is None:
        return ""
    uid = UID(str(value))
    return uid.name if uid.type == "SOP Class" else "unknown"


def _number(dataset: Dataset, keyword: str) -> int | None:
    value = next(iter(numbers(dataset.get(keyword))), math.nan)
    return None if math.isnan(value) else int(value)


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
