"""What an enhanced XA image says of each frame (PS3.3 A.47, C.7.6.16), read like a classic image's header.

A macro is looked for among the frame's own functional groups, then among the shared ones; what neither has
is taken from the top level, where classic images keep everything. The Pixel Intensity Relationship LUT macro
is no part of the display (PS3.17 FFF.2.3.1.3.4) and is not read.
"""

import contextlib
import itertools
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.valuerep import DT

from stenoscope.imaging.facts import FRAME_TIMES
from stenoscope.imaging.intensity import Lut, Rendering, RenderingError, Window, read_rendering

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

_MALFORMED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, BytesLengthException)
_FULL_TURN = 360.0  # degrees
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


def find_macro(dataset: Dataset, name: str) -> list[Dataset]:
    """Items of a macro of the first frame: its own, else the shared ones, else those of the top level."""
    own = _groups(dataset, "PerFrameFunctionalGroupsSequence")[:1]
    holders = (*own, *_groups(dataset, "SharedFunctionalGroupsSequence"), dataset)
    return next((list(holder.get(name)) for holder in holders if holder.get(name)), [])


def read_choice(dataset: Dataset, voi: Lut | Window | None) -> str:
    """Of how many windows or VOI LUTs that of the first frame, `voi`, is the first; empty if there is one.

    All of them are views of the same image (PS3.3 C.11.2.1.2), of which a viewer shows one at a time.
    """
    own = _groups(dataset, "PerFrameFunctionalGroupsSequence")
    shared = _macros(_groups(dataset, "SharedFunctionalGroupsSequence"))
    flat = _flat(dataset, {**shared, **_macros(own)})
    if isinstance(voi, Lut):
        count, kind = len(flat.VOILUTSequence), "VOI LUTs"
    else:
        count, kind = flat["WindowCenter"].VM if isinstance(voi, Window) else 0, "windows"
    return f"first of {count} {kind}" if count > 1 else ""


def read_view(dataset: Dataset) -> tuple[float, float] | None:
    """Primary and secondary positioner angle of the first frame, degrees; None if one is missing or no angle.

    PS3.3 C.8.7.5, and C.8.19.6.10 for enhanced images.
    """
    return next((view for view in _views(dataset) if view is not None), None)


def read_frame_time(dataset: Dataset) -> float | None:
    """Milliseconds between frames, None where the file does not say, or says what can't be.

    FrameTime, the median of FrameTimeVector (PS3.3 C.7.6.5), the median distance of the frames' own times
    (C.7.6.16.2.2), or a rate: the first of them that lies within `FRAME_TIMES`.
    """
    return _frame_time(dataset)[0]


def read_notes(dataset: Dataset) -> list[str]:
    """What is to be known of angles and timing. Reading needs neither, so a fault in them costs no clip."""
    views = list(_views(dataset))
    known = [view for view in views if view is not None]
    dynamic = str(dataset.get("PositionerMotion") or "").strip().upper() == "DYNAMIC"
    notes = []
    if dynamic or (known and (np.ptp(known, axis=0) > _STILL).any()):  # rotational angiography
        notes.append("C-arm turns during the run")
    if len(known) < len(views):
        notes.append("angles can't be read")
    time, malformed = _frame_time(dataset)
    if time is None and malformed:
        notes.append("frame time can't be read")
    return notes


def _frame_time(dataset: Dataset) -> tuple[float | None, bool]:
    """Milliseconds between frames, and whether something that states them is malformed."""
    malformed = False
    for read in (_stated_time, _step_of_time_vector, _step_of_frame_times, _step_of_rate):
        try:
            value = read(dataset)
        except _MALFORMED:
            malformed = True
            continue
        if FRAME_TIMES[0] <= value <= FRAME_TIMES[1]:
            return value, malformed
        malformed = malformed or value != 0
    return None, malformed


def _stated_time(dataset: Dataset) -> float:
    return float(dataset.get("FrameTime") or 0)


def _step_of_time_vector(dataset: Dataset) -> float:
    steps = np.atleast_1d(np.asarray(dataset.get("FrameTimeVector") or 0, np.float64))
    return float(np.median(steps[1:] if len(steps) > 1 else steps))  # the first entry is 0


def _step_of_rate(dataset: Dataset) -> float:
    shown = next(iter(dataset.get("FrameDisplaySequence") or ()), Dataset())  # PS3.3 C.8.19.7
    rates = (
        dataset.get("CineRate"),
        dataset.get("RecommendedDisplayFrameRate"),
        shown.get("RecommendedDisplayFrameRateInFloat"),
    )
    rate = next((float(rate) for rate in rates if rate), 0.0)
    return 1000.0 / rate if rate else 0.0


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


def _views(dataset: Dataset) -> Iterator[tuple[float, float] | None]:
    """Both angles of each frame that has them, None where they are malformed."""
    shared = _groups(dataset, "SharedFunctionalGroupsSequence")
    for group in _groups(dataset, "PerFrameFunctionalGroupsSequence") or [Dataset()]:
        for holder in (group, *shared, dataset):
            try:
                macro = next(iter(holder.get("PositionerPositionSequence") or ()), holder)
                values = [macro.get(f"Positioner{axis}Angle") for axis in ("Primary", "Secondary")]
                if any(value is None or value == "" for value in values):
                    continue
                primary, secondary = (float(value) for value in values)
                valid = max(abs(primary), abs(secondary)) <= _FULL_TURN
            except _MALFORMED:
                valid = False
            yield (primary, secondary) if valid else None
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
