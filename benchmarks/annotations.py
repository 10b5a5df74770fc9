"""Clips of any kind with a reading of their apex: the file `annotations.csv` beside them.

Columns; docs/keyframes.md says how to read a clip. Frame indices count from 0.

=================  =====================================================================================
``clip``           the clip's path below the folder, without suffix, as step 1 names it
``patient``        any pseudonym; intervals and left-out measurements go by it
``apex``           the one best frame
``apex_lo``        first frame that is accepted as a key frame
``apex_hi``        last frame that is accepted as a key frame
``first_contrast`` first frame with contrast in the artery; empty: frame 0 has it already
``last_contrast``  last frame with clear contrast; empty: the clip ends with it
``full_end``       last frame in which the whole tree is filled
=================  =====================================================================================

Other columns are for people and are not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stenoscope.errors import DatasetError
from stenoscope.imaging.find import find_clips
from stenoscope.imaging.intake import admit

REQUIRED = ("apex", "apex_lo", "apex_hi", "full_end")
OPTIONAL = ("first_contrast", "last_contrast")
_EXPECTED = f"columns clip, patient, {', '.join(REQUIRED + OPTIONAL)} with frame indices from 0"


@dataclass(frozen=True)
class Reference:
    """What is known of a clip; frame indices from 0."""

    clip_id: str
    patient_id: str
    apex: int
    accepted: tuple[int, int]
    start: int | None
    end: int | None
    full_end: int


def read_annotations(path: Path) -> list[Reference]:
    """The readings of a file.

    Raises
    ------
    DatasetError
        With all faults at once: missing columns, cells that are no frame index, frames out of order.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in ("clip", "patient", *REQUIRED, *OPTIONAL) if name not in table.columns]
    if missing:
        raise DatasetError(f"{path} has no column {', '.join(missing)}.", _EXPECTED, "add it.")
    found, faults = [], []
    for line, row in zip(table.index + 2, table.to_dict("records"), strict=True):
        cells = {name: row[name].strip() for name in REQUIRED + OPTIONAL}
        wrong = [
            f"line {line}: {name} is {cell!r}"
            for name, cell in cells.items()
            if not cell.isdecimal() and (cell or name in REQUIRED)
        ]
        if wrong:
            faults += wrong
            continue
        frame = {name: int(cell) if cell else None for name, cell in cells.items()}
        order = ("first_contrast", "apex_lo", "apex", "apex_hi", "last_contrast")
        known = [frame[name] for name in order if frame[name] is not None]
        if known != sorted(known) or frame["full_end"] < frame["apex"]:
            faults.append(f"line {line}: {', '.join(order)} do not ascend, or full_end lies before apex")
        accepted = frame["apex_lo"], frame["apex_hi"]
        start, end = frame["first_contrast"], frame["last_contrast"]
        found.append(
            Reference(row["clip"], row["patient"], frame["apex"], accepted, start, end, frame["full_end"])
        )
    if faults:
        raise DatasetError(f"{path}: {'; '.join(faults)}.", _EXPECTED, "correct these lines.")
    return found


def read_annotated(folder: Path) -> Iterator[tuple[np.ndarray, Reference]]:
    """Frames, uint8 (num_frames, 512, 512), and reading of each clip of a folder with an `annotations.csv`.

    Raises
    ------
    DatasetError
        If the file is faulty, or a clip is not there, can't be read, or is shorter than its reading.
    """
    sources = {source.clip_id: source for source in find_clips(folder).sources}
    for reference in read_annotations(folder / "annotations.csv"):
        if reference.clip_id not in sources:
            raise DatasetError(
                f"{folder} has no clip {reference.clip_id!r}.",
                "the clip's path below the folder, without suffix",
                "correct the column clip.",
            )
        clip, row = admit(sources[reference.clip_id], str)
        last = max(reference.accepted[1], reference.end or 0, reference.full_end)
        if clip is None or last >= len(clip.frames):
            reason = row.reason if clip is None else f"frame {last} of {len(clip.frames)} is named"
            raise DatasetError(f"{folder}, clip {reference.clip_id!r}: {reason}.", "a readable clip", "")
        yield clip.frames, reference
