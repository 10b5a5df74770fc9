"""What a Secondary Capture shows: a key frame under its heatmap, with a caption that no archive can lose."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stenoscope.evaluation.localisation import peak_pixels
from stenoscope.report.colours import OPACITY, overlay, overlay_colours
from stenoscope.report.panels import NO_RING

_CAPTION, _MARGIN, _BAR = 48, 8, 120  # pixels
_INK, _QUIET = (238, 239, 242), (170, 174, 183)


def overlay_pictures(
    frames: np.ndarray,
    heatmaps: np.ndarray,
    scale: float,
    captions: Sequence[str],
    inside: np.ndarray | None = None,
) -> np.ndarray:
    """Draw frames, uint8 (n, rows, cols), under their heatmaps, above a caption.

    Uint8 RGB (n, rows + 48, cols, 3). Heatmaps, float (n, rows, cols), are signed evidence for "abnormal";
    only what is positive is drawn. `scale` is the end of the colour scale, the same for the whole experiment.
    A ring marks the maximum within `inside`, bool (rows, cols), of a map that has positive evidence, else the
    caption says that there is none; under each caption stand a note that this is research, and the colour
    scale.
    """
    count, rows, cols = frames.shape
    pictures = np.zeros((count, rows + _CAPTION, cols, 3), np.uint8)
    for picture, frame, heatmap, caption in zip(pictures, frames, heatmaps, captions, strict=True):
        picture[:rows] = overlay(frame, heatmap, scale)
        row, col = np.argwhere(peak_pixels(heatmap, inside))[0]
        ring = heatmap[row, col] > 0
        if ring:
            cv2.circle(picture[:rows], (int(col), int(row)), 9, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.circle(picture[:rows], (int(col), int(row)), 9, (255, 255, 255), 1, cv2.LINE_AA)
        picture[rows:] = _caption(cols, caption if ring else f"{caption}. {NO_RING.capitalize()}.", scale)
    return pictures


def _caption(width: int, text: str, scale: float) -> np.ndarray:
    """Two lines and a colour bar, uint8 (48, width, 3)."""
    picture = Image.new("RGB", (width, _CAPTION))
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, 5), text, font=ImageFont.load_default(14), fill=_INK)
    small = ImageFont.load_default(12)
    draw.text((_MARGIN, 26), "Stenoscope. For research only, not a diagnosis.", font=small, fill=_QUIET)
    left = width - _BAR - _MARGIN
    draw.text((left, 26), "0", font=small, fill=_QUIET)
    draw.text((width - _MARGIN, 26), f"{scale:.2g}", font=small, fill=_QUIET, anchor="ra")
    strip = np.array(picture)
    colours, opacity = overlay_colours(np.linspace(0, 1, _BAR))
    strip[10:20, left : left + _BAR] = colours * (opacity / OPACITY)[:, None]
    return strip
