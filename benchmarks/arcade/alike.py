"""Frames so alike that they must be of one patient: ARCADE names no patients."""

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from stenoscope.vesselness.enhance import disk

ALIKE = 0.36
"""Correlation from which on two frames count as one patient's. Of ARCADE's 400 x 200 pairs of training and
validation frames two show one patient in one view, by eye: 0.623 and 0.372. The next one, 0.345, does not."""
_SIDE = 96
_SHIFT = 6
_BORDER = 40


def likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Greatest correlation of the vessels of two sets of frames over shifts of up to 32 px.

    Parameters
    ----------
    first, second : ndarray, uint8, shapes (n, 512, 512) and (m, 512, 512)

    Returns
    -------
    ndarray, float32, shape (n, m)
        At most 1.
    """
    left, right = (np.fft.rfft2(np.stack([_vessels(frame) for frame in part])) for part in (first, second))
    steps = np.arange(-_SHIFT, _SHIFT + 1)
    found = np.empty((len(left), len(right)), np.float32)
    for row, spectrum in zip(found, left, strict=True):
        surface = np.fft.irfft2(spectrum * np.conj(right), s=(_SIDE, _SIDE))
        row[:] = surface[:, steps[:, None], steps].max(axis=(1, 2))
    return found


def groups(frames: np.ndarray) -> np.ndarray:
    """Number of the patient of each frame, int64 (n,): frames that are alike, directly or through others."""
    return connected_components(likeness(frames, frames) >= ALIKE, directed=False)[1]


def _vessels(frame: np.ndarray) -> np.ndarray:
    """Small vessel map without the border (the collimator's edge), of unit norm."""
    smooth = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 2.0)
    contrast = cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, disk(12))
    contrast[:_BORDER] = contrast[-_BORDER:] = contrast[:, :_BORDER] = contrast[:, -_BORDER:] = 0
    contrast = np.minimum(contrast, np.quantile(contrast, 0.98))
    small = cv2.resize(contrast, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    small -= cv2.GaussianBlur(small, (0, 0), 8.0)
    return small / max(float(np.linalg.norm(small)), 1e-6)
