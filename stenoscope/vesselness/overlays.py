"""What is not anatomy: the collimator's blades and burned-in text, found from the clip itself."""

import cv2
import numpy as np

from stenoscope.vesselness.enhance import disk

_STEP = 4  # the search runs on every fourth pixel and at most 32 frames: blades and text are static
_MAX_FRAMES = 32
_MIN_WORD = 40  # pixels
_BLACK = 16  # grey level below which nothing was exposed
_EDGE_DEPTH, _EDGE_SHARE = 0.1, 0.75  # of a half-transparent blade's edge: step in median grey levels, rows
_EDGE_MARGIN = 16  # pixels; half a cell of the default network's class map


def field_of_view(frames: np.ndarray) -> np.ndarray:
    """Pixels that the X-ray beam reaches: True inside the collimator's blades.

    Behind a blade the frame is dark and still. The region is grown from the borders through pixels that are
    darker than half the clip's median and whose grey level hardly changes over the clip.

    From frames, uint8 (num_frames, rows, cols), to bool (rows, cols), all True where no blade is found.
    """
    rows, cols = frames.shape[1:]
    few = _thin_out(frames)
    small = np.stack(
        [cv2.resize(f, (-(-cols // _STEP), -(-rows // _STEP)), interpolation=cv2.INTER_AREA) for f in few]
    )
    mean = small.mean(axis=0)
    level = np.median(mean)
    if level < _BLACK and (mean >= _BLACK).any():  # blades cover most of the frame
        level = np.median(mean[mean >= _BLACK])
    blade = ((mean < 0.5 * level) & (small.std(axis=0) < 3.0)).astype(np.uint8)
    padded = cv2.copyMakeBorder(blade, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(padded, connectivity=4)
    outside = (labels == labels[0, 0]).astype(np.uint8)[1:-1, 1:-1]
    if not outside.any():
        return np.ones((rows, cols), bool)
    outside = cv2.dilate(outside, disk(2))  # the blade's blurred edge
    return cv2.resize(outside, (cols, rows), interpolation=cv2.INTER_NEAREST) == 0


def clear_field(frames: np.ndarray) -> np.ndarray:
    """Pixels where a heatmap's maximum may lie: in the field of view and away from every blade's edge.

    A network may take the edge of a blade for a vessel. Beyond `field_of_view`, the wedges that let some beam
    through are left out: straight edges in the outer quarter of the frame, parallel to a side, along which
    the grey level rises inwards in three quarters of the rows.

    From frames, uint8 (num_frames, rows, cols), those of a clip or its key frames alone, which give nearly
    the same, to bool (rows, cols): all True where no blade is found, or nothing but blades.
    """
    rows, cols = frames.shape[1:]
    inside = field_of_view(frames)
    small = (-(-cols // _STEP), -(-rows // _STEP))
    mean = cv2.resize(_thin_out(frames).mean(axis=0), small, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(inside.astype(np.uint8), small, interpolation=cv2.INTER_NEAREST) > 0
    if not seen.any():
        return np.ones((rows, cols), bool)
    step = _EDGE_DEPTH * np.median(mean[seen])
    for turns in range(4):
        edge = _last_edge(np.rot90(mean, turns), np.rot90(seen, turns), step)
        np.rot90(inside, turns)[:, : edge * _STEP] = False
    kernel = np.ones((2 * _EDGE_MARGIN + 1,) * 2, np.uint8)
    clear = cv2.erode(inside.astype(np.uint8), kernel) > 0
    return clear if clear.any() else np.ones((rows, cols), bool)


def _last_edge(mean: np.ndarray, seen: np.ndarray, step: float) -> int:
    """Columns from the left up to the innermost edge of a blade at that side; 0 without one."""
    mean, reach = cv2.blur(mean, (1, 3)), max(4, mean.shape[1] // 4)
    rise = (mean[:, 2:-1] + mean[:, 3:] - mean[:, :-3] - mean[:, 1:-2])[:, : reach - 2] / 2
    both = (seen[:, :-3] & seen[:, 3:])[:, : reach - 2]
    count = both.sum(axis=0)
    share = (both & (rise > step)).sum(axis=0) / np.maximum(count, 1)
    edges = np.flatnonzero((share >= _EDGE_SHARE) & (count >= 0.4 * len(mean)))
    return int(edges[-1]) + 3 if len(edges) else 0


def burned_in(frames: np.ndarray) -> np.ndarray:
    """Burned-in text and graphics: sharp strokes that no frame changes.

    Anatomy moves and carries quantum noise; text is drawn after the detector. Pixels that do not change and
    have a steep gradient are strokes; strokes within a few pixels of each other join to a word. A word is
    widened by two letters, which covers the digits of a frame counter that do change.

    From frames, uint8 (num_frames, rows, cols), to bool (rows, cols): True on the text's area, all False
    where none is found or the clip has fewer than 4 frames.
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
