"""The nouns of an intake: a clip that was found, what became of it, and all of a folder together."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from stenoscope.errors import printable
from stenoscope.run.access import FIX, UNLISTED

NOT_UTF8 = "The bytes of its name are not UTF-8, so that no output could name it. To fix: rename it."


SAME_ID = "have the same id"
"""In the reason of files of which none is read, as they could not be told apart."""


@dataclass(frozen=True)
class Source:
    """A clip that was found, not yet read.

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


@dataclass(frozen=True)
class Inventory:
    """What `discover` found.

    Attributes
    ----------
    sources : list of Source
        Clips to read, ordered by clip_id.
    rows : list of IntakeRow
        Everything else: files without a reader, and clips whose id is not unique.
    """

    sources: list[Source]
    rows: list[IntakeRow]

    @classmethod
    def of(cls, sources: Iterable[Source], rows: Iterable[IntakeRow]) -> "Inventory":
        """In the order of their names; a source whose name is not UTF-8 becomes a row that says so."""
        named, left_out = [], [_printable(row) for row in rows]
        for source in sources:
            if is_utf8(source.relative):
                named.append(source)
                continue
            row = IntakeRow(source.relative, source.clip_id, "quarantined", NOT_UTF8, source.reader)
            left_out.append(_printable(row))
        return cls(named, sorted(left_out, key=lambda row: (row.path, row.clip_id)))


def unlisted(folder: Path, root: Path, problem: OSError) -> IntakeRow:
    """The row of a folder below `root` that this user may not look into: it may hold clips."""
    reason = f"{UNLISTED}: {problem.strerror}. To fix: {FIX}"
    return IntakeRow(folder.relative_to(root).as_posix(), "", "quarantined", reason)


def is_utf8(name: str) -> bool:
    """Whether a file's name can be written to any output as it is."""
    return printable(name) == name


def _printable(row: IntakeRow) -> IntakeRow:
    texts = {name: printable(getattr(row, name)) for name in ("path", "clip_id", "reason")}
    return row if all(getattr(row, name) == text for name, text in texts.items()) else replace(row, **texts)
