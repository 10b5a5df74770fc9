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
    """Raise DicomError for a clip beyond `MAX_PIXELS`."""
    if frames * rows * cols > MAX_PIXELS:
        raise DicomError(
            f"{path} has {frames} frames of {rows} x {cols} pixels.",
            f"at most {MAX_PIXELS} pixels in all, as 1,024 frames of 2048 x 2048 have",
            "check the header; split a longer run, or export it in a smaller size.",
        )


SIMULATOR = "Stenoscope", "simulated angiogram"
"""Manufacturer and model name in the header of a simulated clip (PS3.3 C.7.5.1)."""


@dataclass(frozen=True)
class Columns:
    """Technical facts as a source states them, in the order of `intake.csv`; None where it does not say.

    All that follow the transfer syntax are of DICOM files alone.
    """

    num_frames: int | None = None
    rows: int | None = None
    cols: int | None = None
    frame_time_ms: float | None = None  # milliseconds between frames
    transfer_syntax: str = ""  # name of the DICOM transfer syntax, image format or video codec
    modality: str = ""
    sop_class: str = ""  # name of the SOP class; `unknown` for a private one
    bits_allocated: int | None = None  # per sample, as the next one
    bits_stored: int | None = None
    photometric: str = ""
    # how stored values become grey levels: `LINEAR 128/256` (centre/width; also `LINEAR_EXACT`, `SIGMOID`),
    # `LUT`, or `none`; empty for colour and for clips that can't be used
    voi: str = ""
    primary_angle: float | None = None  # of the positioner, degrees, as the next one
    secondary_angle: float | None = None
    collimator: str = ""  # shapes that the header names, `RECTANGULAR+CIRCULAR` say, as the next one
    shutter: str = ""
    overlays: int | None = None  # overlay planes (PS3.3 C.9.2), which are not drawn
    burned_in: str = ""  # what the header says of burned-in annotation: `YES`, `NO`, or nothing
    simulated: str = ""  # `yes` for a clip that says to be made by `stenoscope.phantom`


@dataclass(frozen=True)
class Facts(Columns):
    """Technical facts, and notes: what a reader of `intake.csv` should know of a clip that was read."""

    notes: tuple[str, ...] = ()


Pseudonym = Callable[[str], str]
"""Turns a header's PatientID into what may be kept of it."""


@dataclass(frozen=True)
class Opened:
    """A source whose header was read: what it says, and how to read the rest without reading that again."""

    facts: Facts
    # `read(clip_id, pseudonym)`; raises DicomError if the source can't be used
    read: Callable[[str, Pseudonym], Clip]
    # the source's own patient id as a pseudonym, None if it names none
    patient: Callable[[Pseudonym], str | None] = lambda pseudonym: None
