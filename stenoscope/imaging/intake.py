"""Which clips a folder holds, and what became of each: the content of `intake.csv`."""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path
from unicodedata import normalize

import numpy as np

from stenoscope.errors import DatasetError, DicomError, printable
from stenoscope.imaging.dicomdir import is_dicomdir
from stenoscope.imaging.facts import Facts
from stenoscope.imaging.inventory import SAME_ID, IntakeRow, Inventory, Source, is_utf8
from stenoscope.imaging.readers import READERS
from stenoscope.imaging.walk import file_reader, file_source, folder_reader, indexed, walk
from stenoscope.records import Clip
from stenoscope.run import csv_files
from stenoscope.run.access import FIX, UNREADABLE, check_file, is_dir, is_file, is_there, paths_in

_FACTS = tuple({field.name for field in fields(Facts)} & {field.name for field in fields(IntakeRow)})


def discover(path: str | os.PathLike) -> Inventory:
    """Find the clips below a folder, or the one clip that `path` is.

    `SIDE_FILES` and `SIDE_FOLDERS` are passed over; whatever else is no clip has a row. A file is known
    by its suffix or, without a known one, by its content. Below a folder, a DICOMDIR tells which files
    are missing; given as `path`, it tells which files to read. The order depends on the names alone.

    Raises
    ------
    DatasetError
        If the path does not exist or holds no clip.
    DicomError
        If it is no folder and can't be read as a file, or a damaged DICOMDIR.
    """
    root = Path(path)
    check_root(root)
    expected = (
        "DICOM files ({}, or without suffix), folders of numbered images ({}), videos ({}), or files of "
        "several images ({})"
    ).format(*(", ".join(reader.suffixes) for reader in READERS.values()))
    if not is_there(root):
        raise DatasetError(f"{root} does not exist.", f"a folder with {expected}", "check the path.")
    if is_dicomdir(root) and is_file(root):
        found, rows = indexed(root)
    elif is_file(root) and file_reader(root):
        found, rows = [file_source(root, root.parent, file_reader(root))], []
    elif folder_reader(root):
        found, rows = [Source(root, normalize("NFC", root.resolve().name), folder_reader(root), ".")], []
        rest, rows = walk(root)
        found += rest
    elif is_dir(root):
        found, rows = walk(root)
    else:
        check_file(root)
        found, rows = [], []
    if not found and not any(row.status == "quarantined" for row in rows):
        held = f" among its {len(rows)} files" if rows else ""
        raise DatasetError(
            f"{root} holds no clip{held}." if is_dir(root) else f"{root} is not a clip.",
            expected,
            "check the path; convert other formats to one of these.",
        )
    by_id: dict[str, list[Source]] = {}
    for source in sorted(found, key=lambda source: source.clip_id):
        by_id.setdefault(source.clip_id, []).append(source)
    sources = []
    for clip_id, same in by_id.items():
        if len(same) == 1:
            sources += same
            continue
        names = " and ".join(sorted(source.relative for source in same))
        reason = (
            f"Not read, nor compared with other clips: {names} {SAME_ID}, {clip_id}. To fix: remove all but "
            "one if they hold the same run, else rename them."
        )
        rows += [
            IntakeRow(
                path=source.relative,
                clip_id=clip_id,
                status="quarantined",
                reason=reason,
                reader=source.reader,
            )
            for source in same
        ]
    return Inventory.of(sources, rows)


def check_root(root: Path) -> None:
    """Refuse a path that no output could name, and a folder that can't be looked into.

    Raises
    ------
    DatasetError
        If its bytes are not UTF-8, or this user may not list or enter it.
    """
    if not (is_utf8(str(root)) and is_utf8(root.resolve().name)):
        raise DatasetError(
            f"{root} has a name that is not UTF-8.", "a name that outputs can hold", "rename it."
        )
    try:
        if is_dir(root):
            paths_in(root)
    except PermissionError as problem:
        raise DatasetError(
            f"{root} {UNREADABLE}: {problem.strerror}.", "a folder that you may list", FIX
        ) from None


def read_source(source: Source, pseudonym: Callable[[str], str]) -> Clip:
    """Read the clip of a source.

    Raises
    ------
    DicomError
        If it can't be read.
    """
    return READERS[source.reader].read(source.path, source.clip_id, pseudonym)


def admit(source: Source, pseudonym: Callable[[str], str]) -> tuple[Clip | None, IntakeRow]:
    """Read the clip of a source, or say why it can't be used; never raises for a bad file.

    Returns
    -------
    clip : Clip or None
    row : IntakeRow
        Its line of `intake.csv`.
    """
    reader = READERS[source.reader]
    facts = Facts()
    try:
        facts = reader.facts(source.path)
        clip = reader.read(source.path, source.clip_id, pseudonym)
    except DicomError as problem:
        here = printable(str(source.path))  # no paths of this machine
        reason = problem.one_line.replace(here, source.relative)
        return None, _row(source, facts, "quarantined", reason)
    row = _row(source, facts, "ok", "; ".join((*facts.notes, *clip.notes)))
    return clip, replace(
        row,
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


def patient_of(source: Source, pseudonym: Callable[[str], str]) -> str | None:
    """The patient that the source itself names, as a pseudonym; None if it names none.

    Raises
    ------
    DicomError
        If its header can't be read.
    """
    return READERS[source.reader].patient(source.path, pseudonym)


def quarantine(row: IntakeRow, reason: str) -> IntakeRow:
    """The row of a clip that was read but can't be used after all."""
    return replace(row, status="quarantined", reason=reason)


def refuse(source: Source, reason: str) -> IntakeRow:
    """The row of a clip that was not read: it has no label, or its decoder crashed."""
    return _row(source, Facts(), "quarantined", reason)


def missing_clip(clip_id: str) -> IntakeRow:
    """The row of a label whose clip is not there."""
    return IntakeRow(
        path="",
        clip_id=clip_id,
        status="quarantined",
        reason="Labelled, but no such clip was found. To fix: add the clip or delete the label.",
    )


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


def _row(source: Source, facts: Facts, status: str, reason: str) -> IntakeRow:
    return IntakeRow(
        path=source.relative,
        clip_id=source.clip_id,
        status=status,
        reason=reason,
        reader=source.reader,
        **{name: getattr(facts, name) for name in _FACTS},
    )
