"""Rules without a look at the vessels: what a method must beat."""

import numpy as np

from stenoscope.keyframes.selection import neighbours
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings


def choose_midpoint(frames: np.ndarray, count: int = KeyframeSettings.keyframes) -> KeyframeChoice:
    """The frame in the middle of the clip."""
    return _at("midpoint", (len(frames) - 1) // 2, np.zeros(len(frames), np.float32), count)


def choose_two_thirds(frames: np.ndarray, count: int = KeyframeSettings.keyframes) -> KeyframeChoice:
    """The frame at 67 % of the clip: where the apex of many a recording happens to lie."""
    return _at("two_thirds", round(0.67 * (len(frames) - 1)), np.zeros(len(frames), np.float32), count)


def choose_darkest(frames: np.ndarray, count: int = KeyframeSettings.keyframes) -> KeyframeChoice:
    """The frame of the lowest mean grey level; `curve` is the darkness, 255 minus the mean."""
    darkness = np.array([255.0 - frame.mean() for frame in frames], np.float32)
    return _at("darkest", int(np.argmax(darkness)), darkness, count)


def _at(method: str, apex: int, curve: np.ndarray, count: int) -> KeyframeChoice:
    return KeyframeChoice(method, neighbours(apex, len(curve), count), apex, None, None, curve)
