"""What a source says of itself before it is decoded: the technical columns of `intake.csv`."""

from collections.abc import Callable
from dataclasses import dataclass

from stenoscope.errors import DicomError
from stenoscope.records import Clip

MAX_FRAMES = 8192
"""Longest clip read, in frames (four and a half minutes at 30 a second; 2 GiB): a guard against headers that
promise more than any memory holds."""

MAX_SIDE = 8192
"""Largest number of rows or columns read; detectors end near 4096."""

FRAME_TIMES = 1.0, 2000.0
"""Shortest and longest time between frames that is believed, milliseconds: C-arms take 0.5 to 60 a second."""

MAX_PIXELS = 1 << 32
"""Most pixels of a clip, over all frames (1,024 of 2048 x 2048): black frames compress to
some hundred bytes each, so that a small file could keep a decoder busy for hours."""


def check_pixel_count(path: object, frames: int, rows: int, cols: int) -> None:
    """Refuse a clip beyond `MAX_PIXELS`.

    Raises
    ------
    DicomError
    """
    if frames * rows * cols > MAX_PIXELS:
        raise DicomError(
            f"{path} has {frames} frames of {rows} x {cols} pixels.",
            f"at most {MAX_PIXELS} pixels in all, as 1,024 frames of 2048 x 2048 have",
            "check the header; split a longer run, or export it in a smaller size.",
        )


SIMULATOR = "Stenoscope", "simulated angiogram"
"""Manufacturer and model name in the header of a simulated clip (PS3.3 C.7.5.1)."""


@dataclass(frozen=True)
class Facts:
    """Technical facts of a source; None where it does not say.

    Attributes
    ----------
    num_frames, rows, cols : int or None
        As the source states them.
    frame_time_ms : float or None
        Milliseconds between frames.
    transfer_syntax : str
        Name of the DICOM transfer syntax, image format or video codec.
    modality : str
        DICOM modality, empty for other formats, as all that follows.
    sop_class : str
        Name of the SOP class; ``unknown`` for a private one.
    bits_allocated, bits_stored : int or None
        Per sample.
    photometric : str
        Photometric interpretation.
    voi : str
        How stored values become grey levels: ``LINEAR 128/256`` (centre/width; also ``LINEAR_EXACT``,
        ``SIGMOID``), ``LUT``, or ``none``; empty for colour and for clips that can't be used.
    primary_angle, secondary_angle : float or None
        Positioner angles, degrees.
    collimator, shutter : str
        Shapes that the header names, ``RECTANGULAR+CIRCULAR`` say.
    overlays : int or None
        Overlay planes (PS3.3 C.9.2), which are not drawn.
    burned_in : str
        What the header says of burned-in annotation: ``YES``, ``NO``, or nothing.
    simulated : str
        ``yes`` for a clip that says to be made by `stenoscope.phantom`.
    notes : tuple of str
        What a reader of `intake.csv` should know of a clip that was read all the same.
    """

    num_frames: int | None = None
    rows: int | None = None
    cols: int | None = None
    frame_time_ms: float | None = None
    transfer_syntax: str = ""
    modality: str = ""
    sop_class: str = ""
    bits_allocated: int | None = None
    bits_stored: int | None = None
    photometric: str = ""
    voi: str = ""
    primary_angle: float | None = None
    secondary_angle: float | None = None
    collimator: str = ""
    shutter: str = ""
    overlays: int | None = None
    burned_in: str = ""
    simulated: str = ""
    notes: tuple[str, ...] = ()


Pseudonym = Callable[[str], str]
"""Turns a header's PatientID into what may be kept of it."""


def _names_nobody(pseudonym: Pseudonym) -> None:
    return None


@dataclass(frozen=True)
class Opened:
    """A source whose header was read: what it says, and how to read the rest without reading that again.

    Attributes
    ----------
    facts : Facts
    read : callable
        ``read(clip_id, pseudonym) -> Clip``; raises DicomError if the source can't be used.
    patient : callable
        ``patient(pseudonym)``: the source's own patient id as a pseudonym, None if it names none.
    """

    facts: Facts
    read: Callable[[str, Pseudonym], Clip]
    patient: Callable[[Pseudonym], str | None] = _names_nobody
