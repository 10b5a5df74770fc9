"""Colours of signed evidence, on one scale for a whole experiment."""

from collections.abc import Iterable
from functools import cache

import numpy as np

OPACITY = 0.75
"""Of the overlay where the evidence reaches the end of the scale."""


def common_scale(heatmaps: Iterable[np.ndarray]) -> float:
    """End of the colour scale for many maps of signed evidence: the 90th percentile of their largest values.

    A scale per map would paint the same colour for strong and for no evidence, and two pictures could not be
    compared; the very largest map alone would leave most of the others dark. 1.0 if no map is anywhere
    positive.
    """
    peaks = [peak for heatmap in heatmaps if (peak := float(np.max(heatmap))) > 0]
    return float(np.quantile(peaks, 0.9)) if peaks else 1.0


@cache
def signed_colours() -> np.ndarray:
    """Colours of -1 to 1 as uint8 (511, 3): pale blue over black to pale yellow; index 255 is zero."""
    from matplotlib import colormaps

    warm = np.round(colormaps["inferno"](np.arange(256))[:, :3] * 255)
    warm[0] = 0
    stops = [0, 80, 160, 255], [(0, 0, 0), (24, 66, 150), (56, 152, 224), (222, 247, 255)]
    cold = [np.interp(np.arange(255, 0, -1), stops[0], channel) for channel in zip(*stops[1], strict=True)]
    return np.concatenate([np.stack(cold, axis=1), warm]).astype(np.uint8)


def overlay_colours(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (..., 3), 0 to 255, and opacity (...) of the overlay for a share (0 to 1) of the scale.

    The dark end of the colours is left out: it would darken vessels where there is hardly any evidence.
    """
    colours = signed_colours()[255 + (90 + share * 165).astype(np.int16)]
    return colours, OPACITY * share**0.75


def colour_map(heatmap: np.ndarray, scale: float) -> np.ndarray:
    """Paint signed evidence, float (rows, cols), as RGB, uint8 (rows, cols, 3).

    Warm for "abnormal", blue for "normal", black for none; what lies beyond `scale` is painted like it.
    """
    level = np.clip(heatmap * (255 / scale), -255, 255).astype(np.int16)
    return signed_colours()[level + 255]


def overlay(frame: np.ndarray, heatmap: np.ndarray, scale: float) -> np.ndarray:
    """Lay the evidence for "abnormal" over a frame; the more evidence, the less transparent.

    `frame` is uint8 (rows, cols), `heatmap` float of the same shape, `scale` as in `colour_map`. RGB, uint8
    (rows, cols, 3): the bare frame wherever the evidence is zero or negative.
    """
    share = np.clip(heatmap / scale, 0, 1).astype(np.float32)
    colours, alpha = overlay_colours(share)
    return (frame[..., None] * (1 - alpha[..., None]) + colours * alpha[..., None] + 0.5).astype(np.uint8)
