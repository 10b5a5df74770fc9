"""Key frames that a data set ships, chosen by its cardiologists: nothing is computed."""

from collections.abc import Sequence

import numpy as np

from stenoscope.errors import DicomError
from stenoscope.records import KEYFRAMES_PER_CLIP, KeyframeChoice

PUBLISHED = "published"
"""Name of this choice among the key-frame methods; as it needs a data set's list, it is not in `METHODS`."""


def choose_published(frames: Sequence[int], num_frames: int) -> KeyframeChoice:
    """Five of the published frames, evenly spread over them from the first to the last.

    Parameters
    ----------
    frames : sequence of int
        Published frames, ascending; where there are fewer than five, some are taken more than once.
    num_frames : int
        Of the clip.

    Returns
    -------
    KeyframeChoice
        The apex is the middle one of the five; the curve is 1 at published frames and 0 elsewhere.

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
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, KEYFRAMES_PER_CLIP).round().astype(int)]
    curve = np.zeros(num_frames, np.float32)
    curve[list(frames)] = 1
    return KeyframeChoice(
        PUBLISHED,
        tuple(int(index) for index in chosen),
        int(chosen[KEYFRAMES_PER_CLIP // 2]),
        None,
        None,
        curve,
    )
