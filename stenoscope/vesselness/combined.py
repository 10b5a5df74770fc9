"""The best vessel map of one image: shape from the Hessian, contrast from the black top-hat.

Frangi's measure knows what is elongated but answers to the edge of a shadow or of the collimator too; the
black top-hat is zero at an edge, because it asks for brighter surroundings on both sides, but answers to any
dark spot. Their geometric mean asks for both.
"""

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from stenoscope.vesselness.enhance import disk
from stenoscope.vesselness.hessian import vesselness

SIGMAS = (3.0, 4.0, 5.0, 6.0, 8.0)
"""Scales in pixels of a 512 x 512 frame: from side branches to the left main artery."""


def vessel_map(
    image: np.ndarray, sigmas=SIGMAS, gamma: float = 10.0, radius: int = 12, noise_sigma: float = 1.5
) -> np.ndarray:
    """Geometric mean of Frangi's measure at a fixed gamma and the black top-hat.

    Parameters
    ----------
    image : ndarray, any real dtype, shape (rows, cols)
        Vessels dark.
    sigmas : sequence of float
        Scales of the Hessian, pixels.
    gamma : float
        Grey levels at which Frangi's measure rises; fixed, so that images compare.
    radius : int
        Radius of the top-hat's disk, pixels: at least half the width of the widest vessel.
    noise_sigma : float
        Blur before the top-hat, pixels.

    Returns
    -------
    ndarray, float32, shape (rows, cols)
        At least 0; the square root of grey levels.
    """
    image = np.asarray(image)
    shape = vesselness(image, sigmas, measure="frangi", gamma=gamma)
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), noise_sigma, borderType=cv2.BORDER_REPLICATE)
    contrast = cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, disk(radius))
    return cv2.sqrt(cv2.max(cv2.multiply(shape, contrast), 0.0))


SHORTEST = 48
"""Diagonal of the bounding box from which a connected structure counts as a vessel, pixels."""


def vessel_mask(image: np.ndarray) -> np.ndarray:
    """Vessels of one image: its `vessel_map` above Otsu's threshold, in long structures (`SHORTEST`).

    `image` is of any real dtype, (rows, cols), vessels dark. Bool (rows, cols), empty where there is no
    structure of that length.
    """
    response = vessel_map(image)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (response > threshold_otsu(response)).astype(np.uint8)
    )
    long = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= SHORTEST
    long[0] = False  # the background
    return long[labels]


def widest_points(mask: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Points on the centre-lines of a vessel mask, bool (rows, cols), where it is widest; of the same shape.

    `share`, 0 to 1, is the share of all points of the centre-lines. Empty for an empty mask.
    """
    lines = skeletonize(mask)
    if not lines.any():
        return lines
    radius = distance_transform_edt(mask)  # OpenCV's depends on the number of threads in its last digit
    return lines & (radius >= np.quantile(radius[lines], 1 - share))
