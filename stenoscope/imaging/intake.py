"""Which clips a folder holds, and what became of each: the content of `intake.csv`."""

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from stenoscope.errors import DatasetError, DicomError
from stenoscope.imaging.dicomdir import indexed_images, is_dicomdir
from stenoscope.imaging.facts import Facts
from stenoscope.imaging.readers import READERS
from stenoscope.records import Clip

SIDE_FILES = frozenset({"labels.csv", "truth.json", "manifest.json"})
"""Files that belong to a data set and are no clips."""

SIDE_FOLDERS = frozenset({"truth_masks"})


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
    num_frames, ..., burned_in
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
    scale: float | None = None
    pixel_sha256: str = ""
    sha256: str = ""
    same_pixels_as: str = ""


_FACTS = tuple({field.name for field in fields(Facts)} & {field.name for field in fields(IntakeRow)})


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


def discover(path: str | os.PathLike) -> Inventory:
    """Find the clips below a folder, or the one clip that `path` is.

    Hidden entries, `SIDE_FILES` and `SIDE_FOLDERS` are passed over. A file is known by its suffix or, without
    a known one, by its content. Below a folder, a DICOMDIR tells which files are missing; given as `path`, it
    tells which files to read. The order depends on the names alone.

    Raises
    ------
    DatasetError
        If the path does not exist or holds no clip.
    """
    root = Path(path)
    expected = "DICOM files ({}, or without suffix), folders of numbered images ({}), or videos ({})".format(
        *(", ".join(reader.suffixes) for reader in READERS.values())
    )
    if not root.exists():
        raise DatasetError(f"{root} does not exist.", f"a folder with {expected}", "check the path.")
    if is_dicomdir(root) and root.is_file():
        found, rows = _indexed(root)
    elif root.is_file():
        found, rows = [_source(root, root.parent, _file_reader(root))], []
    elif _folder_reader(root):
        found, rows = [Source(root, root.resolve().name, _folder_reader(root), ".")], []
        rest, rows = _walk(root)
        found += rest
    else:
        found, rows = _walk(root)
    if not found or found[0].reader == "":
        held = f" among its {len(rows)} files" if rows else ""
        raise DatasetError(
            f"{root} holds no clip{held}." if root.is_dir() else f"{root} is no clip.",
            expected,
            "check the path; convert other formats to one of these.",
        )
    by_id: dict[str, list[Source]] = {}
    for source in found:
        by_id.setdefault(source.clip_id, []).append(source)
    sources = []
    for clip_id in sorted(by_id):
        same = by_id[clip_id]
        if len(same) == 1:
            sources += same
            continue
        names = " and ".join(sorted(source.relative for source in same))
        rows += [
            IntakeRow(
                path=source.relative,
                clip_id=clip_id,
                status="quarantined",
                reason=f"Two clips with the id {clip_id}: {names}. To fix: rename or remove one of them.",
                reader=source.reader,
            )
            for source in same
        ]
    return Inventory(sources, sorted(rows, key=lambda row: row.path))


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
        reason = problem.one_line.replace(str(source.path), source.relative)  # no paths of this machine
        return None, _row(source, facts, "quarantined", reason)
    row = _row(source, facts, "ok", "; ".join(facts.notes))
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


def to_csv(rows: Iterable[IntakeRow], kind: type[IntakeRow] = IntakeRow) -> str:
    """Text of `intake.csv`: one line per input, ordered by path, None as an empty cell.

    `kind` is the class of the rows, for its columns.
    """
    text = io.StringIO()
    names = [field.name for field in fields(kind)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in sorted(rows, key=lambda row: (row.path, row.clip_id)))
    return text.getvalue()


def _row(source: Source, facts: Facts, status: str, reason: str) -> IntakeRow:
    return IntakeRow(
        path=source.relative,
        clip_id=source.clip_id,
        status=status,
        reason=reason,
        reader=source.reader,
        **{name: getattr(facts, name) for name in _FACTS},
    )


def _indexed(index: Path) -> tuple[list[Source], list[IntakeRow]]:
    """Sources that a DICOMDIR names and that are there, and a row for each that is not."""
    present, absent = indexed_images(index)
    sources = [_source(path, index.parent, "dicom") for path in present]
    return sources, [_not_there(path, index, index.parent) for path in absent]


def _not_there(path: Path, index: Path, root: Path) -> IntakeRow:
    relative = path.relative_to(root).as_posix()
    return IntakeRow(
        path=relative,
        clip_id=relative,
        status="quarantined",
        reason=f"The index {index.relative_to(root).as_posix()} names this image, but it is not there. "
        "To fix: copy the whole disc again; if the image was left out on purpose, delete the index.",
        reader="dicom",
    )


def _walk(root: Path) -> tuple[list[Source], list[IntakeRow]]:
    """Sources and ignored files below `root`, in the order of their names."""
    sources: list[Source] = []
    rows: list[IntakeRow] = []
    seen = set()

    def note(problem: OSError) -> None:
        relative = Path(problem.filename).relative_to(root).as_posix()
        rows.append(IntakeRow(relative, "", "ignored", f"This folder can't be listed: {problem.strerror}."))

    for folder, folders, files in os.walk(root, onerror=note, followlinks=True):
        here = Path(folder)
        real = here.resolve()
        if real in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SIDE_FOLDERS)
        claimed: tuple[str, ...] = ()
        reader = _folder_reader(here)
        if reader:
            claimed = READERS[reader].suffixes
            if here != root:
                sources.append(_source(here, root, reader))
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or name in SIDE_FILES or path.suffix.lower() in claimed:
                continue
            kind = _file_reader(path)
            relative = path.relative_to(root).as_posix()
            if kind:
                sources.append(_source(path, root, kind))
            elif is_dicomdir(path):
                reason, absent = _read_index(path)
                rows.append(IntakeRow(relative, "", "ignored", reason))
                rows += [_not_there(missing, path, root) for missing in absent]
            else:
                rows.append(IntakeRow(relative, "", "ignored", _why_ignored(path)))
    return sources, rows


def _read_index(path: Path) -> tuple[str, list[Path]]:
    """What `intake.csv` says of a DICOMDIR, and the images it names that are not there."""
    try:
        present, absent = indexed_images(path)
    except DicomError:
        return "A damaged index of files; the files were looked for without it.", []
    return f"An index of {len(present) + len(absent)} images; missing: {len(absent)}.", absent


def _source(path: Path, root: Path, reader: str) -> Source:
    relative = path.relative_to(root)
    known = reader and path.suffix.lower() in READERS[reader].suffixes and not READERS[reader].is_folder
    return Source(
        path, (relative.with_suffix("") if known else relative).as_posix(), reader, relative.as_posix()
    )


def _folder_reader(folder: Path) -> str:
    """Name of the reader that takes the folder as one clip, or an empty string."""
    return next((name for name, reader in READERS.items() if reader.is_folder and reader.detect(folder)), "")


def _file_reader(path: Path) -> str:
    """Name of the reader that takes the file, by suffix, else by content, or an empty string."""
    readers = {name: reader for name, reader in READERS.items() if not reader.is_folder}
    suffix = path.suffix.lower()
    if is_dicomdir(path):
        return ""
    for name, reader in readers.items():
        if suffix in reader.suffixes:
            return name
    return next((name for name, reader in readers.items() if reader.detect(path)), "")


def _why_ignored(path: Path) -> str:
    suffix = path.suffix.lower()
    if any(reader.is_folder and suffix in reader.suffixes for reader in READERS.values()):
        return "A single image: a clip is a folder of at least two numbered ones."
    if _lacks_preamble(path):
        return (
            "Looks like a DICOM file without its first 132 bytes. To fix: mend it with `gdcmconv IN OUT`, or "
            "export it again."
        )
    return f"No reader for {suffix or 'files without a suffix'} of this content."


def _lacks_preamble(path: Path) -> bool:
    """Whether a file begins like a bare DICOM data set: group 2 or 8, in either byte order."""
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError:
        return False
    little, big = start[:4], start[1::-1] + start[3:1:-1]
    return len(start) == 8 and any(
        tag[:2] in (b"\x02\x00", b"\x08\x00") and tag[3] == 0 and tag[2] <= 0x18 for tag in (little, big)
    )
