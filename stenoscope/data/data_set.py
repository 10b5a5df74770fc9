"""A folder of clips as step 1 takes it, with what its publishers say of them: the end of all layouts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stenoscope.data.labels import LabelTable
from stenoscope.imaging.find import Found, in_order
from stenoscope.imaging.intake import IntakeRow, Source
from stenoscope.imaging.sequences import frames_facts


@dataclass(frozen=True)
class Entry:
    """One clip of a data set."""

    source: Source
    patient: str  # empty where the set does not say
    label: float | None = None  # 0, 1, or None where the set does not say
    # selected by the set's own experts, ascending; None where there are none
    keyframes: tuple[int, ...] | None = None
    lesions: list[dict] = field(default_factory=list)  # as in `truth.json`, see `boxes.tracks`


@dataclass(frozen=True)
class DataSet(Found):
    """What a folder holds, with what a published data set says of its clips."""

    labels: LabelTable | None = None  # None if it labels nothing
    patients: dict[str, str] = field(default_factory=dict)  # of each clip, where the set says
    # as published for each clip, where there are any
    keyframes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    truth: dict[str, dict] = field(default_factory=dict)  # entries of a `truth.json`
    stills: bool = False  # selected frames, not runs: there is no contrast injection to look for

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
    """Rows and columns of an image, from its header; raises DicomError if it is missing or not an image."""
    facts = frames_facts([path])
    return facts.rows, facts.cols
