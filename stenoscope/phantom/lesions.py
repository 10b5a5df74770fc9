"""Stenoses: where one may be, and how it narrows the lumen.

Sites are looked for in the same way for every clip, whatever its label. The lesion is the last change to the
radius profile, so that a diseased clip differs from its healthy twin in nothing else.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from stenoscope.phantom.anatomy import STEP_MM, Tree
from stenoscope.phantom.streams import smooth_noise

MIN_DIAMETER_PX = 9.5
"""Narrowest vessel that gets a lesion, about 2.5 mm: narrower ones are rarely measured or treated."""
MARGIN_PX = 22.0
"""Least distance of a lesion from the edge of the collimated field at the apex."""


@dataclass(frozen=True)
class Limits:
    """Where in an image a lesion may be; pixels are those of a 512 x 512 image."""

    # left, top, right, bottom of the collimated field, in pixels of the image itself
    field: tuple[float, float, float, float]
    zoom: float = 1.0  # size of the image relative to 512 pixels
    min_diameter_px: float = MIN_DIAMETER_PX  # narrowest vessel that gets a lesion


@dataclass(frozen=True)
class Lesion:
    """One stenosis."""

    kind: str  # "focal" or "diffuse"
    severity: float  # largest narrowing as a share of the diameter, 0.5 to 0.9
    length_px: float  # over which it is at least half of the largest, pixels of a 512 x 512 apex frame
    samples: np.ndarray  # int64: samples of the tree that it narrows, in order
    factor: np.ndarray  # float64: factor on the radius of each of them
    offset: np.ndarray  # float64 (len(samples), 3): shift of the centreline by eccentric plaque, mm

    @property
    def core(self) -> np.ndarray:
        """Samples with more than a tenth of the largest narrowing: the extent that boxes show."""
        return self.samples[self.factor < 1 - 0.1 * self.severity]


def narrowing(position: np.ndarray, severity: float, length: float, steepness: float = 2.0) -> np.ndarray:
    """Factor on the radius at `position` from the middle of a stenosis.

    ``1 - severity * 2 ** -(2 |position| / length) ** steepness``: half of the narrowing is reached at
    ``length / 2``; a `steepness` of 2 is a Gaussian hourglass, above it a plateau with shoulders.
    """
    return 1 - severity * 2.0 ** -((2 * np.abs(position) / length) ** steepness)


def eligible_sites(
    tree: Tree, positions: np.ndarray, diameter_px, filled, planar, limits: Limits
) -> np.ndarray:
    """Which samples may carry a lesion that can be seen at the apex, bool (n,).

    The tree has its natural radius. At the apex, `positions`, (n, 2), are columns and rows, `diameter_px`,
    (n,), pixels of the image; `filled`, bool (n,), says whether a sample is well opacified, `planar`, (n,),
    is the length in the image of a unit of centreline: 1 across the beam, 0 along it. At least one is chosen:
    as long as no sample is left the rules are dropped one by one, the last ones first.
    """
    field, zoom = limits.field, limits.zoom
    low, high = np.array(field[:2]) + zoom * MARGIN_PX, np.array(field[2:]) - zoom * MARGIN_PX
    inside = np.all((positions > low) & (positions < high), axis=1)
    begin = np.searchsorted(tree.vessel, tree.vessel)
    end = np.searchsorted(tree.vessel, tree.vessel, side="right")
    index = np.arange(len(tree.vessel))
    away_from_ends = np.minimum(index - begin, end - 1 - index) * STEP_MM > 7.0
    wide = (diameter_px >= zoom * limits.min_diameter_px) & inside & tree.solid
    rules = (away_from_ends & filled, planar > 0.6, _uncrossed(tree, positions, diameter_px, zoom))
    for kept in range(len(rules), -1, -1):
        sites = np.logical_and.reduce([wide, *rules[:kept]])
        if sites.any():
            return sites
    fallback = np.zeros(len(diameter_px), bool)
    fallback[np.argmax(diameter_px * tree.solid * (1 + inside))] = True
    return fallback


def draw_lesions(
    rng: np.random.Generator,
    tree: Tree,
    sites: np.ndarray,
    positions: np.ndarray,
    diameter_px: np.ndarray,
    zoom: float = 1.0,
) -> list[Lesion]:
    """Draw the lesions a clip would have if its label were "abnormal".

    Three in four are focal (50 to 90 per cent, 5 to 15 px long), the others diffuse; one clip in five has two
    lesions. `sites`, bool (n,), are those of `eligible_sites`, at least one; `positions`, `diameter_px` and
    `zoom` are at the apex frame, as there.
    """
    lesions: list[Lesion] = []
    free = sites.astype(float)
    for _ in range(2 if rng.random() < 0.2 else 1):
        if not free.any():
            break
        # Disease that matters, and that is looked for, is in the larger vessels.
        weight = free * np.clip(diameter_px / (8 * zoom), 0.5, 1.5) ** 2
        middle = int(rng.choice(len(weight), p=weight / weight.sum()))
        lesions.append(_lesion_at(rng, tree, middle, positions, diameter_px[middle] / zoom, zoom))
        free *= np.linalg.norm(positions - positions[middle], axis=1) > 70 * zoom
    return lesions


def apply_lesions(tree: Tree, lesions: list[Lesion]) -> tuple[np.ndarray, np.ndarray]:
    """Radius (n,) of the tree with its lesions and shift (n, 3) of the lumen by them, mm."""
    radius, shift = tree.radius.copy(), np.zeros_like(tree.points)
    for lesion in lesions:
        radius[lesion.samples] *= lesion.factor
        shift[lesion.samples] += lesion.offset
    return radius, shift


def _lesion_at(rng, tree, middle, positions, diameter, zoom) -> Lesion:
    diffuse = rng.random() < 0.25
    severity = rng.uniform(0.5, 0.75) if diffuse else rng.uniform(0.5, 0.9)
    # A focal stenosis is about as long as its vessel is wide.
    length_px = rng.uniform(30, 70) if diffuse else np.clip(diameter * rng.uniform(0.7, 1.5), 5, 15)
    same = np.flatnonzero(tree.vessel == tree.vessel[middle])
    run = positions[same]
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(run, axis=0), axis=1)))
    along -= along[middle - same[0]]
    factor = narrowing(along, severity, length_px * zoom, rng.uniform(1.6, 3.2))
    if diffuse:  # uneven within its length, never deeper than its severity
        uneven = 1 - 0.35 * np.clip(np.abs(smooth_noise(rng, len(same), 2.5 / STEP_MM)[:, 0]), 0, 2) / 2
        uneven[np.argmin(np.abs(along))] = 1
        factor = 1 - (1 - factor) * uneven
    touched = factor < 1 - 0.01 * severity
    samples, factor = same[touched], factor[touched]
    side = rng.standard_normal(3)
    eccentric = rng.uniform(0, 0.9)
    offset = (tree.radius[samples] * (1 - factor) * eccentric)[:, None] * side / np.linalg.norm(side)
    return Lesion("diffuse" if diffuse else "focal", severity, length_px, samples, factor, offset)


def _uncrossed(tree: Tree, positions: np.ndarray, diameter_px: np.ndarray, zoom: float) -> np.ndarray:
    """Samples that no other wide vessel, and no other part of the same one, covers in this projection."""
    thin = slice(None, None, 8)
    wide = np.flatnonzero(diameter_px[thin] > 3 * zoom) * 8
    near = cKDTree(positions[wide]).query(positions, k=12, distance_upper_bound=30 * zoom)
    distance, which = near
    which = np.append(wide, -1)[np.minimum(which, len(wide))]
    other = (tree.vessel[which] != tree.vessel[:, None]) | (
        np.abs(tree.path[which] - tree.path[:, None]) > 12
    )
    reach = 0.5 * (diameter_px[:, None] + diameter_px[which]) + 2 * zoom
    return ~np.any((which >= 0) & np.isfinite(distance) & other & (distance < reach), axis=1)
