"""From a curve to an apex, from an apex to key frames."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stenoscope.settings import KeyframeSettings


@dataclass(frozen=True)
class PlateauRule:
    """How the apex is read from a curve; ``benchmarks/keyframes.py --refit`` chose the defaults."""

    level: float = 0.9  # level of the smoothed curve (0 to 1) above which a frame belongs to the plateau
    # quantile of the plateau's weight at which the apex is read: late, because distal branches fill last
    lateness: float = 0.6
    smoothing: float = 0.06  # standard deviation of the smoothing, in widths of the curve at half height
    # the plateau is measured from at most this share of the maximum: some clips are never empty
    floor: float = 0.3
    beyond: float = 0.0  # widths for which a clip that ends opacified is assumed to go on


PLATEAU = PlateauRule()

FEWEST_JUDGED = 5
"""Clips of fewer frames are not judged: whether contrast passed does not show in them."""


def neighbours(apex: int, num_frames: int, count: int = KeyframeSettings.keyframes) -> tuple[int, ...]:
    """The `count` consecutive frames around `apex`, shifted inward at the clip's ends; ascending.

    No repeats, unless the clip has fewer than `count` frames.

    >>> neighbours(10, 40), neighbours(1, 40), neighbours(39, 40), neighbours(1, 3)
    ((8, 9, 10, 11, 12), (0, 1, 2, 3, 4), (35, 36, 37, 38, 39), (0, 0, 1, 2, 2))
    """
    if not 0 <= apex < num_frames:
        raise ValueError(f"Expected an apex of 0 to {num_frames - 1}, received {apex}.")
    if num_frames < count:
        chosen = np.linspace(0, num_frames - 1, count).round().astype(int)
    else:
        first = min(max(apex - count // 2, 0), num_frames - count)
        chosen = np.arange(first, first + count)
    return tuple(int(index) for index in chosen)


def spread(curve: np.ndarray, apex: int, count: int = KeyframeSettings.keyframes) -> tuple[int, ...]:
    """`count` frames spread over the plateau around `apex`, instead of neighbours: more phases of the heart.

    `curve`, (num_frames,), is smooth; the plateau is the run around `apex` above ``PLATEAU.level`` of its
    range. Ascending, the apex among them; the neighbours of the apex where the plateau is too short to
    spread.
    """
    first, last = run_around(_plateau_level(curve, PLATEAU.floor) >= PLATEAU.level, apex)
    if last - first + 1 <= count:
        return neighbours(apex, len(curve), count)
    chosen = np.linspace(first, last, count).round().astype(int)
    chosen[np.argmin(np.abs(chosen - apex))] = apex
    return tuple(int(index) for index in chosen)


def smooth(curve: np.ndarray, rule: PlateauRule = PLATEAU) -> np.ndarray:
    """Smooth a curve of opacification by a Gaussian in proportion to its width, so that frame rates compare.

    Returns float64 (num_frames,).
    """
    curve = np.asarray(curve, np.float64)
    return ndimage.gaussian_filter1d(curve, max(0.7, rule.smoothing * _width(curve)), mode="nearest")


def plateau_apex(smoothed: np.ndarray, rule: PlateauRule = PLATEAU) -> int:
    """The apex of a smoothed curve (at least 0): a late quantile of the plateau that holds its maximum.

    Frames weigh by how far they rise above ``rule.level``. A clip that ends on the plateau was cut: the
    plateau is continued for a while, so that the apex of a curve that still rises is the last frame.

    >>> plateau_apex(np.array([0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]))
    5
    """
    level = _plateau_level(smoothed, rule.floor)
    level = np.append(level, np.full(round(rule.beyond * _width(smoothed)), level[-1]))
    first, last = run_around(level >= rule.level, int(np.argmax(level)))
    weight = np.cumsum(level[first : last + 1] - rule.level)
    if weight[-1] <= 0:
        return min((first + last) // 2, len(smoothed) - 1)
    return min(first + int(np.searchsorted(weight, rule.lateness * weight[-1])), len(smoothed) - 1)


def run_around(mask: np.ndarray, index: int) -> tuple[int, int]:
    """First and last index of the run of True that holds `index`; `index` itself where the mask is False.

    >>> run_around(np.array([1, 0, 1, 1, 1, 0]) > 0, 3)
    (2, 4)
    """
    if not mask[index]:
        return index, index
    gaps = np.flatnonzero(~mask)
    before, after = gaps[gaps < index], gaps[gaps > index]
    return int(before[-1]) + 1 if len(before) else 0, int(after[0]) - 1 if len(after) else len(mask) - 1


def unit_range(curve: np.ndarray) -> np.ndarray:
    """The curve scaled to 0..1; all 0 where it is constant."""
    curve = np.asarray(curve, np.float64)
    low, high = curve.min(), curve.max()
    return (curve - low) / (high - low) if high > low else np.zeros(len(curve))


def _plateau_level(smoothed: np.ndarray, floor: float) -> np.ndarray:
    """The curve with its maximum at 1 and its minimum, or `floor` of its maximum if that is less, at 0."""
    smoothed = np.asarray(smoothed, np.float64)
    high = smoothed.max()
    low = min(smoothed.min(), floor * high)
    return (smoothed - low) / (high - low) if high > low else np.ones(len(smoothed))


def _width(curve: np.ndarray) -> int:
    """Frames above half height, after a light smoothing."""
    light = unit_range(ndimage.gaussian_filter1d(np.asarray(curve, np.float64), 1.0, mode="nearest"))
    return max(3, int(np.count_nonzero(light >= 0.5)))
