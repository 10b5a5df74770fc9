"""Which files and folders below a folder are clips, by their names and first bytes."""

import os
from pathlib import Path

from stenoscope.access import check_file, is_there
from stenoscope.errors import DicomError, printable
from stenoscope.imaging.dicomdir import indexed_images, is_dicomdir
from stenoscope.imaging.inventory import IntakeRow, Source, unlisted
from stenoscope.imaging.readers import READERS

SIDE_FILES = frozenset({"labels.csv", "truth.json", "manifest.json"})
"""Files that belong to a data set and are no clips."""

SIDE_FOLDERS = frozenset({"truth_masks"})


def walk(root: Path) -> tuple[list[Source], list[IntakeRow]]:
    """Sources and ignored files below `root`, in the order of their names."""
    sources: list[Source] = []
    rows: list[IntakeRow] = []
    seen = set()

    def note(problem: OSError) -> None:
        rows.append(unlisted(Path(problem.filename), root, problem))

    for folder, folders, files in os.walk(root, onerror=note, followlinks=True):
        here = Path(folder)
        real = here.resolve()
        if real in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SIDE_FOLDERS)
        claimed: tuple[str, ...] = ()
        reader = folder_reader(here)
        if reader:
            claimed = READERS[reader].suffixes
            if here != root:
                sources.append(file_source(here, root, reader))
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or name in SIDE_FILES or path.suffix.lower() in claimed:
                continue
            kind = file_reader(path)
            relative = path.relative_to(root).as_posix()
            if kind:
                sources.append(file_source(path, root, kind))
            elif reason := _why_unreadable(path, relative):
                rows.append(IntakeRow(relative, "", "quarantined", reason))
            elif is_dicomdir(path):
                reason, absent = _read_index(path)
                rows.append(IntakeRow(relative, "", "ignored", reason))
                rows += [_not_there(missing, path, root) for missing in absent]
            else:
                rows.append(IntakeRow(relative, "", "ignored", _why_ignored(path)))
    return sources, rows


def indexed(index: Path) -> tuple[list[Source], list[IntakeRow]]:
    """Sources that a DICOMDIR names and that are there, and a row for each that is not."""
    present, absent = indexed_images(index)
    sources = [file_source(path, index.parent, "dicom") for path in present]
    return sources, [_not_there(path, index, index.parent) for path in absent]


def _read_index(path: Path) -> tuple[str, list[Path]]:
    """What `intake.csv` says of a DICOMDIR, and the images it names that are not there."""
    try:
        present, absent = indexed_images(path)
    except DicomError:
        return "A damaged index of files; the files were looked for without it.", []
    return f"An index of {len(present) + len(absent)} images; missing: {len(absent)}.", absent


def file_source(path: Path, root: Path, reader: str) -> Source:
    """The source that a file or folder below `root` is."""
    relative = path.relative_to(root)
    known = reader and path.suffix.lower() in READERS[reader].suffixes and not READERS[reader].is_folder
    return Source(
        path, (relative.with_suffix("") if known else relative).as_posix(), reader, relative.as_posix()
    )


def folder_reader(folder: Path) -> str:
    """Name of the reader that takes the folder as one clip, or an empty string."""
    return next((name for name, reader in READERS.items() if reader.is_folder and reader.detect(folder)), "")


def file_reader(path: Path) -> str:
    """Name of the reader that takes the file, by suffix, else by content, or an empty string."""
    readers = {name: reader for name, reader in READERS.items() if not reader.is_folder}
    suffix = path.suffix.lower()
    if is_dicomdir(path):
        return ""
    for name, reader in readers.items():
        if suffix in reader.suffixes:
            return name
    return next((name for name, reader in readers.items() if reader.detect(path)), "")


def _why_unreadable(path: Path, relative: str) -> str:
    """Why a file that may be a clip can't be read; empty for a link to nothing, which is none."""
    try:
        check_file(path)
    except DicomError as problem:
        return problem.one_line.replace(printable(str(path)), relative) if is_there(path) else ""
    return ""


def _why_ignored(path: Path) -> str:
    suffix = path.suffix.lower()
    if any(reader.is_folder and suffix in reader.suffixes for reader in READERS.values()):
        return "A single image: a clip is a folder of at least two numbered ones."
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
    return IntakeRow(
        path=relative,
        clip_id=relative,
        status="quarantined",
        reason=f"The index {index.relative_to(root).as_posix()} names this image, but it is not there. "
        "To fix: copy the whole disc again; if the image was left out on purpose, delete the index.",
        reader="dicom",
    )
