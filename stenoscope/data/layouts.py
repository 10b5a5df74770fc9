"""Registry of the layouts of data sets. A new data set is a new entry: how to know it, how to read it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stenoscope.run.access import is_dir, is_there, paths_in
from stenoscope.data import angiodata, arcade, cadica, kemerovo
from stenoscope.data.data_set import DataSet
from stenoscope.data.labels import FOLDERS
from stenoscope.errors import DatasetError, unknown_name
from stenoscope.imaging.find import check_root, find_clips


@dataclass(frozen=True)
class Layout:
    """How one data set lies on a disk."""

    title: str  # what a user is told
    detect: Callable[[Path], bool]  # whether a folder is such a data set; looks at names alone
    read: Callable[[Path], DataSet]
    expected: str  # what the folder should hold


def _plain(root: Path) -> DataSet:
    found = find_clips(root)
    return DataSet(found.sources, found.rows)


def _has_folders(root: Path) -> bool:
    return any(is_dir(root / name) for name in FOLDERS)


LAYOUTS: dict[str, Layout] = {
    "cadica": Layout(
        "CADICA", cadica.is_cadica, cadica.read_cadica, "selectedVideos/pX/ with lesionVideos.txt"
    ),
    "arcade": Layout(
        "ARCADE", arcade.is_arcade, arcade.read_arcade, "stenosis/{train,val,test}/ with images and COCO"
    ),
    "kemerovo": Layout(
        "Kemerovo",
        kemerovo.is_kemerovo,
        kemerovo.read_kemerovo,
        "14_002_5_0016.bmp beside its .xml, and so on",
    ),
    "angiodata": Layout(
        "AngioData",
        angiodata.is_angiodata,
        angiodata.read_angiodata,
        "Patient_N/Coro_M/ with numbered frames",
    ),
    "folders": Layout("folders N/ and A/", _has_folders, _plain, "folders N/ (normal) and A/ (abnormal)"),
    "clips": Layout("folder of clips", is_there, _plain, "DICOM files, folders of frames, or videos"),
}
"""Layouts by name, in the order in which they are asked; the last one, `PLAIN`, takes anything."""

PLAIN = "clips"


def open_layout(path: Path, name: str = "auto") -> tuple[str, DataSet]:
    """Read a folder in the layout that it has (`auto`) or that is named; gives the layout's name, too.

    A published data set may also be the only folder below `path`, as archives are often unpacked. Raises
    SettingsError if there is no such layout, DatasetError if the folder has not the layout that is named, or
    holds no clip.
    """
    if name not in ("auto", *LAYOUTS):
        raise unknown_name("layout", name, ("auto", *LAYOUTS))
    check_root(path)
    names = LAYOUTS if name == "auto" else (name,)
    for candidate in names:
        for root in _roots(path, candidate):
            if LAYOUTS[candidate].detect(root):
                found = LAYOUTS[candidate].read(root)
                if not found.sources and not found.rows:
                    raise DatasetError(f"{root} holds no clip.", LAYOUTS[candidate].expected)
                return candidate, found
    if name == "auto":  # the path is not there: `find_clips` says so
        find_clips(path)
    raise DatasetError(
        f"{path} does not have the layout {name}.",
        LAYOUTS[name].expected,
        "correct the path, or leave --layout out.",
    )


def _roots(path: Path, layout: str) -> list[Path]:
    inner = [item for item in paths_in(path) if is_dir(item)] if is_dir(path) else []
    if len(inner) != 1 or layout in ("folders", "clips"):
        return [path]
    try:
        paths_in(inner[0])
    except OSError:  # closed: `find_clips` says so
        return [path]
    return [path, *inner]
