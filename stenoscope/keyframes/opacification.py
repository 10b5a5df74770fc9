"""The default method: a late quantile of the plateau of the opacification curve."""

import numpy as np
from scipy import ndimage

from stenoscope.keyframes.scores import Filling, measure_filling
from stenoscope.keyframes.selection import FEWEST_JUDGED, neighbours, plateau_apex, run_around, smooth
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings

START, END = 0.05, 0.4
"""Levels, 0 to 1, of the filled share at which contrast has arrived and of the amount of contrast at which it
has left; ``benchmarks/keyframes.py --refit`` chose them. Leaving shows in the amount: thinned contrast still
fills the vessels."""
MIN_STRENGTH = 1.3
"""Contrast strength (see `contrast_strength`) below which a clip is called empty. Simulated and real clips
have 1.8 and 3.9 or more, their frames before the injection 0.8 and 1.0 or less
(``benchmarks/keyframes.py --strength``)."""
_ARRIVAL_SMOOTHING, _LEAVING_SMOOTHING = 0.7, 2.0  # frames: contrast arrives more abruptly than it leaves
_HALF_STRENGTH, _HALF_CLARITY = 0.5, 4.0  # values at which each factor of the confidence is 1/2


def choose_opacification(frames: np.ndarray, count: int = KeyframeSettings.keyframes) -> KeyframeChoice:
    """Choose the apex of opacification and its neighbours, from frames, uint8 (num_frames, rows, cols).

    `curve` is the opacification, its least frame at 0 and its fullest at 1; `fit` its smoothed version, on
    the same scale.
    """
    filling = measure_filling(frames)
    smoothed = smooth(filling.share)
    apex = plateau_apex(smoothed)
    contrast, confidence = judge(filling, smoothed)
    start, end = contrast_interval(filling, smoothed, apex) if contrast else (None, None)
    low, high = filling.share.min(), filling.share.max()
    scale = 1 / (high - low) if high > low else 0.0
    return KeyframeChoice(
        "opacification",
        neighbours(apex, len(frames), count),
        apex,
        start,
        end,
        ((filling.share - low) * scale).astype(np.float32),
        contrast,
        confidence,
        ((smoothed - low) * scale).astype(np.float32),
        filling.masked,
    )


def contrast_interval(
    filling: Filling, smoothed: np.ndarray, apex: int, start_level: float = START, end_level: float = END
) -> tuple[int | None, int | None]:
    """First and last frame with contrast; None where they lie outside the clip.

    `smoothed`, (num_frames,), is the smoothed share. The levels, 0 to 1, are of its range and of that of the
    smoothed amount.
    """
    low, high = smoothed.min(), smoothed.max()
    arriving = ndimage.gaussian_filter1d(filling.share, _ARRIVAL_SMOOTHING, mode="nearest")
    leaving = ndimage.gaussian_filter1d(filling.amount, _LEAVING_SMOOTHING, mode="nearest")
    empty, full = leaving.min(), leaving.max()
    first = run_around(arriving >= low + start_level * (high - low), apex)[0]
    last = run_around(leaving >= empty + end_level * (full - empty), apex)[1]
    return (first if first > 0 else None), (last if last < len(leaving) - 1 else None)


def contrast_strength(filling: Filling, smoothed: np.ndarray) -> float:
    """Percentage of the field that vessels cover at the apex, times their least response in grey levels."""
    return 100 * float(smoothed.max()) * filling.threshold


def judge(filling: Filling, smoothed: np.ndarray) -> tuple[bool, float]:
    """Whether contrast passed at all, and how clearly the apex stands out: a confidence of 0 to 1.

    The first is True also for clips of fewer than `FEWEST_JUDGED` frames, which can't be judged. The
    confidence grows with the strength of the contrast and with the rise of the curve over its jitter; it is 0
    without contrast and for clips that can't be judged.
    """
    if len(smoothed) < FEWEST_JUDGED:
        return True, 0.0
    strength = contrast_strength(filling, smoothed)
    if strength < MIN_STRENGTH:
        return False, 0.0
    jitter = float(np.std(filling.share - smoothed))
    clarity = float(np.ptp(smoothed)) / jitter if jitter > 0 else np.inf
    clear = 1.0 if clarity == np.inf else clarity / (clarity + _HALF_CLARITY)
    return True, float(strength / (strength + _HALF_STRENGTH) * clear)
