"""Synthetic narrowings: turn a frame of a normal clip into one with a stenosis, to learn from fewer clips.

A few hundred clips with one label each teach a network their backgrounds before their lesions. A twin that
differs from its normal frame by one narrowed vessel segment, and by nothing else, says what the label is
about, as cut-and-paste anomalies do in industrial inspection [1]_ [2]_. It needs no annotation of lesions.

The vessel component of the frame is its smoothed black top-hat T. In a tube whose lumen is w times as wide,
contrast is w times as thick along the ray and w times as wide across it (Beer-Lambert, small attenuation):

.. math:: f' = f + T(u, v) - w(u)\\,T(u, v / w(u))

with u along and v across the vessel, whose middle line is followed through its curves. The frame keeps its
own noise, since only smooth parts are exchanged.

References
----------
.. [1] Li CL et al. CutPaste: Self-Supervised Learning for Anomaly Detection and Localization. CVPR 2021.
.. [2] Schlueter HM et al. Natural Synthetic Anomalies for Self-Supervised Anomaly Detection. ECCV 2022.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

TOPHAT_SIZE = 25
"""Side of the structuring element, pixels: wider than a coronary artery."""
WIDTHS = (9.0, 24.0)
"""Diameters of the vessels that are narrowed, pixels."""
MARGIN = 28
"""Least distance from the border of the frame, pixels."""
SMOOTHING = 1.2
"""Standard deviation of the blur that parts vessels from noise, pixels."""
DIFFUSE = 0.5
"""Share of diffuse narrowings: rarer in patients, but harder to learn."""
_STEP = 2.0  # pixels between the points where a middle line is looked for
_SHOULDER = 0.9  # lengths from the middle within which a narrowing is felt


@dataclass(frozen=True)
class Site:
    """A place on a vessel."""

    row: int
    col: int
    angle: float  # direction of the vessel, radians from the column axis
    radius: float  # half the width of the vessel with its blurred wall, pixels


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


def middle_line(component: np.ndarray, site: Site, reach: float) -> np.ndarray:
    """Follow the middle of a vessel from a site to both sides, `reach` pixels or to its ends.

    `component` is float32 (rows, cols), from `vessel_component`. Float64 (n, 3): column, row and signed
    distance along the vessel from the site, one point a pixel.
    """
    offsets = np.arange(-np.ceil(0.7 * site.radius), np.ceil(0.7 * site.radius) + 1)
    lowest = 0.4 * component[site.row, site.col]
    sides = []
    for turn in (0.0, np.pi):
        x, y, angle = float(site.col), float(site.row), site.angle + turn
        points = [(x, y)]
        for _ in range(int(reach / _STEP)):
            x, y = x + _STEP * np.cos(angle), y + _STEP * np.sin(angle)
            rows = np.rint(y + offsets * np.cos(angle)).astype(int)
            cols = np.rint(x - offsets * np.sin(angle)).astype(int)
            if (
                min(rows.min(), cols.min()) < 0
                or rows.max() >= component.shape[0]
                or cols.max() >= component.shape[1]
            ):
                break
            across = component[rows, cols]
            if across.max() < lowest:
                break
            aside = float(np.clip((across * offsets).sum() / across.sum(), -1, 1))
            x, y = x - aside * np.sin(angle), y + aside * np.cos(angle)
            back_x, back_y = points[max(0, len(points) - 3)]
            heading = np.arctan2(y - back_y, x - back_x)
            angle += np.clip((heading - angle + np.pi) % (2 * np.pi) - np.pi, -0.35, 0.35)
            points.append((x, y))
        sides.append(points)
    line = np.array(sides[1][:0:-1] + sides[0])
    if len(line) > 5:
        line = ndimage.gaussian_filter1d(line, 1.5, axis=0, mode="nearest")
    elif len(line) == 1:  # nothing to follow: straight on
        line = line + np.array([[-1.0], [1.0]]) * (np.cos(site.angle), np.sin(site.angle))
    along = np.append(0, np.cumsum(np.hypot(*np.diff(line, axis=0).T)))
    fine = np.arange(0, along[-1] + 1e-9)
    line = np.stack([np.interp(fine, along, line[:, axis]) for axis in (0, 1)], axis=1)
    nearest = int(np.argmin(np.hypot(*(line - (site.col, site.row)).T)))
    return np.column_stack([line, fine - fine[nearest]])


def narrow(
    frame: np.ndarray,
    site: Site,
    component: np.ndarray,
    severity: float,
    length: float,
    shift: float = 0.0,
    uneven: np.ndarray | None = None,
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
        Length at half severity, pixels, along the vessel.
    shift : float
        Of the remaining lumen towards one wall: -1 to 1, 0 = concentric.
    uneven : ndarray, shape (n,), optional
        Factors on the severity, 0 to 1, evenly spread over the length.

    Returns
    -------
    ndarray, uint8, shape (rows, cols)
    """
    line = middle_line(component, site, _SHOULDER * length + 2)
    wide = 1.2 * site.radius + 1.5
    beyond = wide + max(4.0, _SHOULDER * length - min(-line[0, 2], line[-1, 2]))  # where the line ended early
    low = np.maximum(np.floor(line[:, :2].min(axis=0) - beyond), 0).astype(int)
    high = np.minimum(np.ceil(line[:, :2].max(axis=0) + beyond) + 1, frame.shape[::-1]).astype(int)
    x, y = (
        grid.astype(np.float64)
        for grid in np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    )
    tangent = np.gradient(line[:, :2], axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    _, nearest = cKDTree(line[:, :2]).query(np.stack([x, y], axis=-1))
    (foot_x, foot_y, start), (cos, sin) = (
        line[nearest].transpose(2, 0, 1),
        tangent[nearest].transpose(2, 0, 1),
    )
    ahead = (x - foot_x) * cos + (y - foot_y) * sin
    across = (y - foot_y) * cos - (x - foot_x) * sin
    along = start + ahead
    profile = np.exp(-np.log(2.0) * (2 * np.abs(along) / length) ** 4)  # a plateau with smooth shoulders
    depth = severity * profile
    if uneven is not None:
        depth *= np.interp(along, np.linspace(-length / 2, length / 2, len(uneven)), uneven)
    width = 1 - depth
    source = (across - shift * site.radius * (1 - width)) / width
    taken = cv2.remap(
        component,
        (foot_x + ahead * cos - source * sin).astype(np.float32),
        (foot_y + ahead * sin + source * cos).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # Only this vessel: its neighbours, and branches but for their first pixels, stay.
    here = 1 / (1 + np.exp((np.abs(across) - wide) / 0.7))
    taken = np.where(np.abs(source) <= wide, taken, 0.0)
    fade = np.clip((profile - 0.002) / 0.02, 0, 1)
    patch = slice(low[1], high[1]), slice(low[0], high[0])
    edited = frame.copy()
    values = frame[patch] + here * fade * (component[patch] - width * taken)
    edited[patch] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return edited


def synthetic_narrowing(frame: np.ndarray, seed: int) -> tuple[np.ndarray, Site | None]:
    """A frame with a random narrowing: focal (50 to 90 %, 5 to 18 px) or diffuse (50 to 75 %, 20 to 80 px).

    `frame` is uint8 (rows, cols); the same frame and seed give the same result. Returns the edited frame and
    where the narrowing is: None (and the frame as it was) where no vessel was found.
    """
    rng = np.random.default_rng(seed)
    component = vessel_component(frame)
    site = find_site(component, rng)
    if site is None:
        return frame, None
    uneven = None
    if rng.random() < DIFFUSE:
        severity, length = rng.uniform(0.5, 0.75), rng.uniform(20, 80)
        uneven = rng.uniform(0.6, 1.0, max(3, round(length / 8)))
    else:
        severity, length = rng.uniform(0.5, 0.9), np.clip(2 * site.radius * rng.uniform(0.5, 1.4), 5, 18)
    return narrow(frame, site, component, severity, length, rng.uniform(-0.8, 0.8), uneven), site


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
