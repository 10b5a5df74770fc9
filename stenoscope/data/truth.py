"""Known truth about clips: lesion boxes, to measure where a heatmap points.

The simulated cohort comes with a `truth.json`; anyone with lesion boxes of real clips can write one::

    {"schema": "stenoscope/truth", "version": 1, "pixels": "frame",
     "clips": {"CLIP_ID": {"lesions": [{"kind": "focal", "severity": 0.7, "box": [x0, y0, x1, y1]}]}}}

Boxes are pixels of the 512 x 512 frame or, where the file or a clip says ``"pixels": "source"``, of the
source; x = column, half-open. ``boxes`` takes precedence over ``box``, which holds for every frame. It is a
list with one box per frame of the clip, null where the lesion is not marked, or an object of boxes by frame
number, from 0: ``{"12": [...]}``. COCO, CVAT XML and CSV are read as well, see `boxes`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stenoscope.run.csv_files import to_csv
from stenoscope.data.boxes import ClipNames, coco_marks, csv_marks, cvat_marks, entries_of, in_frame, is_box
from stenoscope.data.identity import fit_names
from stenoscope.errors import DatasetError
from stenoscope.imaging.intake import Source
from stenoscope.records import FRAME_SIZE

BOX_FAULTS = "box_faults.csv"

_EXPECTED = (
    'a truth.json with schema "stenoscope/truth", version 1 and an object "clips" (see '
    "stenoscope/data/truth.py); COCO JSON; CVAT XML; or a CSV file clip_id,frame,x0,y0,x1,y1"
)
_TOLERANCE = 1.0  # pixels that a box may reach beyond the frame: programs round
_UNKNOWN, _OUTSIDE, _FRAME, _COUNT = "unknown", "outside", "frame", "count"
_TOLD = {
    _UNKNOWN: ("id unknown", "ids unknown"),
    _OUTSIDE: ("box outside", "boxes outside"),
    _FRAME: ("box of a frame that its clip does not have", "boxes of frames that their clips do not have"),
    _COUNT: ("lesion with a wrong number of boxes", "lesions with a wrong number of boxes"),
}


@dataclass(frozen=True)
class BoxFault:
    """A box that can't be used as it is: its clip, its frame (empty: all), the kind of fault, and details."""

    clip_id: str
    frame: str
    fault: str
    what: str


def read_truth(path: str | Path, sources: Iterable[Source] = ()) -> dict[str, dict]:
    """Read lesion boxes in any of the formats and return the entries of a `truth.json` by clip id.

    `sources` are the clips: what names of images in COCO and CVAT files may mean, and how ids are written.
    Raises DatasetError if the file can't be read, has another schema, names a clip in two ways, or a box is
    not four numbers with x0 < x1 and y0 < y1.
    """
    path, sources = Path(path), list(sources)
    entries = _entries(path, sources)
    names = fit_names(entries, [source.clip_id for source in sources])
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(f"{path} names clip {twice[0]!r} in two ways.", "each clip once", "merge them.")
    return _checked(dict(zip(names, entries.values(), strict=True)), path)


def _entries(path: Path, sources: list[Source]) -> dict[str, dict]:
    """The entries as the file names them."""
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return entries_of(csv_marks(path))
    try:
        if suffix == ".xml":
            return entries_of(cvat_marks(path, ClipNames(sources)))
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DatasetError(f"{path} can't be read: {problem}.", _EXPECTED) from problem
    if isinstance(content, dict) and "images" in content and "annotations" in content:
        return entries_of(coco_marks(content, path, ClipNames(sources)))
    if (
        not isinstance(content, dict)
        or content.get("schema") != "stenoscope/truth"
        or content.get("version") != 1
    ):
        raise DatasetError(f"{path} is not a truth file of this version.", _EXPECTED)
    clips = content.get("clips")
    if not isinstance(clips, dict) or not all(isinstance(clip, dict) for clip in clips.values()):
        raise DatasetError(f"{path} has no object 'clips' of objects.", _EXPECTED)
    if "pixels" in content:
        clips = {clip_id: {"pixels": content["pixels"], **clip} for clip_id, clip in clips.items()}
    return clips


def truth_text(clips: dict[str, dict]) -> str:
    """Text of a `truth.json` with these entries by clip id."""
    content = {"schema": "stenoscope/truth", "version": 1, "clips": clips}
    return json.dumps(content, sort_keys=True, allow_nan=False) + "\n"


def fit_boxes(
    clip_id: str, entry: dict | None, num_frames: int, size: tuple[int, int]
) -> tuple[list[dict], list[BoxFault]]:
    """The lesions of a clip with what can be used of their boxes, in pixels of the frame, and the faults.

    `entry` is the clip's entry of the truth, None if it has none; `size` is rows and columns of the source. A
    box that reaches beyond the frame is cut, one outside of it is left out.
    """
    lesions, faults = [], []
    source = (entry or {}).get("pixels") == "source"

    def fitted(box: list | None, frame: str) -> list | None:
        if box is None:
            return None
        placed = in_frame(tuple(box), size) if source else box
        low, high = min(placed), max(placed)
        if low >= 0 and high <= FRAME_SIZE:
            return placed
        if low < -_TOLERANCE or high > FRAME_SIZE + _TOLERANCE:
            shown = " ".join(f"{value:g}" for value in box)
            rows, cols = size if source else (FRAME_SIZE, FRAME_SIZE)
            faults.append(BoxFault(clip_id, frame, _OUTSIDE, f"{shown} of {cols} x {rows} pixels"))
        cut = [min(max(value, 0), FRAME_SIZE) for value in placed]
        return cut if cut[0] < cut[2] and cut[1] < cut[3] else None

    for lesion in (entry or {}).get("lesions", []):
        boxes, lesion = lesion.get("boxes"), dict(lesion)
        if isinstance(boxes, dict):
            wrong = sorted({key for key in boxes if not 0 <= int(key) < num_frames}, key=int)
            faults += [BoxFault(clip_id, key, _FRAME, f"the clip has {num_frames} frames") for key in wrong]
            lesion["boxes"] = {key: fitted(box, key) for key, box in boxes.items() if key not in wrong}
        elif boxes:
            if len(boxes) != num_frames:
                what = f"{len(boxes)} boxes, {num_frames} frames"
                faults.append(BoxFault(clip_id, "", _COUNT, what))
                continue
            lesion["boxes"] = [fitted(box, str(frame)) for frame, box in enumerate(boxes)]
        elif (box := fitted(lesion["box"], "")) is not None:
            lesion["box"] = box
        else:
            continue
        fits = lesion.get("boxes") or [lesion.get("box")]
        if any(fits.values() if isinstance(fits, dict) else fits):
            lesions.append(lesion)
    return lesions, faults


def unknown_ids(truth: Mapping[str, dict], known: Iterable[str]) -> list[BoxFault]:
    """A fault for each id with lesions that no clip has."""
    known = set(known)
    return [
        BoxFault(clip_id, "", _UNKNOWN, "no clip has this id")
        for clip_id in sorted(truth)
        if clip_id not in known and truth[clip_id].get("lesions")
    ]


def boxes_text(num_clips: int, faults: Iterable[BoxFault]) -> str:
    """One line about the boxes.

    Examples
    --------
    >>> boxes_text(1, [BoxFault("a", "", "unknown", ""), BoxFault("b", "", "unknown", "")])
    'boxes for 1 clip; 2 ids unknown'
    """
    counts = Counter(fault.fault for fault in faults)
    parts = [f"boxes for {num_clips} clip{'' if num_clips == 1 else 's'}"]
    parts += [f"{counts[key]} {told[counts[key] > 1]}" for key, told in _TOLD.items() if counts[key]]
    return "; ".join(parts)


def faults_csv(faults: Iterable[BoxFault]) -> str:
    """The faults as a table: clip_id, frame, fault, what."""
    rows = [(fault.clip_id, fault.frame, _TOLD[fault.fault][0], fault.what) for fault in faults]
    columns = ("clip_id", "frame", "fault", "what")
    return to_csv([dict(zip(columns, row, strict=True)) for row in rows], columns)


def keyframe_lesions(lesions: list[dict], keyframes: tuple[int, ...]) -> list[dict]:
    """Lesions of a clip, from `fit_boxes`, with their boxes in its key frames.

    Each has `kind` (str), `severity` (float, share of the diameter, NaN unknown) and `boxes` (float32, one
    row ``x0, y0, x1, y1`` per key frame, NaN where it is not marked). Lesions that are marked in none of the
    key frames are left out.
    """
    found = []
    for lesion in lesions:
        boxes = lesion.get("boxes")
        if isinstance(boxes, dict):
            chosen = [boxes.get(str(frame)) for frame in keyframes]
        else:
            chosen = [boxes[frame] if boxes else lesion["box"] for frame in keyframes]
        if any(chosen):
            found.append(
                {
                    "kind": str(lesion.get("kind", "")),
                    "severity": float(lesion.get("severity", np.nan)),
                    "boxes": np.asarray([box or [np.nan] * 4 for box in chosen], np.float32),
                }
            )
    return found


def _checked(clips: dict[str, dict], path: Path) -> dict[str, dict]:
    """The entries, after a look at their boxes."""
    for clip_id, clip in clips.items():
        where = f"{path}, clip {clip_id!r}"
        if clip.get("pixels", "frame") not in ("frame", "source"):
            raise DatasetError(
                f"{where}: pixels is {clip['pixels']!r}.", "'frame' or 'source'", "correct it."
            )
        lesions = clip.get("lesions", [])
        if not isinstance(lesions, list) or not all(isinstance(lesion, dict) for lesion in lesions):
            raise DatasetError(f"{where}: lesions is {lesions!r}.", "a list of objects", "correct it.")
        for lesion in lesions:
            boxes = lesion.get("boxes")
            if isinstance(boxes, dict) and not all(key.lstrip("-").isdigit() for key in boxes):
                raise DatasetError(
                    f"{where}: boxes of {sorted(boxes)}.", "boxes by frame number", "correct it."
                )
            several = boxes.values() if isinstance(boxes, dict) else boxes
            for box in [box for box in several if box is not None] if boxes else [lesion.get("box")]:
                if not is_box(box):
                    expected = "[x0, y0, x1, y1] with x0 < x1 and y0 < y1"
                    raise DatasetError(f"{where}: the box is {box!r}.", expected)
    return clips
