"""What became of each source and file of a folder: the lines of `intake.csv`."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from stenoscope.errors import DicomError, printable
from stenoscope.imaging.facts import Columns, Facts, Pseudonym
from stenoscope.imaging.readers import READERS
from stenoscope.records import Clip
from stenoscope.run import csv_files


@dataclass(frozen=True)
class Source:
    """A clip on the disk, not yet read."""

    path: Path  # file, or folder of images
    clip_id: str  # path below the input folder, without suffix, `/` between folders
    reader: str  # name in `READERS`
    relative: str  # path below the input folder, for `intake.csv`

    def row(self, status: str, reason: str, facts: Columns | None = None) -> "IntakeRow":
        """The row of this source, with what is known of it."""
        known = {column.name: getattr(facts or Columns(), column.name) for column in fields(Columns)}
        return IntakeRow(self.relative, self.clip_id, status, reason, self.reader, **known)


@dataclass(frozen=True)
class _Outcome:
    path: str  # below the input folder
    clip_id: str
    status: str  # `ok` (read), `quarantined` (a clip that can't be used) or `ignored` (no clip)
    reason: str = ""  # why it was not used; for a clip that was, what one should know of it
    reader: str = ""  # name in `READERS`


@dataclass(frozen=True, slots=True)  # there is one for each of 100,000 clips
class IntakeRow(Columns, _Outcome):
    """What became of one input, then what it says of itself: one line of `intake.csv`.

    The columns below are of clips that were read.
    """

    scale: float | None = None  # stored pixels per source pixel
    # of the frames as they are used (`pixel_hash`): the same in every lossless transfer syntax and whatever
    # the header says of the patient
    pixel_sha256: str = ""
    sha256: str = ""  # of the source's bytes
    same_pixels_as: str = ""  # first clip, by id, of those in the same table that have the very same pixels


def admit(source: Source, pseudonym: Pseudonym) -> tuple[Clip | None, IntakeRow]:
    """Read the clip of a source, or say in its row why it can't be used; never raises for a bad file."""
    facts = Facts()
    try:
        with READERS[source.reader].open(source.path) as opened:
            facts = opened.facts
            clip = opened.read(source.clip_id, pseudonym)
    except DicomError as problem:
        here = printable(str(source.path))  # no paths of this machine
        reason = problem.one_line.replace(here, source.relative)
        return None, source.row("quarantined", reason, facts)
    return clip, replace(
        source.row("ok", "; ".join((*facts.notes, *clip.notes)), facts),
        num_frames=len(clip.frames),
        frame_time_ms=clip.frame_time_ms,
        scale=clip.scale,
        pixel_sha256=pixel_hash(clip.frames),
        sha256=clip.source_sha256,
    )


def pixel_hash(frames: np.ndarray) -> str:
    """Hexadecimal SHA-256 of the shape and the grey levels of frames, uint8 (num_frames, rows, cols)."""
    digest = hashlib.sha256(str(frames.shape).encode())
    digest.update(np.ascontiguousarray(frames))
    return digest.hexdigest()


def patient_of(source: Source, pseudonym: Pseudonym) -> str | None:
    """The patient that the source itself names, as a pseudonym; None if it names none.

    Raises DicomError if its header can't be read.
    """
    if not READERS[source.reader].names_patients:
        return None
    with READERS[source.reader].open(source.path) as opened:
        return opened.patient(pseudonym)


def quarantine(row: IntakeRow, reason: str) -> IntakeRow:
    """The row of a clip that was read but can't be used after all."""
    return replace(row, status="quarantined", reason=reason)


def missing_clip(clip_id: str) -> IntakeRow:
    """The row of a label whose clip is not there."""
    return IntakeRow(
        path="",
        clip_id=clip_id,
        status="quarantined",
        reason="Labelled, but no such clip was found. To fix: add the clip or delete the label.",
    )


def counts_of(rows: Iterable[IntakeRow]) -> dict[str, int]:
    """How many rows have which status."""
    states = [row.status for row in rows]
    return {state: states.count(state) for state in ("ok", "quarantined", "ignored")}


def simulated_count(rows: Iterable[IntakeRow]) -> dict[str, int]:
    """Of the clips that were read, how many say that they are simulated: ``clips`` and ``of``."""
    read = [row for row in rows if row.status == "ok"]
    return {"clips": sum(row.simulated == "yes" for row in read), "of": len(read)}


def to_csv(rows: Iterable[IntakeRow], kind: type[IntakeRow] = IntakeRow) -> str:
    """Text of `intake.csv`: a line per input, by path, None as an empty cell; `kind` has the columns."""
    ordered = sorted(rows, key=lambda row: (row.path, row.clip_id))
    return csv_files.to_csv([asdict(row) for row in ordered], [field.name for field in fields(kind)])
