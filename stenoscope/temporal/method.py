"""The key-frame method `temporal`: the trained network's start, apex and end."""

import functools
import sys

import numpy as np

from stenoscope.keyframes.selection import FEWEST_JUDGED, neighbours
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings
from stenoscope.temporal.decode import best_actions
from stenoscope.temporal.features import Maps, extract, scaled
from stenoscope.temporal.labels import keyframes_of


def choose_temporal(frames: np.ndarray, count: int = KeyframeSettings.keyframes) -> KeyframeChoice:
    """Choose the apex between the two actions that the network finds, and its neighbours.

    From frames, uint8 (num_frames, rows, cols). `curve` is how much of the field is filled, its maximum at 1.
    `confidence` is the mean score of the actions found. Without an action there is no contrast in the clip,
    and the apex is the fullest frame; fewer than `FEWEST_JUDGED` frames can't be judged.
    """
    maps = extract(frames)
    filled = scaled(maps.values)[..., 0].mean(axis=(1, 2))
    curve = filled / max(float(filled.max()), 1e-6)
    return read_choice(maps, curve.astype(np.float32), *_find(maps.values), count)


def read_choice(
    maps: Maps,
    curve: np.ndarray,
    actions: np.ndarray,
    confidence: float,
    count: int = KeyframeSettings.keyframes,
) -> KeyframeChoice:
    """The choice from the actions, float (2, 2), NaN where there is none."""
    start, apex, end = keyframes_of(actions)
    contrast = bool(np.isfinite(apex))
    last = len(curve) - 1
    found = round(float(apex)) if contrast else int(np.argmax(curve))
    first = round(float(start)) if np.isfinite(start) else 0
    final = round(float(end)) if np.isfinite(end) else last
    return KeyframeChoice(
        "temporal",
        neighbours(found, len(curve), count),
        found,
        first if first > 0 else None,
        final if final < last else None,
        curve,
        contrast or len(curve) < FEWEST_JUDGED,
        confidence,
        None,
        maps.masked,
    )


def _find(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Actions of a clip and the mean of their scores."""
    if len(values) < FEWEST_JUDGED:
        return np.full((2, 2), np.nan), 0.0
    network = _network()  # first, because it starts the tensor library
    from stenoscope.temporal.inference import localise

    detections, _ = localise(network, values)
    actions, scores = best_actions(detections, len(values))
    return actions, float(np.nanmean(scores)) if np.isfinite(scores).any() else 0.0


@functools.cache
def _network():
    """The shipped network, read once; the tensor library, if this is its first use, gets one thread.

    It loads only here: no other method needs it, and it costs seconds.
    """
    if "keras" not in sys.modules:
        from stenoscope.training.machine import prepare

        prepare(threads=1, seed=0)
    from stenoscope.temporal.inference import load

    return load()
