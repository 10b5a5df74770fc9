"""Crops on vessels: which may be centred where, and their pixels.

A crop is `CROP` pixels of the frame, centred on a point of a coronary centre-line. A positive has a lesion's
middle within `REACH` of its centre on both axes; a negative has no pixel in common with any lesion's box.
Both are drawn from the same points, so the centring says nothing.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.arcade.vessels import CONTRAST_RADIUS, FEATURES, CoronaryFilter, contrast_map
from stenoscope.augmentation.narrowing import MARGIN, synthetic_narrowing

CROP = 128
"""Side of a crop, pixels of the 512 x 512 frame."""
REACH = 32
"""Furthest that a lesion's middle lies from the centre of its crop on each axis, pixels."""
CORONARY = 0.4
"""Least probability of a point to lie on a coronary artery."""
LEAST_CONTRAST = 12.0
"""Crops with less contrast than this many grey levels are not amplified as far as the others."""


class Source(NamedTuple):
    """A frame (uint8), its patient, and its lesions: boxes (k, 4), middles (k, 2) as x and y, pixels."""

    frame: np.ndarray
    patient: str
    boxes: np.ndarray
    middles: np.ndarray


@dataclass(frozen=True)
class Cohort:
    """Frames with the points where crops may be centred.

    Attributes
    ----------
    frames : ndarray, uint8, shape (num_frames, 512, 512)
    contrast : ndarray, float16, same shape
        Their black top-hat.
    patients : ndarray of str, shape (num_frames,)
        Whom the frames are of: never divided between training and test data.
    boxes, middles : list of ndarray, float32 (k, 4) and (k, 2)
        Lesions of each frame: ``x0, y0, x1, y1``, and a pixel on them.
    points : ndarray, float32, shape (num_points, len(FEATURES) + 1)
        `vessels.describe`, then the probability to lie on a coronary artery.
    owner : ndarray, int64, shape (num_points,)
        Frame of each point.
    lesions : list of (int, ndarray)
        For each lesion that a crop can show: which middle of its frame it is, and the points that its crops
        may be centred on.
    negatives : ndarray, int64
        Points that negatives may be centred on.
    """

    frames: np.ndarray
    contrast: np.ndarray
    patients: np.ndarray
    boxes: list[np.ndarray]
    middles: list[np.ndarray]
    points: np.ndarray
    owner: np.ndarray
    lesions: list[tuple[int, np.ndarray]]
    negatives: np.ndarray

    @property
    def lesion_owner(self) -> np.ndarray:
        """Frame of each of `lesions`, int64."""
        return np.array([self.owner[points[0]] for _, points in self.lesions], np.int64)

    def centre(self, point: int) -> np.ndarray:
        """x and y of a point, float64 (2,), pixels."""
        return self.points[point, :2].astype(np.float64)


def make_cohort(sources: Sequence[Source], tables: Sequence[np.ndarray], coronary: CoronaryFilter) -> Cohort:
    """Find where positives and negatives may be centred; `tables` are `vessels.describe` of the frames."""
    with ThreadPoolExecutor() as pool:
        contrast = np.stack(list(pool.map(lambda item: contrast_map(item.frame).astype(np.float16), sources)))
    features = np.concatenate([*tables, np.zeros((0, len(FEATURES)), np.float32)])
    points = np.column_stack([features, coronary(features)])
    owner = np.repeat(np.arange(len(sources)), [len(table) for table in tables])
    lesions, negatives = [], []
    for index, source in enumerate(sources):
        here = np.flatnonzero((owner == index) & (points[:, -1] > CORONARY))
        centres = points[here, :2]
        for number, middle in enumerate(source.middles):
            near = here[(np.abs(centres - middle) <= REACH).all(axis=1)]
            if len(near):
                lesions.append((number, near))
        negatives.append(here[~touches(centres, source.boxes, CROP / 2)])
    return Cohort(
        np.stack([source.frame for source in sources]),
        contrast,
        np.array([source.patient for source in sources]),
        [source.boxes for source in sources],
        [source.middles for source in sources],
        points,
        owner,
        lesions,
        np.concatenate(negatives),
    )


def touches(centres: np.ndarray, boxes: np.ndarray, half: float) -> np.ndarray:
    """Which squares of half side `half` around `centres` (n, 2) overlap any box (k, 4); bool (n,)."""
    low, high = centres[:, None] - half, centres[:, None] + half
    return ((high > boxes[None, :, :2]) & (low < boxes[None, :, 2:])).all(axis=2).any(axis=1)


def middle_of(mask: np.ndarray) -> tuple[int, int]:
    """x and y of the pixel of a mask that is nearest to its centroid: on a curved lesion, not beside it."""
    rows, cols = np.nonzero(mask)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (cols - cols.mean()) ** 2)
    return int(cols[nearest]), int(rows[nearest])


class Pose(NamedTuple):
    """How a crop is turned (radians), mirrored and magnified beyond the network's own scale."""

    angle: float = 0.0
    mirrored: bool = False
    magnification: float = 1.0


def matrix(pose: Pose, zoom: float) -> np.ndarray:
    """Linear part (2, 2) of the map from frame to crop, x and y."""
    scale = zoom * pose.magnification
    cos, sin = scale * np.cos(pose.angle), scale * np.sin(pose.angle)
    turned = np.array([[cos, -sin], [sin, cos]])
    return turned * np.array([-1.0, 1.0]) if pose.mirrored else turned


UPRIGHT = Pose()


def cut_out(
    contrast: np.ndarray, centre: np.ndarray, size: int, zoom: float, pose: Pose = UPRIGHT
) -> np.ndarray:
    """Sample a crop from a frame's contrast and bring it to grey levels 0..255 by its own contrast.

    Parameters
    ----------
    contrast : ndarray, float, shape (rows, cols)
    centre : ndarray, float, shape (2,)
        x and y, pixels.
    size : int
        Rows and columns of the result.
    zoom : float
        Pixels of the result per pixel of the frame.
    pose : Pose

    Returns
    -------
    ndarray, float32, shape (size, size)
    """
    linear = matrix(pose, zoom)
    shift = (size - 1) / 2 - linear @ centre
    crop = cv2.warpAffine(
        contrast.astype(np.float32),
        np.column_stack([linear, shift]),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    gain = 200.0 / max(float(np.quantile(crop[::2, ::2], 0.98)), LEAST_CONTRAST)
    return np.clip(gain * crop, 0.0, 255.0)


def narrowed(frame: np.ndarray, centre: np.ndarray, seed: int):
    """A window of a frame with a synthetic narrowing where a lesion could be.

    Parameters
    ----------
    frame : ndarray, uint8, shape (rows, cols)
    centre : ndarray, float, shape (2,)
        x and y of the crop that will be cut out.
    seed : int

    Returns
    -------
    contrast : ndarray, float32
        Contrast of a window around the centre, wide enough for any pose; None where no vessel was found.
    offset : ndarray, float64, shape (2,)
        x and y of the narrowing relative to the centre.
    """
    reach, rim = REACH + MARGIN, CONTRAST_RADIUS + 9
    half = reach + rim
    col, row = np.rint(centre).astype(int)
    border = cv2.copyMakeBorder(frame, half, half, half, half, cv2.BORDER_REPLICATE)
    window = border[row : row + 2 * half + 1, col : col + 2 * half + 1].copy()
    inner = window[rim:-rim, rim:-rim]
    edited, site = synthetic_narrowing(np.ascontiguousarray(inner), seed)
    if site is None:
        return None, np.zeros(2)
    inner[...] = edited
    return contrast_map(window), np.array([site.col - reach, site.row - reach], np.float64)
