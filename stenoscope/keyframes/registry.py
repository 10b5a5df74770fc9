"""The key-frame methods by name. To add one, write a function of the frames and enter it here."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from stenoscope.errors import DicomError, unknown_name
from stenoscope.keyframes import selection
from stenoscope.keyframes.baselines import choose_darkest, choose_midpoint, choose_two_thirds
from stenoscope.keyframes.moon2021 import choose_moon2021
from stenoscope.keyframes.opacification import choose_opacification
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings

METHODS: dict[str, Callable[[np.ndarray, int], KeyframeChoice]] = {
    "opacification": choose_opacification,
    "moon2021": choose_moon2021,
    "midpoint": choose_midpoint,
    "two_thirds": choose_two_thirds,
    "darkest": choose_darkest,
}
"""Each takes frames, uint8 (num_frames, rows, cols), vessels dark, and how many to choose, and returns a
`KeyframeChoice`."""


def choose(
    frames: np.ndarray,
    method: str = "opacification",
    spread: bool = False,
    count: int = KeyframeSettings.keyframes,
    methods: Mapping[str, Callable[[np.ndarray, int], KeyframeChoice]] = METHODS,
) -> KeyframeChoice:
    """Choose the key frames of one clip.

    Parameters
    ----------
    frames : ndarray, uint8, shape (num_frames, rows, cols)
        At least one frame; vessels dark.
    method : str
        A name in `methods`.
    spread : bool
        Spread the key frames over the plateau instead of taking the apex and its neighbours.
    count : int
        Key frames to choose.
    methods : mapping
        Methods by name, as `METHODS`.

    Returns
    -------
    KeyframeChoice

    Raises
    ------
    SettingsError
        If there is no such method.
    DicomError
        If `frames` is not a stack of uint8 frames.
    """
    if method not in methods:
        raise unknown_name("key-frame method", method, methods)
    if frames.ndim != 3 or frames.dtype != np.uint8 or not len(frames):
        raise DicomError(
            f"The clip's frames are {frames.dtype} {frames.shape}.",
            "uint8 (num_frames, rows, cols) with at least one frame",
            "read the clip with the package's readers.",
        )
    choice = methods[method](frames, count)
    if not spread:
        return choice
    curve = choice.fit if choice.fit is not None else selection.smooth(choice.curve)
    return dataclasses.replace(choice, keyframes=selection.spread(curve, choice.apex, count))
