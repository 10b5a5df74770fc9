"""Reader of the Kemerovo set: frames of coronary angiograms, each with boxes around its stenoses.

The data set [1]_ [2]_ holds 8,325 grey frames of 100 patients with one-vessel disease, each beside its Pascal
VOC annotation::

    ROOT/dataset/14_002_5_0016.bmp     site, patient, series, frame
    ROOT/dataset/14_002_5_0016.xml     object / bndbox / xmin, ymin, xmax, ymax

The frames may also lie in ROOT itself, and public copies have them as PNG or JPEG. Those of a series are
taken as one clip; the publishers kept frames in which the artery is filled, so their course in time is not
complete. Every annotated frame has a stenosis: the set has no normal clips.

References
----------
.. [1] Danilov VV et al. Real-time coronary artery stenosis detection based on modern neural networks.
   Scientific Reports 11 (2021) 7582, doi 10.1038/s41598-021-87174-2.
.. [2] Mendeley Data, doi 10.17632/ydrm75xywg.2.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

from stenoscope.run.access import is_dir, is_file
from stenoscope.data.boxes import Mark, check_box, parse_xml, tracks
from stenoscope.data.data_set import DataSet, Entry, image_size
from stenoscope.errors import DatasetError, DicomError
from stenoscope.imaging.intake import IntakeRow, Source
from stenoscope.imaging.sequences import series_files

_FRAME = re.compile(r"(?P<patient>\d+_\d+)_(?P<series>\d+)_\d+\.(bmp|png|jpe?g)", re.IGNORECASE)
_VOC = "Pascal VOC: object / bndbox with xmin, ymin, xmax, ymax"


def is_kemerovo(root: Path) -> bool:
    """Whether a folder has the layout."""
    return _folder(root) is not None


def read_kemerovo(root: Path) -> DataSet:
    """The series, with the frames that are annotated as key frames, and their boxes.

    A series with a damaged annotation, or with none, is left out, with the reason.
    """
    folder = _folder(root)
    first: dict[str, tuple[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _FRAME.fullmatch(path.name)
        if match:
            first.setdefault(f"{match['patient']}_{match['series']}", (match["patient"], path))
    entries, rows = [], []
    for clip_id, (patient, path) in first.items():
        files = series_files(path)
        reader = "series" if len(files) > 1 else "still"
        source = Source(files[0], clip_id, reader, files[0].relative_to(root).as_posix())
        try:
            entries.append(_entry(source, patient, files))
        except (DatasetError, DicomError) as problem:
            rows.append(source.row("quarantined", problem.one_line.replace(f"{root}/", "")))
    return DataSet.of(entries, rows, stills=True)


def _folder(root: Path) -> Path | None:
    """Where the frames lie."""
    for folder in (root / "dataset", root):
        if not is_dir(folder):
            continue
        frames = (path for path in sorted(folder.glob("*")) if _FRAME.fullmatch(path.name))
        if any(_annotation(path) for path in islice(frames, 100)):
            return folder
    return None


def _entry(source: Source, patient: str, files: list[Path]) -> Entry:
    annotations = ((frame, _annotation(path)) for frame, path in enumerate(files))
    marks = [mark for frame, path in annotations if path for mark in _marks(path, frame)]
    if not marks:
        raise DatasetError(
            f"None of the {len(files)} frames of the series has a box.", _VOC, "unpack the data set again."
        )
    frames = tuple(dict.fromkeys(mark.frame for mark in marks))
    return Entry(source, patient, 1.0, frames, tracks(marks, len(files), image_size(files[0])))


def _annotation(path: Path) -> Path | None:
    candidates = (path.with_suffix(suffix) for suffix in (".xml", ".XML"))
    return next((candidate for candidate in candidates if is_file(candidate)), None)


def _marks(path: Path, frame: int) -> Iterator[Mark]:
    try:
        objects = parse_xml(path, _VOC, "unpack the data set again.").findall("object")
        boxes = [
            (item.findtext("name", ""), *(float(item.find("bndbox").findtext(key)) for key in
                                          ("xmin", "ymin", "xmax", "ymax")))
            for item in objects
        ]  # fmt: skip
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as problem:
        raise DatasetError(
            f"{path} can't be read ({type(problem).__name__}).", _VOC, "unpack the data set again."
        ) from None
    for name, *box in boxes:
        yield Mark("", frame, name.lower() or "stenosis", check_box(tuple(box), str(path), _VOC))
