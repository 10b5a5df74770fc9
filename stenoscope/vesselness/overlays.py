"""What is not anatomy: the collimator's blades and burned-in text, found from the clip itself."""

import cv2
import numpy as np

from stenoscope.vesselness.enhance import disk

_STEP = 4  # the search runs on every fourth pixel and at most 32 frames: blades and text are static
_MAX_FRAMES = 32
_MIN_WORD = 40  # pixels


def field_of_view(frames: np.ndarray) -> np.ndarray:
    """Pixels that the X-ray beam reaches: True inside the collimator's blades.

    Behind a blade the frame is dark and still. The region is grown from the borders through pixels that are
    darker than half the clip's median and whose grey level hardly changes over the clip.

    Parameters
    ----------
    frames : ndarray, uint8, shape (num_frames, rows, cols)

    Returns
    -------
    ndarray, bool, shape (rows, cols)
        All True where no blade is found.
    """
    rows, cols = frames.shape[1:]
    few = _thin_out(frames)
    small = np.stack(
        [cv2.resize(f, (-(-cols // _STEP), -(-rows // _STEP)), interpolation=cv2.INTER_AREA) for f in few]
    )
    mean = small.mean(axis=0)
    blade = ((mean < 0.5 * np.median(mean)) & (small.std(axis=0) < 3.0)).astype(np.uint8)
    padded = cv2.copyMakeBorder(blade, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(padded, connectivity=4)
    outside = (labels == labels[0, 0]).astype(np.uint8)[1:-1, 1:-1]
    if not outside.any():
        return np.ones((rows, cols), bool)
    outside = cv2.dilate(outside, disk(2))  # the blade's blurred edge
    return cv2.resize(outside, (cols, rows), interpolation=cv2.INTER_NEAREST) == 0


def burned_in(frames: np.ndarray) -> np.ndarray:
    """Burned-in text and graphics: sharp strokes that no frame changes.

    Anatomy moves and carries quantum noise; text is drawn after the detector. Pixels that do not change and
    have a steep gradient are strokes; strokes within a few pixels of each other join to a word. A word is
    widened by two letters, which covers the digits of a frame counter that do change.

    Parameters
    ----------
    frames : ndarray, uint8, shape (num_frames, rows, cols)

    Returns
    -------
    ndarray, bool, shape (rows, cols)
        True on the text's area; all False where none is found or the clip has fewer than 4 frames.
    """
    rows, cols = frames.shape[1:]
    if len(frames) < 4:
        return np.zeros((rows, cols), bool)
    few = _thin_out(frames)
    spread = few.max(axis=0) - few.min(axis=0)
    middle = few[len(few) // 2]
    contrast = cv2.morphologyEx(middle, cv2.MORPH_GRADIENT, disk(1))
    strokes = ((contrast > 80) & (cv2.erode(spread, disk(1)) <= 4)).astype(np.uint8)
    words = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, np.ones((7, 17), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(words)
    keep = np.zeros(count, bool)
    keep[1:] = (stats[1:, cv2.CC_STAT_AREA] >= _MIN_WORD) & (stats[1:, cv2.CC_STAT_HEIGHT] <= 64)
    return cv2.dilate(keep[labels].astype(np.uint8), np.ones((7, 33), np.uint8)) > 0


def _thin_out(frames: np.ndarray) -> np.ndarray:
    """At most `_MAX_FRAMES` frames, evenly spread."""
    if len(frames) <= _MAX_FRAMES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, _MAX_FRAMES).round().astype(int)]
