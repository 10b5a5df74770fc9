"""Registry of readers: one entry per kind of source. A new format is a new entry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stenoscope.imaging import dicom, dicom_facts, dicom_header, sequences, video
from stenoscope.imaging.facts import Facts
from stenoscope.records import Clip

Pseudonym = Callable[[str], str]


def _itself(path: Path) -> list[Path]:
    return [path]


def _always(path: Path) -> bool:
    return True


@dataclass(frozen=True)
class Reader:
    """How one kind of source is recognised and read.

    Attributes
    ----------
    suffixes : tuple of str
        Lower-case suffixes, with dot, of its files.
    is_folder : bool
        Whether a clip is a folder of such files, instead of one file.
    detect : callable
        Whether a path that has none of the known suffixes (for folders: any folder) is of this kind.
    facts : callable
        Technical facts of a path, without decoding it.
    read : callable
        ``read(path, clip_id, pseudonym) -> Clip``.
    patient : callable
        ``patient(path, pseudonym)``: the source's own patient id as a pseudonym, or None.
    takes : callable
        Whether a file with one of the suffixes is of this kind.
    files : callable
        Files that a path stands for: itself, but for clips of which it names one frame only.
    """

    suffixes: tuple[str, ...]
    is_folder: bool
    detect: Callable[[Path], bool]
    facts: Callable[[Path], Facts]
    read: Callable[[Path, str, Pseudonym], Clip]
    patient: Callable[[Path, Pseudonym], str | None]
    takes: Callable[[Path], bool] = _always
    files: Callable[[Path], list[Path]] = _itself


def _read_images(path: Path, clip_id: str, pseudonym: Pseudonym) -> Clip:
    return sequences.read_image_folder(path, clip_id)


def _read_series(path: Path, clip_id: str, pseudonym: Pseudonym) -> Clip:
    return sequences.read_frames(sequences.series_files(path), clip_id)


def _series_facts(path: Path) -> Facts:
    facts = sequences.frames_facts(sequences.series_files(path))
    return replace(facts, notes=(*facts.notes, "selected frames of a run, not its whole course"))


def _read_still(path: Path, clip_id: str, pseudonym: Pseudonym) -> Clip:
    return sequences.read_frames([path], clip_id)


def _still_facts(path: Path) -> Facts:
    facts = sequences.frames_facts([path])
    return replace(facts, notes=(*facts.notes, "one frame: the five key frames are the same"))


def _read_video(path: Path, clip_id: str, pseudonym: Pseudonym) -> Clip:
    return video.read_video(path, clip_id)


def _read_stack(path: Path, clip_id: str, pseudonym: Pseudonym) -> Clip:
    return sequences.read_stack(path, clip_id)


def _no_patient(path: Path, pseudonym: Pseudonym) -> None:
    return None


def _never(path: Path) -> bool:
    return False


READERS: dict[str, Reader] = {
    "dicom": Reader(
        suffixes=sequences.DICOM_SUFFIXES,
        is_folder=False,
        detect=dicom_header.has_magic,
        facts=dicom_facts.read_facts,
        read=dicom.read_dicom,
        patient=dicom.read_patient,
    ),
    "images": Reader(
        suffixes=sequences.IMAGE_SUFFIXES,
        is_folder=True,
        detect=sequences.has_frames,
        facts=sequences.image_facts,
        read=_read_images,
        patient=_no_patient,
    ),
    "video": Reader(
        suffixes=video.VIDEO_SUFFIXES,
        is_folder=False,
        detect=_never,
        facts=video.video_facts,
        read=_read_video,
        patient=_no_patient,
    ),
    "stack": Reader(
        suffixes=sequences.STACK_SUFFIXES,
        is_folder=False,
        detect=_never,
        facts=sequences.stack_facts,
        read=_read_stack,
        patient=_no_patient,
        takes=sequences.is_stack,
    ),
    # The next two are never found by a walk: a layout (stenoscope/data/layouts.py) names them.
    "series": Reader(
        suffixes=(),
        is_folder=False,
        detect=_never,
        facts=_series_facts,
        read=_read_series,
        patient=_no_patient,
        files=sequences.series_files,
    ),
    "still": Reader(
        suffixes=(),
        is_folder=False,
        detect=_never,
        facts=_still_facts,
        read=_read_still,
        patient=_no_patient,
    ),
}
"""Readers by name, in the order in which they are asked."""
