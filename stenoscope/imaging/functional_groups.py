"""What an enhanced XA image says of each frame (PS3.3 A.47, C.7.6.16), read like a classic image's header.

A macro is looked for among the frame's own functional groups, then among the shared ones; what neither has
is taken from the top level, where classic images keep everything. The Pixel Intensity Relationship LUT macro
is no part of the display (PS3.17 FFF.2.3.1.3.4) and is not read.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DT

from stenoscope.imaging.intensity import Rendering, RenderingError, read_rendering

TAGS = (
    "FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "FrameDisplaySequence",
    "PositionerPrimaryAngle", "PositionerSecondaryAngle", "PositionerPositionSequence", "PositionerMotion",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
"""Elements that are read here, beside those of `_DISPLAY` and `_COMMON`."""

_DISPLAY = {
    "FrameVOILUTSequence": ("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    "PixelValueTransformationSequence": ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    "FramePixelDataPropertiesSequence": ("PixelIntensityRelationship",),
}
"""Macros of the display, and their elements, which a classic image has at the top level."""

_COMMON = (
    "BitsStored", "PixelRepresentation", "PhotometricInterpretation", "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    *(f"{name}PaletteColorLookupTable{part}" for name in ("Red", "Green", "Blue") for part in
      ("Descriptor", "Data")),
    *(f"Segmented{name}PaletteColorLookupTableData" for name in ("Red", "Green", "Blue")),
)  # fmt: skip

DISPLAY_TAGS = (*_COMMON, *(name for names in _DISPLAY.values() for name in names))
"""Elements of the top level that renderings are made of."""

_STILL = 1.0  # degrees: what the angles of a C-arm at rest may differ by


def read_renderings(dataset: Dataset, num_frames: int) -> tuple[Rendering, ...]:
    """How the frames are rendered: one entry for all of them, or one for each.

    Raises
    ------
    RenderingError
        If the image describes another number of frames than `num_frames`, or a rendering is not valid.
    """
    own = _groups(dataset, "PerFrameFunctionalGroupsSequence")
    if own and len(own) != num_frames:
        raise RenderingError(f"functional groups of {len(own)} frames, but {num_frames} frames")
    shared = _macros(_groups(dataset, "SharedFunctionalGroupsSequence"))
    per_frame = [_macros([group]) for group in own]
    if not any(per_frame):
        return (read_rendering(_flat(dataset, shared)),)
    renderings = [read_rendering(_flat(dataset, {**shared, **macros})) for macros in per_frame]
    same = all(rendering == renderings[0] for rendering in renderings)
    return (renderings[0],) if same else tuple(renderings)


def read_view(dataset: Dataset) -> tuple[float, float] | None:
    """Primary and secondary positioner angle of the first frame in degrees, None if one is missing.

    PS3.3 C.8.7.5, and C.8.19.6.10 for enhanced images.
    """
    return next(_views(dataset), None)


def turns(dataset: Dataset) -> bool:
    """Whether the C-arm turns during the run (rotational angiography)."""
    if str(dataset.get("PositionerMotion") or "").strip().upper() == "DYNAMIC":
        return True
    views = list(_views(dataset))
    return bool(views) and bool((np.ptp(views, axis=0) > _STILL).any())


def read_frame_time(dataset: Dataset) -> float | None:
    """Milliseconds between frames, None where the file does not say.

    FrameTime, the median of FrameTimeVector (PS3.3 C.7.6.5), the median distance of the frames' own times
    (C.7.6.16.2.2), or a rate.
    """
    if dataset.get("FrameTime"):
        value = float(dataset.FrameTime)
    elif dataset.get("FrameTimeVector"):
        steps = np.atleast_1d(np.asarray(dataset.FrameTimeVector, np.float64))
        value = float(np.median(steps[1:] if len(steps) > 1 else steps))  # the first entry is 0
    else:
        value = _step_of_frame_times(dataset)
    if value == 0:
        shown = next(iter(dataset.get("FrameDisplaySequence") or ()), Dataset())  # PS3.3 C.8.19.7
        rates = (
            dataset.get("CineRate"),
            dataset.get("RecommendedDisplayFrameRate"),
            shown.get("RecommendedDisplayFrameRateInFloat"),
        )
        rate = next((float(rate) for rate in rates if rate), 0.0)
        value = 1000.0 / rate if rate > 0 else 0.0
    return value if math.isfinite(value) and value > 0 else None


def _groups(dataset: Dataset, name: str) -> list[Dataset]:
    return list(dataset.get(name) or ())


def _macros(groups: list[Dataset]) -> dict[str, Dataset]:
    """Macros of the display by name, of the first group."""
    return {name: group[name].value[0] for group in groups[:1] for name in _DISPLAY if group.get(name)}


def _flat(dataset: Dataset, macros: dict[str, Dataset]) -> Dataset:
    """The header as a classic image would have it: a macro takes the place of all its elements at once."""
    flat = Dataset()
    flat.set_original_encoding(*dataset.original_encoding)
    names = [*_COMMON, *(name for macro in _DISPLAY.keys() - macros for name in _DISPLAY[macro])]
    for source, wanted in [(dataset, names), *((item, _DISPLAY[macro]) for macro, item in macros.items())]:
        for name in wanted:
            if name in source:
                flat[name] = source[name]
    return flat


def _views(dataset: Dataset) -> Iterator[tuple[float, float]]:
    """Both angles of each frame that has them."""
    shared = _groups(dataset, "SharedFunctionalGroupsSequence")
    for group in _groups(dataset, "PerFrameFunctionalGroupsSequence") or [Dataset()]:
        for holder in (group, *shared, dataset):
            macro = next(iter(holder.get("PositionerPositionSequence") or ()), holder)
            values = [macro.get(f"Positioner{axis}Angle") for axis in ("Primary", "Secondary")]
            if all(value is not None and value != "" and math.isfinite(value) for value in values):
                yield float(values[0]), float(values[1])
                break


def _step_of_frame_times(dataset: Dataset) -> float:
    """Median distance of the frames' reference times in milliseconds, 0 without them."""
    moments = []
    for group in _groups(dataset, "PerFrameFunctionalGroupsSequence"):
        for content in group.get("FrameContentSequence") or ():
            text = content.get("FrameReferenceDateTime") or content.get("FrameAcquisitionDateTime")
            with contextlib.suppress(ValueError):  # a time that is none leaves the others
                moments += [DT(text)] if text else []
    steps = [(after - before).total_seconds() for before, after in itertools.pairwise(moments)]
    return 1000.0 * float(np.median(steps)) if steps else 0.0
