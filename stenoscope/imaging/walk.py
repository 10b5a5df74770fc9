"""Which files and folders below a folder are clips, by their names and first bytes."""

import os
import unicodedata
from pathlib import Path

from stenoscope.errors import DicomError, printable
from stenoscope.imaging.dicomdir import indexed_images, is_dicomdir
from stenoscope.imaging.inventory import IntakeRow, Source, unlisted
from stenoscope.imaging.readers import READERS
from stenoscope.imaging.sequences import frames_in, is_image, previews
from stenoscope.imaging.video import CONVERT
from stenoscope.run.access import check_file, is_link

SIDE_FILES = frozenset(
    {
        "labels.csv",
        "labels.xlsx",
        "labels_template.csv",
        "same_patients.csv",
        "truth.json",
        "manifest.json",
    }
)
"""Files that belong to a data set and are no clips."""

SIDE_FOLDERS = frozenset({"truth_masks"})

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


def walk(root: Path) -> tuple[list[Source], list[IntakeRow]]:
    """Sources below `root`, and a row for whatever else is there; side files and folders have none.

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
            links = [name for name in folders if is_link(here / name)]
            todo += [here / name for name in links]
            folders[:] = [name for name in folders if name not in links]
            frames, shown = _images(here)
            reader = folder_reader(here) if frames else ""
            if reader and here != root:
                sources.append(file_source(here, root, reader))
            for name in sorted(files):
                path = here / name
                if name.startswith(".") or name in SIDE_FILES or (reader and path in frames):
                    continue
                if path in shown:
                    leave_out(path, "A preview of a clip beside it.")
                elif kind := file_reader(path):
                    sources.append(file_source(path, root, kind))
                elif reason := _why_unreadable(path, path.relative_to(root).as_posix()):
                    leave_out(path, reason, "quarantined")
                elif is_dicomdir(path):
                    reason, absent = _read_index(path)
                    leave_out(path, reason)
                    rows += [_not_there(missing, path, root) for missing in absent]
                else:
                    leave_out(path, _why_ignored(path, bool(reader)))
    return sources, rows


def _images(folder: Path) -> tuple[set[Path], set[Path]]:
    """Images of a folder that may be frames of a clip, and those that are previews of others."""
    try:
        return set(frames_in(folder)), previews(folder)
    except OSError:  # it can be listed, but not entered
        return set(), set()


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
    name = (relative.with_suffix("") if known else relative).as_posix()
    return Source(path, unicodedata.normalize("NFC", name), reader, relative.as_posix())


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
        if suffix in reader.suffixes and reader.takes(path):
            return name
    return next((name for name, reader in readers.items() if reader.detect(path)), "")


def _why_unreadable(path: Path, relative: str) -> str:
    """Why a file that may be a clip can't be read, as of a link to nothing."""
    try:
        check_file(path)
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
    return IntakeRow(
        path=relative,
        clip_id=relative,
        status="quarantined",
        reason=f"The index {index.relative_to(root).as_posix()} names this image, but it is not there. "
        "To fix: copy the whole disc again; if the image was left out on purpose, delete the index.",
        reader="dicom",
    )
