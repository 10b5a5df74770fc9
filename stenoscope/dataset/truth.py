"""Known truth about clips: lesion boxes, to measure where a heatmap points.

The simulated cohort comes with a `truth.json`; anyone with lesion boxes of real clips can write one::

    {"schema": "stenoscope/truth", "version": 1,
     "clips": {"CLIP_ID": {"lesions": [{"kind": "focal", "severity": 0.7, "box": [x0, y0, x1, y1]}]}}}

Boxes are pixels of the 512 x 512 frame, x = column, half-open. `boxes`, one per frame of the clip, takes
precedence over `box`, which then holds for every frame; null in it says that the lesion is not marked there.
"""

import json
from pathlib import Path

import numpy as np

from stenoscope.errors import DatasetError
from stenoscope.records import FRAME_SIZE

_EXPECTED = 'schema "stenoscope/truth", version 1 and an object "clips" (see stenoscope/dataset/truth.py)'


def read_truth(path: str | Path) -> dict[str, dict]:
    """Read a `truth.json` and return its entries by clip id.

    Raises
    ------
    DatasetError
        If the file is no JSON, has another schema, or a box is not four numbers with x0 < x1 and y0 < y1.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DatasetError(f"{path} can't be read: {problem}.", _EXPECTED) from problem
    if (
        not isinstance(content, dict)
        or content.get("schema") != "stenoscope/truth"
        or content.get("version") != 1
    ):
        raise DatasetError(f"{path} is not a truth file of this version.", _EXPECTED)
    clips = content.get("clips")
    if not isinstance(clips, dict) or not all(isinstance(clip, dict) for clip in clips.values()):
        raise DatasetError(f"{path} has no object 'clips' of objects.", _EXPECTED)
    for clip_id, clip in clips.items():
        for lesion in clip.get("lesions", []):
            boxes = lesion.get("boxes")
            for box in [box for box in boxes if box is not None] if boxes else [lesion.get("box")]:
                _check_box(box, f"{path}, clip {clip_id!r}")
    return clips


def truth_text(clips: dict[str, dict]) -> str:
    """Text of a `truth.json` with these entries by clip id."""
    content = {"schema": "stenoscope/truth", "version": 1, "clips": clips}
    return json.dumps(content, sort_keys=True, allow_nan=False) + "\n"


def keyframe_lesions(entry: dict | None, keyframes: tuple[int, ...], where: str) -> list[dict]:
    """Lesions of a clip with their boxes in its key frames.

    Parameters
    ----------
    entry : dict or None
        The clip's entry in the truth file; None if it has none.
    keyframes : tuple of int
        Frame indices.
    where : str
        Named in the error.

    Returns
    -------
    list of dict
        Keys `kind` (str), `severity` (float, share of the diameter, NaN unknown) and `boxes` (float32, one
        row ``x0, y0, x1, y1`` per key frame, NaN where it is not marked). Lesions that are marked in none of
        the key frames are left out.
    """
    lesions = []
    for lesion in (entry or {}).get("lesions", []):
        boxes = lesion.get("boxes")
        if boxes and len(boxes) <= max(keyframes):
            raise DatasetError(
                f"{where}: a lesion has boxes for {len(boxes)} frames of {max(keyframes) + 1} or more.",
                "one box per frame of the clip, or a single 'box'",
            )
        chosen = [boxes[frame] if boxes else lesion["box"] for frame in keyframes]
        if not any(chosen):
            continue
        lesions.append(
            {
                "kind": str(lesion.get("kind", "")),
                "severity": float(lesion.get("severity", np.nan)),
                "boxes": np.asarray([box or [np.nan] * 4 for box in chosen], np.float32),
            }
        )
    return lesions


def _check_box(box, where: str) -> None:
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(x, int | float) for x in box)
    if not (numbers and box[0] < box[2] and box[1] < box[3]):
        raise DatasetError(
            f"{where}: the box is {box!r}.", f"[x0, y0, x1, y1] with x0 < x1, y0 < y1 in 0..{FRAME_SIZE}"
        )
