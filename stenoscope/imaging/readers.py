"""Registry of readers: one entry per kind of source. A new format is a new entry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stenoscope.imaging import dicom, dicom_header, sequences
from stenoscope.imaging.facts import Facts
from stenoscope.records import Clip

Pseudonym = Callable[[str], str]


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
    """

    suffixes: tuple[str, ...]
    is_folder: bool
    detect: Callable[[Path], bool]
    facts: Callable[[Path], Facts]
    read: Callable[[Path, str, Pseudonym], Clip]
    patient: Callable[[Path, Pseudonym], str | None]


def _read_images(path: Path, clip_id: str, pseudonym: Pseudonym) -> Clip:
    return sequences.read_image_folder(path, clip_id)


def _read_video(path: Path, clip_id: str, pseudonym: Pseudonym) -> Clip:
    return sequences.read_video(path, clip_id)


def _no_patient(path: Path, pseudonym: Pseudonym) -> None:
    return None


def _never(path: Path) -> bool:
    return False


READERS: dict[str, Reader] = {
    "dicom": Reader(
        suffixes=(".dcm", ".dicom", ".ima"),
        is_folder=False,
        detect=dicom_header.has_magic,
        facts=dicom_header.read_facts,
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
        suffixes=sequences.VIDEO_SUFFIXES,
        is_folder=False,
        detect=_never,
        facts=sequences.video_facts,
        read=_read_video,
        patient=_no_patient,
    ),
}
"""Readers by name, in the order in which they are asked."""
