"""What became of each source and file of a folder: the lines of `intake.csv`."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from stenoscope.errors import DicomError, printable
from stenoscope.imaging.facts import Facts, Pseudonym
from stenoscope.imaging.readers import READERS
from stenoscope.records import Clip
from stenoscope.run import csv_files


@dataclass(frozen=True)
class Source:
    """A clip on the disk, not yet read.

    Attributes
    ----------
    path : Path
        File, or folder of images.
    clip_id : str
        Path below the input folder, without suffix, ``/`` between folders.
    reader : str
        Name in `READERS`.
    relative : str
        Path below the input folder, for `intake.csv`.
    """

    path: Path
    clip_id: str
    reader: str
    relative: str

    def row(self, status: str, reason: str) -> "IntakeRow":
        """The row of this source, with nothing of what is in it."""
        return IntakeRow(self.relative, self.clip_id, status, reason, self.reader)


@dataclass(frozen=True, slots=True)  # there is one for each of 100,000 clips
class IntakeRow:
    """What became of one input: one line of `intake.csv`.

    Attributes
    ----------
    path : str
        Below the input folder.
    clip_id : str
    status : str
        ``ok`` (read), ``quarantined`` (a clip that can't be used) or ``ignored`` (no clip).
    reason : str
        Why it was not used; for a clip that was, what one should know of it.
    reader : str
        Name in `READERS`.
    num_frames, ..., simulated
        See `Facts`; None or empty where not known.
    scale : float or None
        Stored pixels per source pixel, for clips that were read.
    pixel_sha256 : str
        Of the frames as they are used (`pixel_hash`), for clips that were read: the same in every lossless
        transfer syntax and whatever the header says of the patient.
    sha256 : str
        Of the source's bytes, for clips that were read.
    same_pixels_as : str
        First clip, by id, of those in the same table that have the very same pixels.
    """

    path: str
    clip_id: str
    status: str
    reason: str = ""
    reader: str = ""
    num_frames: int | None = None
    rows: int | None = None
    cols: int | None = None
    frame_time_ms: float | None = None
    transfer_syntax: str = ""
    modality: str = ""
    sop_class: str = ""
    bits_allocated: int | None = None
    bits_stored: int | None = None
    photometric: str = ""
    voi: str = ""
    primary_angle: float | None = None
    secondary_angle: float | None = None
    collimator: str = ""
    shutter: str = ""
    overlays: int | None = None
    burned_in: str = ""
    simulated: str = ""
    scale: float | None = None
    pixel_sha256: str = ""
    sha256: str = ""
    same_pixels_as: str = ""


_FACTS = tuple({field.name for field in fields(Facts)} & {field.name for field in fields(IntakeRow)})


def admit(source: Source, pseudonym: Pseudonym) -> tuple[Clip | None, IntakeRow]:
    """Read the clip of a source, or say why it can't be used; never raises for a bad file.

    Returns
    -------
    clip : Clip or None
    row : IntakeRow
        Its line of `intake.csv`.
    """
    facts = Facts()
    try:
        with READERS[source.reader].open(source.path) as opened:
            facts = opened.facts
            clip = opened.read(source.clip_id, pseudonym)
    except DicomError as problem:
        here = printable(str(source.path))  # no paths of this machine
        reason = problem.one_line.replace(here, source.relative)
        return None, replace(source.row("quarantined", reason), **_columns(facts))
    row = replace(source.row("ok", "; ".join((*facts.notes, *clip.notes))), **_columns(facts))
    return clip, replace(
        row,
        num_frames=len(clip.frames),
        frame_time_ms=clip.frame_time_ms,
        scale=clip.scale,
        pixel_sha256=pixel_hash(clip.frames),
        sha256=clip.source_sha256,
    )


def _columns(facts: Facts) -> dict:
    return {name: getattr(facts, name) for name in _FACTS}


def pixel_hash(frames: np.ndarray) -> str:
    """Hexadecimal SHA-256 of the shape and the grey levels of frames, uint8 (num_frames, rows, cols)."""
    digest = hashlib.sha256(str(frames.shape).encode())
    digest.update(np.ascontiguousarray(frames))
    return digest.hexdigest()


def patient_of(source: Source, pseudonym: Pseudonym) -> str | None:
    """The patient that the source itself names, as a pseudonym; None if it names none.

    Raises
    ------
    DicomError
        If its header can't be read.
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
    """Text of `intake.csv`: one line per input, ordered by path, None as an empty cell.

    `kind` is the class of the rows, for its columns.
    """
    ordered = sorted(rows, key=lambda row: (row.path, row.clip_id))
    return csv_files.to_csv([asdict(row) for row in ordered], [field.name for field in fields(kind)])
