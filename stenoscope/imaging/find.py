"""What a folder holds: which files and folders below it are clips, by their names and first bytes."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from stenoscope.errors import DatasetError, DicomError, printable
from stenoscope.imaging.dicomdir import indexed_images, is_dicomdir
from stenoscope.imaging.intake import IntakeRow, Source
from stenoscope.imaging.readers import READERS
from stenoscope.imaging.sequences import is_image, sort_images
from stenoscope.imaging.video import CONVERT
from stenoscope.run import access
from stenoscope.run.access import FIX, UNLISTED, UNREADABLE, is_dir, is_file

SIDE_FILES = frozenset((
    "labels.csv", "labels.xlsx", "labels_template.csv", "same_patients.csv", "truth.json", "manifest.json",
))  # fmt: skip
"""Files that belong to a data set and are no clips."""

SIDE_FOLDERS = frozenset({"truth_masks"})

SAME_ID = "have the same id"
"""In the reason of files that are not read because they can't be told apart."""

UNREAD = {
    (".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".flv", ".ogv", ".3gp", ".mxf", ".dv", ".rm"): (
        f"A video of a kind that is not read. To fix: {CONVERT}."
    ),
    (".webp", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".pgm", ".ppm", ".tga", ".psd"): (
        "An image of a kind that is not read. To fix: convert it with `magick IN OUT.png` (ImageMagick)."
    ),
    (".nii", ".nrrd", ".mha", ".mhd", ".npy", ".npz", ".mat", ".h5", ".raw"): (
        "A kind of array that is not read. To fix: save each frame as a numbered PNG file of 8 or 16 bits."
    ),
    (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".iso"): "An archive. To fix: unpack it.",
}
"""What is not read, by suffixes, and how to convert it."""


_NOT_UTF8 = "The bytes of its name are not UTF-8, so that no output could name it. To fix: rename it."


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    sources: list[Source]  # clips to read, ordered by clip_id
    rows: list[IntakeRow]  # everything else: files without a reader, and clips whose id is not unique


def in_order(sources: Iterable[Source], rows: Iterable[IntakeRow]) -> Found:
    """Sources and rows, these by their paths; a source whose name is not UTF-8 becomes a row that says so."""
    named, left_out = [], list(rows)
    for source in sources:
        if is_utf8(source.relative):
            named.append(source)
        else:
            left_out.append(source.row("quarantined", _NOT_UTF8))
    left_out = [_printable(row) for row in left_out]
    return Found(named, sorted(left_out, key=lambda row: (row.path, row.clip_id)))


def find_clips(path: str | os.PathLike) -> Found:
    """Find the clips below a folder, or the one clip that `path` is.

    `SIDE_FILES` and `SIDE_FOLDERS` are passed over; whatever else is no clip has a row. A file is known by
    its suffix or, without a known one, by its content. Below a folder, a DICOMDIR tells which files are
    missing; given as `path`, it tells which files to read. The order depends on the names alone. Raises
    DatasetError if the path does not exist or holds no clip, DicomError if it is no folder and can't be read
    as a file, or a damaged DICOMDIR.
    """
    root = Path(path)
    check_root(root)
    expected = (
        "DICOM files ({}, or without suffix), folders of numbered images ({}), videos ({}), or files of "
        "several images ({})"
    ).format(*(", ".join(reader.suffixes) for reader in READERS.values()))
    if not access.is_there(root):
        raise DatasetError(f"{root} does not exist.", f"a folder with {expected}", "check the path.")
    found, rows = [], []
    if is_dicomdir(root) and is_file(root):
        present, absent = indexed_images(root)
        found = [_source(image, root.parent, "dicom") for image in present]
        rows = [_not_there(image, root, root.parent) for image in absent]
    elif is_file(root) and (reader := _file_reader(root)):
        found = [_source(root, root.parent, reader)]
    elif is_dir(root):
        found, rows = _walk(root)
    else:
        access.check_file(root)
    if not found and not any(row.status == "quarantined" for row in rows):
        held = f" among its {len(rows)} files" if rows else ""
        raise DatasetError(
            f"{root} holds no clip{held}." if is_dir(root) else f"{root} is not a clip.",
            expected,
            "check the path; convert other formats to one of these.",
        )
    by_id: dict[str, list[Source]] = defaultdict(list)
    for source in sorted(found, key=lambda source: source.clip_id):
        by_id[source.clip_id].append(source)
    for clip_id, same in by_id.items():
        names = " and ".join(sorted(source.relative for source in same))
        reason = (
            f"Not read, nor compared with other clips: {names} {SAME_ID}, {clip_id}. To fix: remove all but "
            "one if they hold the same run, else rename them."
        )
        rows += [source.row("quarantined", reason) for source in same if len(same) > 1]
    return in_order([same[0] for same in by_id.values() if len(same) == 1], rows)


def check_root(root: Path) -> None:
    """Raise DatasetError for a path whose bytes are not UTF-8, or a folder that can't be entered."""
    if not (is_utf8(str(root)) and is_utf8(root.resolve().name)):
        raise DatasetError(
            f"{root} has a name that is not UTF-8.", "a name that outputs can hold", "rename it."
        )
    try:
        if is_dir(root):
            access.paths_in(root)
    except PermissionError as problem:
        raise DatasetError(
            f"{root} {UNREADABLE}: {problem.strerror}.", "a folder that you may list", FIX
        ) from None


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


def _walk(root: Path) -> tuple[list[Source], list[IntakeRow]]:
    """Sources in and below `root`, and a row for whatever else is there; side files and folders have none.

    A folder that can be reached in several ways is walked once: by the way that has no link in it, else by
    the first one in the order of names.
    """
    sources: list[Source] = []
    rows: list[IntakeRow] = []
    seen: dict[Path, Path] = {}

    def note(problem: OSError) -> None:
        rows.append(unlisted(Path(problem.filename), root, problem))

    def leave_out(path: Path, reason: str, status: str = "ignored") -> None:
        rows.append(IntakeRow(path.relative_to(root).as_posix(), "", status, reason))

    todo = [root]  # then the links to folders, as they are met
    while todo:
        for folder, folders, files in os.walk(todo.pop(0), onerror=note):
            here = Path(folder)
            if (real := here.resolve()) in seen:
                first = seen[real].relative_to(root).as_posix()
                leave_out(here, f"The same folder as {'the input itself' if first == '.' else first}.")
                folders.clear()
                continue
            seen[real] = here
            for name in sorted({*folders, *files}):
                if name.startswith("."):
                    leave_out(here / name, "Hidden: its name begins with a dot. To include it: rename it.")
            folders[:] = sorted(name for name in folders if name[0] != "." and name not in SIDE_FOLDERS)
            links = [name for name in folders if access.is_link(here / name)]
            todo += [here / name for name in links]
            folders[:] = [name for name in folders if name not in links]
            try:
                frames, previews = sort_images(here)
            except OSError:  # it can be listed, but not entered
                frames, previews = [], set()
            is_clip = len(frames) >= 2
            frames = frozenset(frames if is_clip else ())
            if is_clip:
                sources.append(_source(here, root, "images"))
            for path in sorted(here / name for name in files):
                if path.name.startswith(".") or path.name in SIDE_FILES or path in frames:
                    continue
                if path in previews:
                    leave_out(path, "A preview of a clip beside it.")
                elif kind := _file_reader(path):
                    sources.append(_source(path, root, kind))
                elif reason := _why_unreadable(path, path.relative_to(root).as_posix()):
                    leave_out(path, reason, "quarantined")
                elif is_dicomdir(path):
                    try:
                        present, absent = indexed_images(path)
                        reason = f"An index of {len(present) + len(absent)} images; missing: {len(absent)}."
                    except DicomError:
                        absent, reason = [], "A damaged index of files; the files were looked for without it."
                    leave_out(path, reason)
                    rows += [_not_there(missing, path, root) for missing in absent]
                else:
                    leave_out(path, _why_ignored(path, is_clip))
    return sources, rows


def _source(path: Path, root: Path, reader: str) -> Source:
    """The source that a file or folder in or below `root` is."""
    relative = path.relative_to(root)
    name = relative.as_posix() if path != root else root.resolve().name
    if path.suffix.lower() in READERS[reader].suffixes and not READERS[reader].is_folder:
        name = relative.with_suffix("").as_posix()
    return Source(path, unicodedata.normalize("NFC", name), reader, relative.as_posix())


def _file_reader(path: Path) -> str:
    """Name of the reader that takes the file, by suffix, else by content, or an empty string."""
    readers = {name: reader for name, reader in READERS.items() if not reader.is_folder}
    suffix = path.suffix.lower()
    if is_dicomdir(path):
        return ""
    for name, reader in readers.items():
        if suffix in reader.suffixes and reader.takes(path):
            return name
    return next((name for name, reader in readers.items() if reader.detect(path)), "")


def _why_unreadable(path: Path, relative: str) -> str:
    """Why a file that may be a clip can't be read, as of a link to nothing."""
    try:
        access.check_file(path)
    except DicomError as problem:
        return problem.one_line.replace(printable(str(path)), relative)
    return ""


def _why_ignored(path: Path, beside_frames: bool) -> str:
    suffix = path.suffix.lower()
    if is_image(path):
        if beside_frames:
            return "No frame of the clip in this folder: its name has no number."
        return "A single image: a clip is a folder of at least two numbered ones."
    for suffixes, reason in UNREAD.items():
        if suffix in suffixes:
            return reason
    if _lacks_preamble(path):
        return (
            "Looks like a DICOM file without its first 132 bytes. To fix: repair it with `gdcmconv IN OUT`, "
            "or export it again."
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


def _not_there(path: Path, index: Path, root: Path) -> IntakeRow:
    relative = path.relative_to(root).as_posix()
    reason = (
        f"The index {index.relative_to(root).as_posix()} names this image, but it is not there. To fix: copy "
        "the whole disc again; if the image was left out on purpose, delete the index."
    )
    return IntakeRow(relative, relative, "quarantined", reason, "dicom")
