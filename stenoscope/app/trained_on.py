"""What an experiment was trained on, as hashes of pixels: so that `predict` can name clips it has seen."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from stenoscope.data.clipset import ClipSet
from stenoscope.folds.mean_image import frame_rows, frames_of
from stenoscope.imaging.intake import pixel_hash
from stenoscope.results.files import TRAINED_ON, read_table, write_table
from stenoscope.results.predictions import SEEN, SEEN_PATIENT, UNKNOWN, UNSEEN


def write_trained_on(experiment: Path, clips: ClipSet, folds) -> None:
    """Write `trained_on.csv`: the key frames of all clips in the folds.

    Each has trained all models but one. Frames are hashed one by one, as they are stored: they are found
    in a clip under any name, in any lossless format, and also where frames before or after them are missing.
    """
    used = np.unique(np.concatenate([fold.valid for fold in folds]))
    clip, keyframe = np.divmod(frame_rows(used, clips.num_keyframes), clips.num_keyframes)
    table = pd.DataFrame(
        {
            "clip_id": [clips.clip_ids[i] for i in clip],
            "patient_id": [clips.patient_ids[i] for i in clip],
            "frame_index": clips.keyframes[clip, keyframe],
            "pixel_sha256": [pixel_hash(frame) for frame in frames_of(clips.frames, used)],
        }
    )
    write_table(experiment / TRAINED_ON, table)


class TrainedOn:
    """The clips and patients that an experiment was trained on.

    Without `trained_on.csv`, as of earlier versions, nothing is known.
    """

    def __init__(self, experiment: Path):
        path = experiment / TRAINED_ON
        self.known = path.exists()
        self._clip_of: dict[str, str] = {}
        self._patients: set[str] = set()
        if self.known:
            table = read_table(path, dtype=str)
            self._clip_of = dict(zip(table["pixel_sha256"], table["clip_id"], strict=True))
            self._patients = set(table["patient_id"]) - {""}

    def find(self, frames: np.ndarray, patient_id: str | None) -> dict[str, str]:
        """Whether a clip, uint8 (num_frames, 512, 512), or its patient was in the training data.

        `patient_id` is a pseudonym made from the header; it is known only to an experiment whose patients
        were named so. ``in_training`` is 'clip' (a frame has the pixels of a training key frame), 'patient',
        'no' or 'not known'; ``training_clip`` the id of the training clip with most frames in common.
        """
        if not self.known:
            return {"in_training": UNKNOWN, "training_clip": ""}
        # A frame without any contrast, blanked or padded, is no one's.
        hashes = {pixel_hash(frame) for frame in frames if frame.min() != frame.max()}
        found = Counter(self._clip_of[digest] for digest in sorted(hashes & self._clip_of.keys()))
        if found:
            return {"in_training": SEEN, "training_clip": found.most_common(1)[0][0]}
        return {"in_training": SEEN_PATIENT if patient_id in self._patients else UNSEEN, "training_clip": ""}
