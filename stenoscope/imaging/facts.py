"""What is known about a source without decoding it: the technical columns of `intake.csv`."""

from dataclasses import dataclass

MAX_FRAMES = 8192
"""Longest clip read, in frames (four and a half minutes at 30 a second; 2 GiB): a guard against headers that
promise more than any memory holds."""

MAX_SIDE = 8192
"""Largest number of rows or columns read; detectors end near 4096."""


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
        DICOM modality, empty for other formats.
    notes : tuple of str
        What a reader of `intake.csv` should know of a clip that was read all the same.
    """

    num_frames: int | None = None
    rows: int | None = None
    cols: int | None = None
    frame_time_ms: float | None = None
    transfer_syntax: str = ""
    modality: str = ""
    notes: tuple[str, ...] = ()
