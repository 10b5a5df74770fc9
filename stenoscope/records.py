"""The nouns of the project, as frozen records that pass between its rooms."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

FRAME_SIZE = 512
"""Rows and columns of every stored key frame, in pixels."""


@dataclass(frozen=True)
class Clip:
    """One angiographic run after decoding.

    Attributes
    ----------
    clip_id : str
        Path below the input folder, without suffix, with ``/`` between folders.
    frames : ndarray, uint8, shape (num_frames, 512, 512)
        After modality LUT, VOI LUT or window, and polarity: vessels are dark.
    frame_time_ms : float or None
        Time between frames in milliseconds (DICOM FrameTime), None if the source does not say.
    view : tuple of float or None
        Primary and secondary positioner angle in degrees.
    source_sha256 : str
        Hash of the source's bytes.
    patient_id : str or None
        Pseudonym made from the header's PatientID (keyed hash); None if the source has none.
    scale : float
        Stored pixels per source pixel (1.0 if the source was 512 x 512).
    notes : tuple of str
        What is known of it only after decoding, for `intake.csv`.
    """

    clip_id: str
    frames: np.ndarray
    frame_time_ms: float | None = None
    view: tuple[float, float] | None = None
    source_sha256: str = ""
    patient_id: str | None = None
    scale: float = 1.0
    notes: tuple[str, ...] = ()


class Origin(NamedTuple):
    """What is kept of a clip's source, as in `Clip`."""

    frame_time_ms: float | None = None
    view: tuple[float, float] | None = None
    source_sha256: str = ""
    scale: float = 1.0


NO_ORIGIN = Origin()


@dataclass(frozen=True)
class KeyframeChoice:
    """The key frames of one clip and the evidence for them.

    Attributes
    ----------
    method : str
        Name in the registry of key-frame methods.
    keyframes : tuple of int
        Frame indices, from 0, ascending; repeats only where the clip has fewer frames, or its data set
        publishes fewer.
    apex : int
        Frame of fullest opacification.
    start, end : int or None
        First frame with contrast beyond the catheter and last frame with clearly opacified arteries;
        None where they lie outside the clip.
    curve : ndarray, float32, shape (num_frames,)
        The method's score of each frame (for `opacification`, the opacification curve in 0..1).
    contrast : bool
        False if the method finds no contrast injection: the clip is no angiogram, or an empty one.
    confidence : float
        0 to 1: how clearly the apex stands out; 1 for methods that do not judge themselves.
    fit : ndarray, float32, shape (num_frames,), or None
        Smooth model of the curve that the apex was read from.
    masked : ndarray, bool, shape (rows, cols), or None
        True where the method did not look: collimator, burned-in text.
    """

    method: str
    keyframes: tuple[int, ...]
    apex: int
    start: int | None
    end: int | None
    curve: np.ndarray
    contrast: bool = True
    confidence: float = 1.0
    fit: np.ndarray | None = field(default=None, repr=False)
    masked: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Fold:
    """One fold of the cross-validation, as indices of clips in `clips.pickle`.

    Attributes
    ----------
    number : int
        From 1.
    train, valid : ndarray, int64, shape (n,)
        Clip indices, ascending. No patient is in both.
    """

    number: int
    train: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Heatmap:
    """A map of where a decision came from.

    Attributes
    ----------
    method : str
        Name in the registry of heatmap methods.
    layer : str
        Layer the map was taken at.
    values : ndarray, float32, shape (512, 512)
        Signed evidence for "abnormal" in frame coordinates; not rescaled per image.
    """

    method: str
    layer: str
    values: np.ndarray = field(repr=False)
