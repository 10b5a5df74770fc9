"""The two actions of a clip, and the files that state them.

An array of actions is float32 (2, 2): rows start to apex and apex to end, columns first and last frame; NaN
where the clip does not show that action. A clip that begins opacified or ends before wash-out shows the part
of the action that it holds.

Files are in the style of ActivityNet [1]_, as those of ActionFormer and its like, in seconds::

    {"version": "1", "database": {
       "CLIP_ID": {"subset": "training", "fps": 15.0, "duration": 4.2, "annotations": [
          {"label": "start_to_apex", "label_id": 0, "segment": [0.4, 1.6]},
          {"label": "apex_to_end", "label_id": 1, "segment": [1.6, 3.1]}]}}}

References
----------
.. [1] F. Caba Heilbron et al., "ActivityNet: a large-scale video benchmark for human activity
   understanding", CVPR 2015.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stenoscope.errors import DatasetError

ACTIONS = ("start_to_apex", "apex_to_end")
"""Labels of the two actions, in the order of their ids."""
SUBSETS = ("training", "validation", "testing")
_EXPECTED = 'an object "database" of clips with fps, subset and annotations (see temporal/labels.py)'


@dataclass(frozen=True)
class LabelledClip:
    """What a label file says of a clip."""

    subset: str  # one of `SUBSETS`
    fps: float  # frames per second
    actions: np.ndarray  # float32 (2, 2), in frames


def actions_of(start: int | None, apex: int, end: int | None, num_frames: int) -> np.ndarray:
    """Actions of a clip with these key frames; a start or an end of None lies outside the clip.

    >>> actions_of(5, 12, None, 20).tolist(), actions_of(None, 0, 7, 20).tolist()
    ([[5.0, 12.0], [12.0, 19.0]], [[nan, nan], [0.0, 7.0]])
    """
    return clipped([[start or 0, apex], [apex, num_frames - 1 if end is None else end]], num_frames)


def clipped(actions, num_frames: int) -> np.ndarray:
    """The part of the actions that lies in a clip of so many frames; NaN where that is less than a frame."""
    actions = np.clip(np.asarray(actions, np.float32), 0, num_frames - 1)
    actions[~(actions[:, 1] - actions[:, 0] >= 1)] = np.nan
    return actions


def keyframes_of(actions: np.ndarray) -> np.ndarray:
    """Start, apex and end, float64 (3,).

    The apex is the mean of the end of the first action and the start of the second. An action that is missing
    leaves the apex to the other one, and its own outer frame NaN.

    >>> keyframes_of(np.array([[3, 9], [11, 20]])).tolist()
    [3.0, 10.0, 20.0]
    """
    actions = np.asarray(actions, np.float64)
    inner = np.array([actions[0, 1], actions[1, 0]])
    known = inner[np.isfinite(inner)]
    return np.array([actions[0, 0], known.mean() if len(known) else np.nan, actions[1, 1]])


def read_labels(path: str | Path) -> dict[str, LabelledClip]:
    """Read a label file; clips in its order.

    Raises DatasetError if it is no JSON of this form, a label is unknown, or a segment is not two seconds in
    order.
    """
    path = Path(path)
    try:
        database = json.loads(path.read_text(encoding="utf-8"))["database"]
        return {clip_id: _labelled(entry) for clip_id, entry in database.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        what = f"no {problem}" if isinstance(problem, KeyError) else str(problem)
        raise DatasetError(f"{path} can't be read as labels: {what}.", _EXPECTED) from problem


def _labelled(entry: Mapping) -> LabelledClip:
    subset, fps = entry["subset"], float(entry["fps"])
    if subset not in SUBSETS or not 0 < fps < 1000:
        raise ValueError(f"subset {subset!r} and fps {fps}; subsets are {', '.join(SUBSETS)}")
    actions = np.full((2, 2), np.nan, np.float32)
    for annotation in entry["annotations"]:
        label, (first, last) = annotation["label"], annotation["segment"]
        if label not in ACTIONS or not 0 <= first < last:
            raise ValueError(f"label {label!r}, segment {first} to {last}; labels are {', '.join(ACTIONS)}")
        actions[ACTIONS.index(label)] = first * fps, last * fps
    return LabelledClip(subset, fps, actions)


def labels_text(clips: Mapping[str, LabelledClip], num_frames: Mapping[str, int]) -> str:
    """Text of a label file for these clips."""
    database = {}
    for clip_id, clip in clips.items():
        annotations = [
            {"label": label, "label_id": k, "segment": (segment / clip.fps).tolist()}
            for k, (label, segment) in enumerate(zip(ACTIONS, clip.actions.astype(float), strict=True))
            if np.isfinite(segment).all()
        ]
        database[clip_id] = {
            "subset": clip.subset,
            "fps": clip.fps,
            "duration": num_frames[clip_id] / clip.fps,
            "annotations": annotations,
        }
    return json.dumps({"version": "1", "database": database}, indent=1, allow_nan=False) + "\n"
