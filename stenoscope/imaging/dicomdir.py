"""The index of a DICOM disc (PS3.3 F): which image files a DICOMDIR names."""

import contextlib
import os
from pathlib import Path

from pydicom import dcmread

from stenoscope.errors import DicomError
from stenoscope.imaging.dicom_file import open_dicom, reporting
from stenoscope.run.access import is_dir, is_there

NAME = "DICOMDIR"
"""Name of the index in the root of its disc (PS3.10 8.6); file systems differ in its case."""


def is_dicomdir(path: Path) -> bool:
    """Whether a path has the name of an index."""
    return path.name.upper() == NAME


def indexed_images(path: str | os.PathLike) -> tuple[list[Path], list[Path]]:
    """The images that an index (the DICOMDIR at `path`) names: those that are there, and those that are not.

    Both lists are in the order of their names, without repeats. Names are looked up without regard to case,
    as copies of a disc may be in lower case; those that lead out of the index's folder are left out. Raises
    DicomError if it is damaged or no index.
    """
    path = Path(path)
    with reporting(path, "reading the index"), open_dicom(path) as (stream, _):
        records = dcmread(stream, specific_tags=["DirectoryRecordSequence"]).get("DirectoryRecordSequence")
        if records is None:
            raise DicomError(
                f"{path} is not an index of files.",
                "a Directory Record Sequence (0004,1220)",
                "copy it again.",
            )
        names = set()
        for record in records:
            name = record.get("ReferencedFileID")
            if name and str(record.get("DirectoryRecordType") or "").strip() == "IMAGE":
                names.add((name,) if isinstance(name, str) else tuple(name))
    listings: dict[Path, dict[str, Path]] = {}
    present, absent = set(), set()
    for name in names:
        if any(not part or part in (".", "..") or set(part) & set("/\\\0") for part in name):
            continue
        found = _look_up(path.parent, name, listings)
        (present if is_there(found) and not is_dir(found) else absent).add(found)
    return sorted(present), sorted(absent)


def _look_up(folder: Path, name: tuple[str, ...], listings: dict[Path, dict[str, Path]]) -> Path:
    """Path of a file below `folder`; where a part is not there, as the index spells it."""
    here = folder
    for part in name:
        if here not in listings:
            listings[here] = {}
            with contextlib.suppress(OSError):
                listings[here] = {item.name.upper(): item for item in here.iterdir()}
        here = listings[here].get(part.upper(), here / part)
    return here
