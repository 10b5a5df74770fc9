"""What an enhanced XA image says of each frame (PS3.3 A.47, C.7.6.16), read like a classic image's header.

A macro is looked for among the frame's own functional groups, then among the shared ones; what neither has
is taken from the top level, where classic images keep everything. The Pixel Intensity Relationship LUT macro
is no part of the display (PS3.17 FFF.2.3.1.3.4) and is not read.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DT

from stenoscope.imaging import display
from stenoscope.imaging.elements import MALFORMED, numbers, text
from stenoscope.imaging.facts import FRAME_TIMES
from stenoscope.imaging.intensity import Rendering

TAGS = (
    "FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "FrameDisplaySequence",
    "PositionerPrimaryAngle", "PositionerSecondaryAngle", "PositionerPositionSequence", "PositionerMotion",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "FrameContentSequence",
    "FrameReferenceDateTime", "FrameAcquisitionDateTime", "RecommendedDisplayFrameRateInFloat",
)  # fmt: skip
"""Elements that are read here, beside those of `display`."""

_MACROS = (display.VOI, display.MODALITY, display.RELATIONSHIP)
_FULL_TURN = 360.0  # degrees
_STILL = 1.0  # degrees: what the angles of a C-arm at rest may differ by


def read_renderings(dataset: Dataset, num_frames: int) -> tuple[Rendering, ...]:
    """How the frames are rendered: one entry for all of them, or one for each.

    Raises RenderingError if a palette image has no usable palette.
    """
    own = _groups(dataset, "PerFrameFunctionalGroupsSequence")
    common = [*_groups(dataset, "SharedFunctionalGroupsSequence"), dataset]
    plain = _rendering(dataset, common)
    if own and len(own) != num_frames:
        note = f"functional groups of {len(own)} frames, but {num_frames} frames: not used"
        return (replace(plain, notes=(*plain.notes, note)),)
    renderings = [
        _rendering(dataset, [group, *common]) if any(name in group for name in display.TAGS) else plain
        for group in own
    ] or [plain]
    voi = next((rendering.voi for rendering in renderings if rendering.voi is not None), None)
    for index, rendering in enumerate(renderings):
        if rendering.voi is None and voi is not None:  # the clip's range beside a window would flicker
            notes = (*rendering.notes, "frames without a usable window shown in that of the frame before")
            renderings[index] = replace(rendering, voi=voi, notes=notes)
        voi = renderings[index].voi
    if any(rendering != renderings[0] for rendering in renderings):
        return tuple(renderings)
    notes = dict.fromkeys(note for rendering in renderings for note in rendering.notes)
    return (replace(renderings[0], notes=tuple(notes)),)


def _rendering(dataset: Dataset, holders: list[Dataset]) -> Rendering:
    """Rendering by the macros of functional groups and the top level, or their elements outside of one."""
    macros = {
        name: [module for holder in holders for module in (*_groups(holder, name), holder)]
        for name in _MACROS
    }
    return display.read_rendering(dataset, macros)


def find_macro(dataset: Dataset, name: str) -> list[Dataset]:
    """Items of a macro of the first frame: its own, else the shared ones, else those of the top level."""
    own = _groups(dataset, "PerFrameFunctionalGroupsSequence")[:1]
    holders = (*own, *_groups(dataset, "SharedFunctionalGroupsSequence"), dataset)
    return next((list(holder.get(name)) for holder in holders if holder.get(name)), [])


def read_course(dataset: Dataset) -> tuple[float | None, tuple[float, float] | None, list[str]]:
    """Milliseconds between frames, view and notes. Reading needs neither, so a fault in them costs no clip.

    The time is FrameTime, the median of FrameTimeVector (PS3.3 C.7.6.5), the median distance of the frames'
    own times (C.7.6.16.2.2), or a rate: the first of them that lies within `FRAME_TIMES`. The view is the
    primary and secondary positioner angle of the first frame, degrees; None if one is missing or no angle
    (PS3.3 C.8.7.5, and C.8.19.6.10 for enhanced images).
    """
    views = list(_views(dataset))
    known = [view for view in views if view is not None]
    dynamic = text(dataset, "PositionerMotion") == "DYNAMIC"
    notes = []
    if dynamic or (known and (np.ptp(known, axis=0) > _STILL).any()):  # rotational angiography
        notes.append("C-arm turns during the run")
    if len(known) < len(views):
        notes.append("angles can't be read")
    malformed = False
    for read in (_stated_time, _step_of_time_vector, _step_of_frame_times, _step_of_rate):
        time = read(dataset)
        if FRAME_TIMES[0] <= time <= FRAME_TIMES[1]:
            return time, next(iter(known), None), notes
        malformed = malformed or time != 0
    return None, next(iter(known), None), notes + ["frame time can't be read"] * malformed


def _stated_time(dataset: Dataset) -> float:
    times = numbers(dataset.get("FrameTime"))
    return 0.0 if not times else times[0] if len(times) == 1 else math.nan


def _step_of_time_vector(dataset: Dataset) -> float:
    steps = numbers(dataset.get("FrameTimeVector")) or [0.0]
    known = [step for step in steps[1:] or steps if not math.isnan(step)]  # the first entry is 0
    return float(np.median(known)) if known else math.nan


def _step_of_rate(dataset: Dataset) -> float:
    shown = next(iter(dataset.get("FrameDisplaySequence") or ()), Dataset())  # PS3.3 C.8.19.7
    rates = [
        *numbers(dataset.get("CineRate")),
        *numbers(dataset.get("RecommendedDisplayFrameRate")),
        *numbers(shown.get("RecommendedDisplayFrameRateInFloat")),
    ]
    rates = [rate for rate in rates if rate]
    return 1000.0 / next((rate for rate in rates if rate > 0), math.nan) if rates else 0.0


def _groups(dataset: Dataset, name: str) -> list[Dataset]:
    return list(dataset.get(name) or ())


def _views(dataset: Dataset) -> Iterator[tuple[float, float] | None]:
    """Both angles of each frame that has them, None where they are malformed."""
    shared = _groups(dataset, "SharedFunctionalGroupsSequence")
    for group in _groups(dataset, "PerFrameFunctionalGroupsSequence") or [Dataset()]:
        stated = []
        for holder in (group, *shared, dataset):
            macro = next(iter(holder.get("PositionerPositionSequence") or ()), holder)
            angles = [numbers(macro.get(f"Positioner{axis}Angle")) for axis in ("Primary", "Secondary")]
            if not all(angles):
                continue
            (primary, *more), (secondary, *others) = angles
            valid = abs(primary) <= _FULL_TURN and abs(secondary) <= _FULL_TURN and not (more or others)
            stated.append((primary, secondary) if valid else None)
        if stated:
            yield next(filter(None, stated), None)


def _step_of_frame_times(dataset: Dataset) -> float:
    """Median distance of the frames' reference times in milliseconds, 0 without them."""
    moments = []
    for group in _groups(dataset, "PerFrameFunctionalGroupsSequence"):
        for content in group.get("FrameContentSequence") or ():
            moment = content.get("FrameReferenceDateTime") or content.get("FrameAcquisitionDateTime")
            with contextlib.suppress(*MALFORMED):  # a time that is none leaves the others
                moments += [DT(moment)] if moment else []
    steps = [(after - before).total_seconds() for before, after in itertools.pairwise(moments)]
    return 1000.0 * float(np.median(steps)) if steps else 0.0
