"""Registry of readers: one entry per kind of source. A new format is a new entry."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stenoscope.imaging import dicom, sequences, video
from stenoscope.imaging.dicom_file import has_magic
from stenoscope.imaging.facts import Opened


# Named, because lambdas can't be pickled for other processes.
def _never(path: Path) -> bool:
    return False


def _always(path: Path) -> bool:
    return True


def _itself(path: Path) -> list[Path]:
    return [path]


@dataclass(frozen=True)
class Reader:
    """How one kind of source is recognised and read."""

    suffixes: tuple[str, ...]  # in lower case, with dot
    # a context in which there is an `Opened` source; raises DicomError
    open: Callable[[Path], AbstractContextManager[Opened]]
    is_folder: bool = False  # a clip is a folder of such files, instead of one file
    # whether a file that has none of the known suffixes is of this kind
    detect: Callable[[Path], bool] = _never
    # whether a file with one of the suffixes is of this kind
    takes: Callable[[Path], bool] = _always
    # files that a path stands for: itself, but for clips of which it names one frame only
    files: Callable[[Path], list[Path]] = _itself
    names_patients: bool = False  # such a source may name its patient


@contextmanager
def _open_dicom(path: Path):
    with dicom.open_clip(path) as clip:
        yield Opened(clip.facts, clip.read, clip.patient)


READERS: dict[str, Reader] = {
    "dicom": Reader(sequences.DICOM_SUFFIXES, _open_dicom, detect=has_magic, names_patients=True),
    "images": Reader(sequences.IMAGE_SUFFIXES, sequences.open_images, is_folder=True),
    "video": Reader(video.VIDEO_SUFFIXES, video.open_video),
    "stack": Reader(sequences.STACK_SUFFIXES, sequences.open_stack, takes=sequences.is_stack),
    # The next two are never found in a folder: a layout (stenoscope/data/layouts.py) names them.
    "series": Reader((), sequences.open_series, files=sequences.series_files),
    "still": Reader((), sequences.open_still),
}
"""Readers by name, in the order in which they are asked."""
