"""A folder of clips as step 1 takes it, with what its publishers say of them: the end of all layouts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stenoscope.data.labels import LabelTable
from stenoscope.errors import DatasetError
from stenoscope.geometry import source_to_frame
from stenoscope.imaging.find import Found, in_order
from stenoscope.imaging.intake import IntakeRow, Source
from stenoscope.imaging.sequences import frames_facts


@dataclass(frozen=True)
class Mark:
    """A lesion in one frame: its class in the data set's words, its severity, its box.

    `severity` is the share of the diameter that is lost, NaN where unknown; `box` is x0, y0, x1, y1 in pixels
    of the source.
    """

    kind: str
    severity: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Entry:
    """One clip of a data set.

    Attributes
    ----------
    source : Source
    patient : str
        Empty where the set does not say.
    label : float or None
        0, 1, or None where the set does not say.
    keyframes : tuple of int or None
        Frames that the set's own experts selected, ascending; None where it selects none.
    lesions : list of dict
        As in `truth.json`, see `tracks`.
    """

    source: Source
    patient: str
    label: float | None = None
    keyframes: tuple[int, ...] | None = None
    lesions: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class DataSet(Found):
    """What a folder holds, with what a published data set says of its clips.

    Attributes
    ----------
    labels : LabelTable or None
        None if it labels nothing.
    patients : dict of str to str
        Patient of each clip, where the set says.
    keyframes : dict of str to tuple of int
        Published key frames of each clip, where there are any.
    truth : dict of str to dict
        Entries of a `truth.json`.
    stills : bool
        The set holds selected frames, not runs: there is no contrast injection to look for.
    """

    labels: LabelTable | None = None
    patients: dict[str, str] = field(default_factory=dict)
    keyframes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    truth: dict[str, dict] = field(default_factory=dict)
    stills: bool = False

    @classmethod
    def of(cls, entries: Iterable[Entry], rows: Iterable[IntakeRow], stills: bool = False) -> "DataSet":
        """Bring the clips of a data set together, ordered by clip id."""
        entries = sorted(entries, key=lambda entry: entry.source.clip_id)
        found = in_order((entry.source for entry in entries), rows)
        named = {source.clip_id for source in found.sources}
        by_id = {entry.source.clip_id: entry for entry in entries if entry.source.clip_id in named}
        labelled = {name: entry for name, entry in by_id.items() if entry.label is not None}
        labels = None
        if labelled:
            labels = LabelTable(
                list(labelled),
                [entry.patient for entry in labelled.values()],
                ["label"],
                np.array([[entry.label] for entry in labelled.values()], np.float32),
            )
        return cls(
            found.sources,
            found.rows,
            labels,
            patients={name: entry.patient for name, entry in by_id.items() if entry.patient},
            keyframes={name: entry.keyframes for name, entry in by_id.items() if entry.keyframes},
            truth={name: {"lesions": entry.lesions} for name, entry in by_id.items() if entry.lesions},
            stills=stills,
        )


def image_size(path: Path) -> tuple[int, int]:
    """Rows and columns of an image, from its header.

    Raises
    ------
    DicomError
        If it is missing or not an image.
    """
    facts = frames_facts([path])
    return facts.rows, facts.cols


def tracks(marks: Mapping[int, Sequence[Mark]], num_frames: int, size: tuple[int, int]) -> list[dict]:
    """Lesions with a box for each frame, as in `truth.json`, from marks of single frames.

    Data sets number no lesions through a clip. The k-th mark of a kind in one frame is therefore taken with
    the k-th of that kind in the others: right for the boxes of any one frame, a guess for their identity.

    Parameters
    ----------
    marks : mapping of int to sequence of Mark
        By frame index, from 0.
    num_frames : int
    size : (int, int)
        Rows and columns of the source's frames.

    Returns
    -------
    list of dict
        ``kind``, ``severity`` (left out where unknown) and ``boxes``: per frame ``[x0, y0, x1, y1]``, pixels
        of the 512 x 512 frame, or None where the lesion is not marked.
    """
    found: dict[tuple[str, int], dict] = {}
    for frame in sorted(marks):
        ranks: dict[str, int] = {}
        for mark in marks[frame]:
            rank = ranks[mark.kind] = ranks.get(mark.kind, -1) + 1
            known = {} if np.isnan(mark.severity) else {"severity": mark.severity}
            lesion = found.setdefault(
                (mark.kind, rank), {"kind": mark.kind, **known, "boxes": [None] * num_frames}
            )
            lesion["boxes"][frame] = in_frame(mark.box, size)
    return [found[key] for key in sorted(found)]


def check_box(box: tuple[float, float, float, float], where: str, expected: str) -> tuple:
    """The box itself.

    Raises
    ------
    DatasetError
        If a number is not finite, or the box is empty.
    """
    if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise DatasetError(f"{where}: the box is {box}.", expected, "unpack the data set again.")
    return box


def in_frame(box: tuple[float, float, float, float], size: tuple[int, int]) -> list[float]:
    """Source pixels to pixels of the stored frame: see `imaging.intensity.to_frame`."""
    return [round(value, 3) for value in source_to_frame(*size).box(box)]
