"""Synthetic narrowings: turn a frame of a normal clip into one with a stenosis, to learn from fewer clips.

A few hundred clips with one label each teach a network their backgrounds before their lesions. A twin that
differs from its normal frame by one narrowed vessel segment, and by nothing else, says what the label is
about, as cut-and-paste anomalies do in industrial inspection [1]_ [2]_. It needs no annotation of lesions.

The vessel component of the frame is its smoothed black top-hat T. In a tube whose lumen is w times as wide,
contrast is w times as thick along the ray and w times as wide across it (Beer-Lambert, small attenuation):

.. math:: f' = f + T(u, v) - w(u)\\,T(u, v / w(u))

with u along and v across the vessel. The frame keeps its own noise, since only smooth parts are exchanged.

References
----------
.. [1] Li CL et al. CutPaste: Self-Supervised Learning for Anomaly Detection and Localization. CVPR 2021.
.. [2] Schlueter HM et al. Natural Synthetic Anomalies for Self-Supervised Anomaly Detection. ECCV 2022.
"""

from dataclasses import dataclass

import cv2
import numpy as np

TOPHAT_SIZE = 25
"""Side of the structuring element, pixels: wider than a coronary artery."""
WIDTHS = (7.0, 22.0)
"""Diameters of the vessels that are narrowed, pixels."""
MARGIN = 44
"""Least distance from the border of the frame, pixels."""
REACH = 40
"""Half the side of the patch that is edited, pixels."""
SMOOTHING = 1.2
"""Standard deviation of the blur that parts vessels from noise, pixels."""
DIFFUSE = 0.25
"""Share of diffuse narrowings."""


@dataclass(frozen=True)
class Site:
    """A place on a vessel.

    Attributes
    ----------
    row, col : int
    angle : float
        Direction of the vessel, radians from the column axis.
    radius : float
        Half the width of the vessel with its blurred wall, pixels.
    """

    row: int
    col: int
    angle: float
    radius: float


def vessel_component(frame: np.ndarray) -> np.ndarray:
    """Smoothed black top-hat of a frame, float32, same shape, grey levels; 0 where nothing narrow is dark."""
    smooth = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), SMOOTHING)
    kernel = np.ones((TOPHAT_SIZE, TOPHAT_SIZE), np.uint8)
    tophat = cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, kernel)
    # Noise alone makes a top-hat positive: the level that half of the frame exceeds is no vessel.
    return np.maximum(tophat - np.median(tophat[::4, ::4]), 0.0)


def find_site(component: np.ndarray, rng: np.random.Generator) -> Site | None:
    """Draw a place in the middle of a vessel, the more often the darker and wider it is; None without one."""
    inside = component[MARGIN:-MARGIN, MARGIN:-MARGIN]
    level = np.quantile(inside[::4, ::4], 0.93)
    if level <= 0:
        return None
    mask = (component > level).astype(np.uint8)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    middle = (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8))) & (depth >= WIDTHS[0] / 2 - 1)
    middle &= depth <= WIDTHS[1] / 2
    middle[:MARGIN] = middle[-MARGIN:] = middle[:, :MARGIN] = middle[:, -MARGIN:] = False
    rows, cols = np.nonzero(middle)
    if not len(rows):
        return None
    weight = component[rows, cols] * depth[rows, cols]
    for pick in rng.choice(len(rows), size=min(6, len(rows)), replace=False, p=weight / weight.sum()):
        row, col = int(rows[pick]), int(cols[pick])
        angle, coherence = _direction(component, row, col)
        if coherence > 0.5:  # a bifurcation, a crossing or a blob has no one direction
            return Site(row, col, angle, float(depth[row, col]) + 0.5)
    return None


def narrow(
    frame: np.ndarray, site: Site, component: np.ndarray, severity: float, length: float, shift: float = 0.0
) -> np.ndarray:
    """Narrow a vessel at a site.

    Parameters
    ----------
    frame : ndarray, uint8, shape (rows, cols)
    site : Site
    component : ndarray, float32, shape (rows, cols)
        From `vessel_component`.
    severity : float
        Narrowing as a share of the diameter, 0 to 0.95.
    length : float
        Length at half severity, pixels.
    shift : float
        Of the remaining lumen towards one wall: -1 to 1, 0 = concentric.

    Returns
    -------
    ndarray, uint8, shape (rows, cols)
    """
    rows, cols = slice(site.row - REACH, site.row + REACH + 1), slice(site.col - REACH, site.col + REACH + 1)
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(np.float32)
    cos, sin = np.float32(np.cos(site.angle)), np.float32(np.sin(site.angle))
    along, across = x * cos + y * sin, -x * sin + y * cos
    profile = np.exp(-np.log(2.0) * (2 * np.abs(along) / length) ** 4)  # a plateau with smooth shoulders
    width = 1 - severity * profile
    centre = shift * site.radius * (1 - width)
    source = (across - centre) / width
    patch = component[rows, cols]
    taken = cv2.remap(
        patch,
        (along * cos - source * sin + REACH).astype(np.float32),
        (along * sin + source * cos + REACH).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # Only this vessel: neighbours beyond one and a half radii stay as they are.
    here = 1 / (1 + np.exp((np.abs(across) - 1.5 * site.radius - 1.5) / 0.7))
    taken = np.where(np.abs(source) <= 1.5 * site.radius + 1.5, taken, 0.0)
    fade = np.clip((profile - 0.002) / 0.02, 0, 1)
    edited = frame.copy()
    values = frame[rows, cols] + here * fade * (patch - width * taken)
    edited[rows, cols] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return edited


def synthetic_narrowing(frame: np.ndarray, seed: int) -> tuple[np.ndarray, Site | None]:
    """A frame with a random narrowing: focal (50 to 90 %, 5 to 18 px) or diffuse (50 to 75 %, 20 to 45 px).

    Parameters
    ----------
    frame : ndarray, uint8, shape (rows, cols)
    seed : int
        Same frame and seed, same result.

    Returns
    -------
    edited : ndarray, uint8, shape (rows, cols)
    site : Site or None
        Where it is; None (and `edited` is the frame) where no vessel was found.
    """
    rng = np.random.default_rng(seed)
    component = vessel_component(frame)
    site = find_site(component, rng)
    if site is None:
        return frame, None
    if rng.random() < DIFFUSE:
        severity, length = rng.uniform(0.5, 0.75), rng.uniform(20, 45)
    else:
        severity, length = rng.uniform(0.5, 0.9), np.clip(2 * site.radius * rng.uniform(0.5, 1.4), 5, 18)
    return narrow(frame, site, component, severity, length, rng.uniform(-0.8, 0.8)), site


def _direction(component: np.ndarray, row: int, col: int) -> tuple[float, float]:
    """Angle of the structure at a pixel and its coherence (0 to 1), by the structure tensor."""
    reach = 10
    patch = component[row - reach : row + reach + 1, col - reach : col + reach + 1]
    gy, gx = np.gradient(patch)
    xx, yy, xy = (gx * gx).sum(), (gy * gy).sum(), (gx * gy).sum()
    total = xx + yy
    if total <= 0:
        return 0.0, 0.0
    coherence = float(np.hypot(xx - yy, 2 * xy) / total)
    across = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the largest gradient
    return float(across + np.pi / 2), coherence
