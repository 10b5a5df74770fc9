"""How well a heatmap finds the lesion, compared with chance-level baselines.

All measures take a map of evidence and the lesion boxes of one clip. The null baselines are maps too, so that
they pass through the same measures: a single pixel at the image centre, the vessel mask (every vessel pixel
equally likely), the centre-lines of its widest vessels, and the vesselness.
"""

from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from stenoscope.errors import DatasetError
from stenoscope.evaluation.intervals import RESAMPLES, SEED, bootstrap_statistic
from stenoscope.vesselness.combined import widest_points

MARGIN = 16
"""Pixels by which a box is enlarged on each side for the pointing game."""

IOU_LEVEL = 0.5
"""Share of the maximum from which on a pixel belongs to the highlighted region."""

BASELINES = ("image_centre", "random_vessel_point", "wide_vessel_point", "vesselness_maximum")
"""Names of the null baselines."""

COLUMNS = ("clip_id", "patient_id", "method", "hit", "energy", "iou", "distance")
"""Columns of localisation.csv: one row per abnormal test clip and method or baseline."""


class ClipScore(NamedTuple):
    """Measures of one map; see `score_clip`."""

    hit: float
    energy: float
    iou: float
    distance: float


def peak_pixels(heatmap: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Where a map has its maximum, bool (rows, cols); True at several pixels if they share it.

    `inside`, bool (rows, cols), is where the maximum may lie (see `vesselness.overlays.clear_field`): the
    highest peak that lies there. The slope of a peak elsewhere does not count as one, unless there is no peak
    inside at all.
    """
    if inside is None or inside.all():
        return heatmap == heatmap.max()
    peaks = inside & (heatmap >= cv2.dilate(heatmap, np.ones((3, 3), np.uint8)))
    allowed = peaks if peaks.any() else inside
    return allowed & (heatmap == heatmap[allowed].max())


def score_clip(
    heatmap: np.ndarray, boxes: np.ndarray, margin: int = MARGIN, inside: np.ndarray | None = None
) -> ClipScore:
    """Compare a map with the lesion boxes of its clip.

    Parameters
    ----------
    heatmap : ndarray, float, shape (rows, cols)
        Signed evidence for "abnormal" in frame coordinates (512 x 512).
    boxes : ndarray, float, shape (k, 4)
        Lesions as ``[x0, y0, x1, y1]``, pixels, half-open; at least one reaches into the frame.
    margin : int
        Pixels added on each side of a box for `hit` only.
    inside : ndarray, bool, shape (rows, cols), optional
        The field of view, as in `peak_pixels`; evidence elsewhere does not count.

    Returns
    -------
    ClipScore
        ``hit``
            Pointing game [1]_: 1 if the maximum lies in an enlarged box, else 0; where several pixels share
            the maximum, the share of them that does (the expectation of a random choice).
        ``energy``
            Energy-based pointing game [2]_: share of the map's positive sum inside the boxes; 0 where the map
            is nowhere positive.
        ``iou``
            Intersection over union of the boxes and the pixels of at least half the maximum [3]_; 0 where the
            map is nowhere positive.
        ``distance``
            From the maximum to the centre of the nearest box, pixels (mean over shared maxima).

    Raises
    ------
    DatasetError
        If there is no box in the frame, or the map is not finite.

    References
    ----------
    .. [1] Zhang et al. 2018, "Top-down neural attention by excitation backprop", IJCV 126, section 4.2 (whose
       tolerance around the point is the margin here).
    .. [2] Wang et al. 2020, "Score-CAM", CVPR workshops, section 4.3.
    .. [3] Choe et al. 2020, "Evaluating weakly supervised object localization methods right", CVPR, section 3
       (PxAP's masks), at one fixed threshold.
    """
    heatmap = np.asarray(heatmap, dtype=np.float64)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if heatmap.ndim != 2 or not np.isfinite(heatmap).all():
        raise DatasetError(
            f"A heatmap of shape {heatmap.shape}, or not finite.", "finite numbers (512, 512)", ""
        )
    lesion = box_mask(boxes, heatmap.shape)
    if not lesion.any():
        raise DatasetError(
            f"No box reaches into the frame: {boxes.tolist()}.",
            "boxes [x0, y0, x1, y1] within 0 to 512",
            "leave clips without a visible lesion out of the localisation.",
        )
    at_peak = peak_pixels(heatmap, inside)
    peak = heatmap[at_peak][0]
    if inside is not None:
        heatmap = np.where(inside, heatmap, np.minimum(heatmap, 0.0))
    near = box_mask(boxes + np.array([-margin, -margin, margin, margin]), heatmap.shape)
    positive = np.maximum(heatmap, 0.0)
    region = heatmap >= IOU_LEVEL * peak if peak > 0 else np.zeros_like(lesion)
    rows, cols = np.nonzero(at_peak)
    centres = (boxes[:, :2] + boxes[:, 2:] - 1) / 2
    distances = np.hypot(cols[:, None] - centres[:, 0], rows[:, None] - centres[:, 1]).min(axis=1)
    return ClipScore(
        hit=float(near[at_peak].mean()),
        energy=float(positive[lesion].sum() / positive.sum()) if peak > 0 else 0.0,
        iou=float((region & lesion).sum() / (region | lesion).sum()),
        distance=float(distances.mean()),
    )


def score_baselines(
    vessel_mask: np.ndarray,
    vesselness: np.ndarray,
    boxes: np.ndarray,
    margin: int = MARGIN,
    inside: np.ndarray | None = None,
) -> dict[str, ClipScore]:
    """Measures of the null baselines on one clip, by name.

    `vessel_mask` is bool (rows, cols), and an empty one counts as "anywhere"; `vesselness`, float (rows,
    cols), is the response of a vessel filter; the others are those of `score_clip`. ``image_centre`` always
    points at the centre. ``random_vessel_point`` points at any vessel pixel with equal chance; its `hit` is
    the exact expectation. ``wide_vessel_point``: the same, of the widest tenth of the vessels' centre-lines:
    lesions are looked for in vessels of some width. ``vesselness_maximum`` points at the strongest vessel
    response.
    """
    mask = np.asarray(vessel_mask, dtype=bool) & (True if inside is None else inside)
    centre = np.zeros(mask.shape)
    centre[mask.shape[0] // 2, mask.shape[1] // 2] = 1.0
    wide = widest_points(mask)
    anywhere, wide = (
        points.astype(np.float64) if points.any() else np.ones(mask.shape) for points in (mask, wide)
    )
    maps = (centre, anywhere, wide, vesselness)
    return {name: score_clip(map_, boxes, margin, inside) for name, map_ in zip(BASELINES, maps, strict=True)}


def summarise_localisation(table: pd.DataFrame, resamples: int = RESAMPLES, seed: int = SEED) -> dict:
    """Average the measures over clips, with intervals from a bootstrap over patients.

    `table` has the columns `COLUMNS`, one row per clip and method (heatmap methods and baselines alike). By
    method, in order of appearance: ``clips``, ``baseline`` (bool), and ``hit``, ``energy``, ``iou`` each
    ``{mean, ci95}``, ``distance`` ``{median, ci95}`` in pixels.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DatasetError(f"A localisation table without {missing}.", f"the columns {COLUMNS}", "")
    return {
        method: {
            "clips": len(rows),
            "baseline": method in BASELINES,
            **{name: _average(rows, name, resamples, seed) for name in ("hit", "energy", "iou")},
            "distance": _average(rows, "distance", resamples, seed, "median"),
        }
        for method, rows in table.groupby("method", sort=False)
    }


def similarity(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Rank correlation (Spearman) of each map with its other, signed values, cell by cell.

    Takes two floats (n, rows, cols), returns float64 (n,), -1 to 1; 0 where a map is constant. 1 means that
    the map does not depend on what was randomised (Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS
    2018, section 3).
    """
    found = np.zeros(len(maps))
    for number, (one, other) in enumerate(zip(maps, others, strict=True)):
        if np.ptp(one) > 0 and np.ptp(other) > 0:
            found[number] = spearmanr(one.ravel(), other.ravel()).statistic
    return found


def summarise_randomisation(table: pd.DataFrame, resamples: int = RESAMPLES, seed: int = SEED) -> dict:
    """Average what maps keep when the network's weights are random (Adebayo et al. 2018).

    `table` has a row per clip and method: patient_id, clip_id, method, similarity (rank correlation of the
    maps before and after, -1 to 1), magnitude (of that correlation, 0 to 1), hit (of the maps afterwards, NaN
    where no lesion is known). By method, in order of appearance: ``clips``, and ``similarity``, ``magnitude``
    and ``hit`` each ``{mean, ci95}``; `hit` is None where no lesion is known.
    """
    names = ("similarity", "magnitude", "hit")
    return {
        method: {"clips": len(rows), **{name: _average(rows, name, resamples, seed) for name in names}}
        for method, rows in table.groupby("method", sort=False)
    }


def _average(
    rows: pd.DataFrame, name: str, resamples: int, seed: int, statistic: str = "mean"
) -> dict | None:
    """Mean or median of a column with its interval where it is known, None where it never is."""
    known = rows[rows[name].notna()]
    if known.empty:
        return None
    values, patients = known[name].to_numpy(np.float64), known["patient_id"].to_numpy(dtype=str)
    interval = bootstrap_statistic(values, patients, statistic, resamples, seed)
    return {statistic: float(getattr(np, statistic)(values)), "ci95": interval.bounds}


def box_mask(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre lies in any of the half-open boxes, bool (rows, cols)."""
    x, y = np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5
    columns = (x >= boxes[:, 0:1]) & (x < boxes[:, 2:3])
    rows = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:4])
    return (rows[:, :, None] & columns[:, None, :]).any(axis=0)
