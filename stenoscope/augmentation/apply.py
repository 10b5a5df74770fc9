"""Make a variant of some frames."""

import numpy as np

from stenoscope.augmentation.grid import Variant
from stenoscope.errors import DatasetError
from stenoscope.records import FRAME_SIZE


def apply_variant(frames: np.ndarray, variant: Variant) -> np.ndarray:
    """Crop frames, uint8 (..., 512, 512), and shift their grey levels; all frames share the variant.

    Returns a new array, uint8 (..., 500, 500); grey levels saturate at 0 and 255 (they never wrap around).
    Raises DatasetError if the frames have another shape or type.

    >>> apply_variant(np.full((512, 512), 250, np.uint8), Variant(0, 12, 10)).max()
    np.uint8(255)
    """
    if frames.dtype != np.uint8 or frames.shape[-2:] != (FRAME_SIZE, FRAME_SIZE):
        raise DatasetError(
            f"Frames of type {frames.dtype} and shape {frames.shape}.",
            f"uint8 frames of {FRAME_SIZE} x {FRAME_SIZE} pixels",
            "take the frames from clips.pickle.",
        )
    return shift_grey(variant.window.cut(frames), variant.offset)


def shift_grey(frames: np.ndarray, offset: int) -> np.ndarray:
    """Add `offset` (-255 to 255) grey levels to uint8 `frames`, saturating; returns a new array."""
    if offset < 0:
        return np.maximum(frames, np.uint8(-offset)) - np.uint8(-offset)
    return np.minimum(frames, np.uint8(255 - offset)) + np.uint8(offset)
