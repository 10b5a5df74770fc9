"""Vessel centre-lines of a key frame: where crops may be centred, and what could give their label away."""

import cv2
import numpy as np
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label
from skimage.morphology import skeletonize
from sklearn.ensemble import HistGradientBoostingClassifier

from stenoscope.vesselness.combined import vessel_map
from stenoscope.vesselness.enhance import disk
from stenoscope.vesselness.overlays import field_of_view

LEVELS = (0.18, 0.45)
"""Hysteresis thresholds, as shares of the response that 1 % of the frame exceeds."""
SHORTEST = 50
"""Centre-line pixels of the smallest tree that is kept."""
THINNING = 3
"""One of so many centre-line pixels becomes a point."""
BLADE_MARGIN = 12
"""Pixels next to the collimator, whose edge looks like a vessel, that are left out."""
CONTRAST_RADIUS = 15
"""Radius of the top-hat's disk, pixels: more than half of the widest coronary artery."""

FEATURES = (
    "x", "y",  # of the point, pixels
    "width", "width_near",  # of the vessel: at the point, mean within 31 x 31 px
    "vesselness", "vesselness_near", "vesselness_rel", "vesselness_near_rel",  # _rel: of the frame's own 99 %
    "contrast", "contrast_rel",  # black top-hat at the point
    "tree_area", "tree_area_rel",  # of the connected vessels it belongs to
    "brightness", "darker", "spread",  # within 65 x 65 px: mean; that minus the point's; standard deviation
    "vesselness_65", "vesselness_129", "centreline_65", "centreline_129",  # means within so many pixels
    "frame_vesselness",  # the frame's 99 %
)  # fmt: skip
"""Columns of `describe`."""


def contrast_map(frame: np.ndarray) -> np.ndarray:
    """Black top-hat of the slightly blurred frame: float32, same shape, grey levels."""
    smooth = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1.0)
    return cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, disk(CONTRAST_RADIUS))


def describe(frame: np.ndarray) -> np.ndarray:
    """Points on the centre-lines of whatever looks like a vessel, and their features.

    Parameters
    ----------
    frame : ndarray, uint8, shape (rows, cols)

    Returns
    -------
    ndarray, float32, shape (num_points, len(FEATURES))
    """
    field = field_of_view(frame[None]).astype(np.uint8)
    field[[0, -1]], field[:, [0, -1]] = 0, 0
    field = cv2.erode(field, np.ones((2 * BLADE_MARGIN + 1,) * 2, np.uint8))
    response = np.where(field > 0, vessel_map(frame), np.float32(0))
    strong = max(float(np.quantile(response, 0.99)), 1e-3)
    mask = apply_hysteresis_threshold(response, LEVELS[0] * strong, LEVELS[1] * strong)
    lines = skeletonize(mask)
    trees = label(lines, connectivity=2)
    lines &= np.bincount(trees.ravel())[trees] >= SHORTEST
    rows, cols = np.nonzero(lines)
    some = (7919 * rows + 104729 * cols) % THINNING == 0  # evenly spread, whatever the line's direction
    rows, cols = rows[some], cols[some]
    if not len(rows):
        return np.zeros((0, len(FEATURES)), np.float32)

    grey, on_line = frame.astype(np.float32), lines.astype(np.float32)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    regions = label(mask, connectivity=2)
    area = np.bincount(regions.ravel()).astype(np.float32)
    contrast = contrast_map(frame)
    contrast_scale = float(np.quantile(contrast, 0.99)) + 1e-3
    line_near = _mean(on_line, 31) + 1e-6
    response_near = _mean(on_line * response, 31) / line_near
    brightness = _mean(grey, 65)
    spread = np.sqrt(np.maximum(_mean(grey**2, 65) - brightness**2, 0))
    tree_area = area[regions[rows, cols]]
    maps = {
        "width": 2 * depth,
        "width_near": 2 * _mean(on_line * depth, 31) / line_near,
        "vesselness": response,
        "vesselness_near": response_near,
        "vesselness_rel": response / strong,
        "vesselness_near_rel": response_near / strong,
        "contrast": contrast,
        "contrast_rel": contrast / contrast_scale,
        "brightness": brightness,
        "darker": brightness - cv2.GaussianBlur(grey, (0, 0), 1.5),
        "spread": spread,
        "vesselness_65": _mean(response, 65) / strong,
        "vesselness_129": _mean(response, 129) / strong,
        "centreline_65": _mean(on_line, 65),
        "centreline_129": _mean(on_line, 129),
    }
    columns = {
        "x": cols,
        "y": rows,
        "tree_area": tree_area,
        "tree_area_rel": tree_area / area[1:].max(),
        "frame_vesselness": np.full(len(rows), strong),
        **{name: values[rows, cols] for name, values in maps.items()},
    }
    return np.column_stack([columns[name] for name in FEATURES]).astype(np.float32)


class CoronaryFilter:
    """Tells points on coronary arteries from ribs, catheters and noise, after expert masks of vessels.

    A crop on a rib without a lesion would be told from one on an artery with a lesion at a glance, so
    negatives and positives are centred on points that this filter passes.
    """

    def __init__(self, seed: int = 0):
        self._model = HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.06, max_leaf_nodes=15, l2_regularization=1.0, random_state=seed
        )

    def fit(self, points: np.ndarray, on_vessel: np.ndarray) -> "CoronaryFilter":
        """Learn from the points of some frames, rows of `describe`, and whether a mask holds them (bool)."""
        self._model.fit(points, on_vessel)
        return self

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Probability of each point to lie on a coronary artery, float32 (n,)."""
        if not len(points):
            return np.zeros(0, np.float32)
        return self._model.predict_proba(points)[:, 1].astype(np.float32)


def on_mask(points: np.ndarray, mask: np.ndarray, tolerance: int = 2) -> np.ndarray:
    """Which points, rows of `describe`, lie within so many pixels of a bool mask."""
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((2 * tolerance + 1,) * 2, np.uint8))
    return wide[points[:, 1].astype(int), points[:, 0].astype(int)] > 0


def _mean(values: np.ndarray, size: int) -> np.ndarray:
    return cv2.boxFilter(values, -1, (size, size), borderType=cv2.BORDER_REPLICATE)
