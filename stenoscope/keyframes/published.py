"""Key frames that people chose: those that a data set ships, and those that a user corrected by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stenoscope.errors import DicomError
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings

PUBLISHED = "published"
"""Name of this choice among the key-frame methods; as it needs a data set's list, it is not in `METHODS`."""

CORRECTED = "corrected"
"""What `keyframes.csv` names as the method of a clip whose key frames a user gave."""


def choose_published(
    frames: Sequence[int], num_frames: int, count: int = KeyframeSettings.keyframes
) -> KeyframeChoice:
    """Some of the published frames, evenly spread over them from the first to the last; one is the middle.

    Parameters
    ----------
    frames : sequence of int
        Published frames, ascending; where there are fewer than `count`, some are taken more than once.
    num_frames : int
        Of the clip.
    count : int
        Key frames to choose.

    Returns
    -------
    KeyframeChoice
        The apex is the middle one of those chosen; the curve is 1 at published frames and 0 elsewhere.

    Raises
    ------
    DicomError
        If nothing is published for the clip, or a frame that it does not have.

    Examples
    --------
    >>> choose_published(range(10, 20), 40).keyframes, choose_published([3, 7], 9).keyframes
    ((10, 12, 14, 17, 19), (3, 3, 3, 7, 7))
    """
    if not frames:
        raise DicomError(
            "The data set publishes no key frames for this clip.",
            "at least one",
            "leave it out, or let --method opacification choose.",
        )
    if not 0 <= min(frames) <= max(frames) < num_frames:
        raise DicomError(f"Published key frames {min(frames)} to {max(frames)} of {num_frames} frames.")
    last = len(frames) - 1
    places = np.linspace(0, last, count) if count > 1 else np.array([last / 2])
    chosen = [frames[i] for i in places.round().astype(int)]
    curve = np.zeros(num_frames, np.float32)
    curve[list(frames)] = 1
    return KeyframeChoice(
        PUBLISHED,
        tuple(int(index) for index in chosen),
        int(chosen[count // 2]),
        None,
        None,
        curve,
    )


def correct(choice: KeyframeChoice | None, frames: Sequence[int], num_frames: int) -> KeyframeChoice:
    """The choice of a method, corrected by hand; the same choice if the frames are those of the method.

    `choice` is None where the method has none; its curve stays, to be looked at. `frames` are as many as
    there are key frames, ascending. The apex is the middle one; start and end are not known.
    """
    frames = tuple(frames)
    if choice is None:
        choice = KeyframeChoice(CORRECTED, frames, 0, None, None, np.zeros(num_frames, np.float32))
    elif choice.contrast and tuple(choice.keyframes) == frames:
        return choice
    own = {"method": CORRECTED, "keyframes": frames, "apex": frames[len(frames) // 2]}
    return replace(choice, **own, start=None, end=None, contrast=True, confidence=1.0)
