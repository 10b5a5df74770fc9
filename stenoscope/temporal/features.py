"""What the network sees of a frame, on one scale for the whole clip: its vesselness, reduced to 64 x 64."""

from dataclasses import dataclass

import cv2
import numpy as np

from stenoscope.vesselness.hessian import VesselFilter
from stenoscope.vesselness.overlays import burned_in, field_of_view

SIZE = 64
"""Rows and columns of a map of vesselness."""
CHANNELS = 2
"""Largest and mean response in each cell: the one says where vessels are, the other how much contrast."""
SIGMA = 2.0
"""Scale of the filter in pixels of a 512 x 512 frame: distal branches, which fill last."""
STEPS = (8, 16)
"""Steps per grey level in which the two channels are kept as uint8."""
FLOOR = (2.0, 0.8)
"""Grey levels, by channel, below which a change is noise: no clip is scaled up further than these allow."""
CEILING = 2.0
"""Largest value of a scaled map."""
_BACKGROUND_QUANTILE, _BRIGHT_QUANTILE = 0.1, 0.985
_BACKGROUND_FRAMES = 32  # the quantile over time is taken over at most so many frames, evenly spread


@dataclass(frozen=True)
class Maps:
    """Features of a clip, each frame by itself."""

    # uint8 (num_frames, 64, 64, 2): largest and mean vesselness of each cell, in steps of 1/8 and 1/16 grey
    # level
    values: np.ndarray
    masked: np.ndarray  # bool (rows, cols): nothing was measured (outside the collimator, burned-in text)


def extract(frames: np.ndarray) -> Maps:
    """Features of a clip, uint8 (num_frames, rows, cols), vessels dark.

    The filter works on 256 x 256, half the resolution of the project's frames.
    """
    masked = ~field_of_view(frames) | burned_in(frames)
    half = 4 * SIZE
    seen = cv2.resize((~masked).astype(np.uint8), (half, half), interpolation=cv2.INTER_NEAREST)
    ridge = VesselFilter((half, half), [SIGMA / 2], fine=np.inf)
    values = np.empty((len(frames), SIZE, SIZE, CHANNELS), np.uint8)
    for frame, value in zip(frames, values, strict=True):
        response = ridge(cv2.resize(frame, (half, half), interpolation=cv2.INTER_AREA))
        response *= seen
        # The cell's maximum in two steps: across columns, which lie together in memory, then across rows.
        largest = response.reshape(half, SIZE, 4).max(axis=2).reshape(SIZE, 4, SIZE).max(axis=1)
        mean = cv2.resize(response, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        value[..., 0] = cv2.convertScaleAbs(largest, alpha=STEPS[0])
        value[..., 1] = cv2.convertScaleAbs(mean, alpha=STEPS[1])
    return Maps(values, masked)


def scaled(values: np.ndarray) -> np.ndarray:
    """What changed in the maps of one clip, on one scale for the clip: float32, 0 to `CEILING`.

    What was there all along, a low quantile over time, widened by a cell because the catheter and the ribs
    quiver, is subtracted; the rest is divided by its own high quantile. `values` is uint8 or float32
    (num_frames, 64, 64, 2).
    """
    values = values.astype(np.float32)
    count = min(len(values), _BACKGROUND_FRAMES)
    sample = values[np.linspace(0, len(values) - 1, count).round().astype(int)]
    rank = round(_BACKGROUND_QUANTILE * (count - 1))
    background = cv2.dilate(np.partition(sample, rank, axis=0)[rank], np.ones((3, 3), np.uint8))
    change = np.maximum(values - background, 0)
    flat = change[:: max(1, len(change) // _BACKGROUND_FRAMES)].reshape(-1, values.shape[-1])
    bright = int(_BRIGHT_QUANTILE * (len(flat) - 1))
    strength = np.partition(flat, bright, axis=0)[bright]
    strength = np.maximum(strength, np.multiply(FLOOR, STEPS))
    return np.minimum(change / strength.astype(np.float32), CEILING, dtype=np.float32)
