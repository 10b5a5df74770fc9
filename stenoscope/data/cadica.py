"""Reader of CADICA: coronary angiograms with clip labels, selected frames and lesion boxes.

The data set [1]_ [2]_ holds 668 runs of 42 patients as 512 x 512 PNG frames; cardiologists selected 382 runs
in which disease can be told::

    ROOT/selectedVideos/pX/lesionVideos.txt          runs vY with at least one labelled lesion
    ROOT/selectedVideos/pX/nonlesionVideos.txt       runs vY without a visible lesion
    ROOT/selectedVideos/pX/vY/input/pX_vY_000ZZ.png  every frame
    ROOT/selectedVideos/pX/vY/pX_vY_selectedFrames.txt   frames with enough contrast, one name a line
    ROOT/selectedVideos/pX/vY/groundtruth/pX_vY_000ZZ.txt   (lesion runs) a line ``x y w h CLASS`` a box
    ROOT/nonselectedVideos/, ROOT/metadata.xlsx      neither is read: no labels of runs

A box is its top left corner, width and height in pixels. Whether the corner counts from 0 or 1 is not stated;
0 is taken, so a box may be one pixel off.

References
----------
.. [1] Jimenez-Partinen A et al. CADICA: A new dataset for coronary artery disease detection by using invasive
   coronary angiography. Expert Systems 41 (2024) e13708, doi 10.1111/exsy.13708; preprint arXiv 2402.00570.
.. [2] Mendeley Data, doi 10.17632/p9bpx9ctcv.2.
"""

from collections.abc import Iterator
from pathlib import Path

from stenoscope.run.access import is_dir, is_file, paths_in
from stenoscope.data.boxes import Mark, check_box, tracks
from stenoscope.data.data_set import DataSet, Entry, image_size
from stenoscope.errors import DatasetError, DicomError
from stenoscope.imaging.find import unlisted
from stenoscope.imaging.intake import IntakeRow, Source
from stenoscope.imaging.sequences import frame_files, is_numbered

SEVERITY = {
    "p0_20": 0.10, "p20_50": 0.35, "p50_70": 0.60, "p70_90": 0.80, "p90_98": 0.94, "p99": 0.99, "p100": 1.0,
}  # fmt: skip
"""Classes of lesions and the middle of their range, as a share of the diameter (Table 2 of the paper)."""

SELECTED = "selectedVideos"
_LISTS = {"lesionVideos.txt": 1.0, "nonlesionVideos.txt": 0.0}
_LINE = "lines of four numbers x y w h and a class of " + ", ".join(SEVERITY)


def is_cadica(root: Path) -> bool:
    """Whether a folder has the layout."""
    return any((root / SELECTED).glob("*/*lesionVideos.txt"))


def read_cadica(root: Path) -> DataSet:
    """The selected runs, with the medical team's labels, frames and boxes.

    A run whose files contradict each other is left out, with the reason. Raises DatasetError if a list of
    runs can't be read.
    """
    entries, rows = [], []
    for patient in sorted(path for path in (root / SELECTED).iterdir() if is_dir(path)):
        lists = {name: _names(patient / name) for name in _LISTS if is_file(patient / name)}
        try:
            videos = [path for path in paths_in(patient) if is_dir(path)]
        except OSError as problem:
            rows.append(unlisted(patient, root, problem))
            continue
        for video in videos:
            source = _source(root, video)
            found = [_LISTS[name] for name, names in lists.items() if video.name in names]
            try:
                if len(found) != 1:
                    raise DatasetError(
                        f"{video} is in {'both' if found else 'neither'} of {' and '.join(_LISTS)}.",
                        "one of the two lists",
                        "unpack CADICA again.",
                    )
                entries.append(_entry(source, video, found[0]))
            except (DatasetError, DicomError) as problem:
                rows.append(source.row("quarantined", problem.one_line.replace(f"{root}/", "")))
        for name, names in lists.items():
            for video in [patient / video for video in names if not is_dir(patient / video)]:
                reason = f"Named in {name}, but there is no such folder. To fix: unpack CADICA again."
                path, clip_id = video.relative_to(root).as_posix(), f"{patient.name}/{video.name}"
                rows.append(IntakeRow(path, clip_id, "quarantined", reason))
    if is_dir(root / "nonselectedVideos"):
        reason = "Runs that the publishers did not select: they have no labels."
        rows.append(IntakeRow("nonselectedVideos", "", "ignored", reason))
    return DataSet.of(entries, rows)


def _source(root: Path, video: Path) -> Source:
    """A folder of frames; a run of one frame, of which there are some, is that file."""
    frames = [path for path in (video / "input").glob("*") if is_numbered(path)]
    path, reader = (frames[0], "still") if len(frames) == 1 else (video / "input", "images")
    return Source(path, f"{video.parent.name}/{video.name}", reader, path.relative_to(root).as_posix())


def _entry(source: Source, video: Path, label: float) -> Entry:
    files = [source.path] if source.reader == "still" else frame_files(source.path)
    number = {path.stem: index for index, path in enumerate(files)}
    listed = video / f"{video.parent.name}_{video.name}_selectedFrames.txt"
    selected = {name.removesuffix(".png") for name in _names(listed)}
    unknown = sorted(selected - set(number))
    if unknown:
        raise DatasetError(f"{listed} names {unknown[0]}, which is not a frame.", fix="unpack CADICA again.")
    marks = []
    if label:
        truths = [path for path in sorted((video / "groundtruth").glob("*.txt")) if path.stem in number]
        marks = [mark for path in truths for mark in _marks(path, number[path.stem])]
        if not marks:
            raise DatasetError(f"{video}is a run with lesions but has no box.", _LINE, "unpack CADICA again.")
    frames = tuple(sorted(number[name] for name in selected))
    lesions = tracks(marks, len(files), image_size(files[0]))
    return Entry(source, video.parent.name, label, frames, lesions)


def _marks(path: Path, frame: int) -> Iterator[Mark]:
    for line, text in enumerate(_names(path), start=1):
        values, where = text.replace(",", " ").split(), f"{path}, line {line}"
        try:
            x, y, width, height = (float(value) for value in values[:4])
            kind, severity = values[4], SEVERITY[values[4]]
        except (ValueError, IndexError, KeyError):
            raise DatasetError(f"{where}: {text[:80]!r}.", _LINE, "unpack CADICA again.") from None
        box = check_box((x, y, x + width, y + height), where, _LINE)
        yield Mark("", frame, kind, box, severity)


def _names(path: Path) -> list[str]:
    """Lines of a text file that are not blank."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise DatasetError(
            f"{path} can't be read ({type(problem).__name__}).", "a text file", "unpack CADICA again."
        ) from problem
    return [line.strip() for line in lines if line.strip()]
