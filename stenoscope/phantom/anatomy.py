"""Coronary trees in three dimensions: vessels on the epicardial surface of an ellipsoidal heart.

Coordinates are millimetres in the patient system of DICOM (x to the patient's left, y to the back, z to the
head; PS3.3 C.7.6.2.1.1) with the origin at the isocentre of the C-arm. The heart's long axis points to the
left, front and feet, so that the atrioventricular groove is seen face on in a left anterior oblique view (the
right artery as a C) and edge on in a right anterior oblique one (the right artery as an L), as in patients.

A point on the surface has three coordinates: `theta`, the angle around the long axis (0 at the anterior
interventricular groove, +90 at the right heart border, 180 at the crux, -90 at the left border); `phi`, the
angle from the apex (0) to the groove between atria and ventricles (about 96); `rho`, 1 on the epicardium.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from stenoscope.phantom.streams import smooth_noise

STEP_MM = 0.12
"""Distance between centreline samples: just under half a pixel."""


@dataclass(frozen=True)
class Heart:
    """Ellipsoid that carries the coronary arteries."""

    centre: np.ndarray  # shape (3,): centre of the base, mm
    # (3, 3), unit vectors: long axis (base to apex), towards the right border, the anterior groove
    axes: np.ndarray
    size: np.ndarray  # shape (3,): semi-axes along the rows of `axes`, mm

    def surface(self, theta, phi, rho=1.0) -> np.ndarray:
        """Points at surface coordinates (degrees, degrees, 1), shape (..., 3), mm."""
        theta, phi = np.deg2rad(theta), np.deg2rad(phi)
        weights = np.stack(
            np.broadcast_arrays(
                np.cos(phi), rho * np.sin(phi) * np.sin(theta), rho * np.sin(phi) * np.cos(theta)
            ),
            axis=-1,
        )
        return self.centre + (weights * self.size) @ self.axes


@dataclass(frozen=True)
class Tree:
    """One coronary tree as n centreline samples, vessel after vessel; parents come before children."""

    points: np.ndarray  # float64 (n, 3): centreline in end-diastole, mm
    radius: np.ndarray  # float64 (n,): lumen radius, mm
    path: np.ndarray  # float64 (n,): path length from the ostium through the tree, mm
    vessel: np.ndarray  # int64 (n,): index into `names`; samples of one vessel are consecutive
    solid: np.ndarray  # bool (n,): False where a branch still runs inside its parent's lumen
    origin: np.ndarray  # int64, by vessel: the parent's sample that it leaves from, -1 for the first
    names: tuple[str, ...]  # RCA, PDA, LAD (with the left main), LCX, D1, twig-12 ...


@dataclass(frozen=True)
class Branch:
    """A vessel of the plan: where it leaves its parent, its course and its calibre.

    `at` is the place on the parent (0 to 1), `course` holds surface coordinates relative to it. `calibre` is
    the diameter there as a share of the parent's, `taper` that at the end as a share of that at the start.
    """

    name: str
    parent: str
    at: float
    course: tuple[tuple[float, float, float], ...]
    calibre: float
    taper: float
    chance: float = 1.0


# fmt: off
_RCA_COURSE = ((16, 112, 0.30), (24, 108, 0.52), (42, 102, 0.84), (66, 97, 1.02), (92, 95, 1.04),
               (120, 95, 1.02), (150, 95, 1.0), (172, 94, 1.0), (188, 91, 1.0), (202, 80, 1.0),
               (210, 60, 1.0))
_LAD_COURSE = ((-54, 110, 0.42), (-42, 104, 0.60), (-26, 97, 0.84), (-8, 89, 0.99), (4, 76, 1.0),
               (10, 60, 1.0), (11, 43, 1.0), (8, 26, 1.0), (4, 10, 1.0), (0, -6, 1.0))
_PLANS: dict[str, tuple[Branch, ...]] = {
    "RCA": (
        Branch("PDA", "RCA", 0.695, ((2, -8, 0), (6, -26, 0), (9, -46, 0), (12, -64, 0)), 0.68, 0.4),
        Branch("AM", "RCA", 0.43, ((-5, -14, 0), (-12, -32, 0), (-18, -52, 0)), 0.5, 0.4),
        Branch("RV", "RCA", 0.28, ((-7, -12, 0), (-16, -26, 0), (-22, -40, 0)), 0.42, 0.4, 0.85),
        Branch("CONUS", "RCA", 0.12, ((-10, -4, 0.12), (-22, -14, 0.16), (-30, -26, 0.16)), 0.36, 0.45, 0.85),
        Branch("SA", "RCA", 0.14, ((4, 10, 0.05), (10, 22, 0.02), (4, 34, -0.1)), 0.33, 0.5, 0.7),
        Branch("PL1", "RCA", 0.80, ((2, -12, 0), (5, -28, 0), (10, -44, 0)), 0.6, 0.4, 0.9),
        Branch("PL2", "RCA", 0.88, ((6, -4, 0), (16, -14, 0), (24, -28, 0)), 0.6, 0.45, 0.6),
    ),
    "LCA": (
        Branch("LCX", "LAD", 0.075,
               ((-10, -3, 0.18), (-30, -7, 0.40), (-58, -8, 0.42), (-92, -9, 0.41)), 0.86, 0.5),
        Branch("RI", "LAD", 0.08, ((-8, -10, 0.26), (-20, -30, 0.40), (-28, -56, 0.40)), 0.55, 0.4, 0.3),
        Branch("D1", "LAD", 0.27, ((-14, -5, 0), (-34, -17, 0), (-52, -34, 0), (-60, -54, 0)), 0.62, 0.35),
        Branch("D2", "LAD", 0.44, ((-14, -6, 0), (-34, -17, 0), (-52, -34, 0)), 0.58, 0.4, 0.85),
        Branch("D3", "LAD", 0.60, ((-12, -6, 0), (-28, -17, 0)), 0.5, 0.45, 0.5),
        Branch("S1", "LAD", 0.29, ((8, -3, -0.12), (18, -8, -0.32), (30, -16, -0.5)), 0.32, 0.5),
        Branch("S2", "LAD", 0.37, ((7, -3, -0.12), (16, -8, -0.30), (26, -14, -0.48)), 0.3, 0.5),
        Branch("S3", "LAD", 0.47, ((7, -3, -0.12), (15, -8, -0.28), (24, -13, -0.42)), 0.3, 0.5, 0.8),
        Branch("OM1", "LCX", 0.36, ((-4, -14, 0), (-6, -36, 0), (2, -62, 0)), 0.68, 0.38),
        Branch("OM2", "LCX", 0.64, ((-4, -13, 0), (-6, -32, 0), (2, -56, 0)), 0.72, 0.4, 0.85),
        Branch("OM3", "LCX", 0.86, ((-4, -12, 0), (-6, -26, 0)), 0.6, 0.45, 0.5),
    ),
}
# fmt: on
_MAIN = {"RCA": ("RCA", _RCA_COURSE, 3.6, 0.42), "LCA": ("LAD", _LAD_COURSE, 3.9, 0.30)}


def make_heart(rng: np.random.Generator) -> Heart:
    """Draw a patient's heart: axis 8 degrees, size 8 per cent around the mean of adults."""
    axis = np.array([0.61, -0.61, -0.50]) + rng.normal(0, 0.07, 3)
    axis /= np.linalg.norm(axis)
    up = np.array([0.0, 0.0, 1.0]) - axis[2] * axis
    up /= np.linalg.norm(up)
    right = np.cross(axis, up)
    size = np.array([76.0, 44.0, 42.0]) * np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.04, 3))
    return Heart(np.array([-12.0, 14.0, 16.0]), np.stack([axis, right, up]), size)


def grow_tree(heart: Heart, artery: str, rng: np.random.Generator) -> Tree:
    """Grow the tree of an artery, "RCA" or "LCA", on a heart, with smoothly tapering calibre.

    `vary_calibre` adds the natural variation.
    """
    tortuosity = rng.uniform(0.6, 1.3) * (2.0 if rng.random() < 0.2 else 1.0)
    scale = np.exp(rng.normal(0, 0.13))
    name, course, diameter, taper = _MAIN[artery]
    course = np.array(course, float)
    course[2:, :2] += rng.normal(0, 2.0, course[2:, :2].shape)
    course = course[: len(course) - int(rng.integers(0, 2))]
    grown = {name: _course(heart, course, None, tortuosity, rng)}
    funnel = 1 - 0.5 * np.exp(-np.arange(len(grown[name])) * STEP_MM / 1.2)  # the ostium is a rounded mouth
    calibre = {name: _tapered(grown[name], 0.5 * diameter * scale, taper) * funnel}
    origin = {name: (None, 0)}
    plan = [branch for branch in _PLANS[artery] if rng.random() < branch.chance]
    for parent in (name, *(branch.name for branch in plan)):
        count = rng.integers(7, 14) if parent == name else rng.integers(0, 7)
        plan += [_twig(f"twig-{len(plan) + k}", parent, rng) for k in range(count)]
    for parent in [branch.name for branch in plan if branch.name.startswith("twig")]:
        plan += [_twig(f"twig-{len(plan) + k}", parent, rng) for k in range(rng.integers(0, 3))]
    for branch in plan:
        parent = grown[branch.parent]
        index = int(np.clip(branch.at + rng.normal(0, 0.012), 0.02, 0.97) * (len(parent) - 1))
        start = parent[index]
        relative = np.array(branch.course) * rng.uniform(0.8, 1.15)
        relative[:, :2] += rng.normal(0, 1.5, relative[:, :2].shape)
        line = _course(heart, np.vstack([start[3:], start[3:] + relative]), start[:3], tortuosity, rng)
        ratio = min(branch.calibre * np.exp(rng.normal(0, 0.12)), 0.95)
        here = calibre[branch.parent][index]
        calibre[branch.name] = _tapered(line, min(max(here * ratio, 0.2), here), branch.taper)
        grown[branch.name], origin[branch.name] = line, (branch.parent, index)
    return _joined(grown, calibre, origin)


def vary_calibre(tree: Tree, rng: np.random.Generator) -> Tree:
    """Add what every patient has: uneven calibre, mild irregularity, ectasia (never a stenosis).

    Roughness has a standard deviation of 2 to 6 per cent over some 4 mm; dips stay below 25 per cent of the
    diameter, ectatic stretches reach 45 per cent above it.
    """
    roughness = rng.uniform(0.02, 0.06)
    factor = np.ones(len(tree.radius))
    for vessel in range(len(tree.names)):
        where = np.flatnonzero(tree.vessel == vessel)
        length = len(where) * STEP_MM
        position = np.arange(len(where)) * STEP_MM
        change = roughness * smooth_noise(rng, len(where), 4.0 / STEP_MM)[:, 0]
        for sign, share, deepest in ((-1, 0.025, 0.20), (1, 0.006, 0.45)):
            for _ in range(rng.poisson(share * length)):
                width = rng.uniform(1.5, 5.0) if sign < 0 else rng.uniform(3.0, 9.0)
                height = sign * rng.uniform(0.05, deepest)
                change += height * np.exp(-(((position - rng.uniform(0, length)) / width) ** 2))
        factor[where] = np.clip(1 + change, 0.75, 1.5)
    return replace(tree, radius=tree.radius * factor)


def tangents(points: np.ndarray, vessel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit tangents (n, 3) and the length of centreline each sample stands for (n,), mm."""
    ahead, behind = np.arange(1, len(points) + 1), np.arange(-1, len(points) - 1)
    last = np.append(vessel[1:] != vessel[:-1], True)
    first = np.insert(vessel[1:] != vessel[:-1], 0, True)
    ahead[last] -= 1
    behind[first] += 1
    chord = points[ahead] - points[behind]
    length = np.sqrt(np.einsum("ij,ij->i", chord, chord))
    return chord / np.maximum(length, 1e-9)[:, None], length / np.maximum(ahead - behind, 1)


def _course(heart, controls, start, tortuosity, rng) -> np.ndarray:
    """Centreline at equal steps: columns x, y, z (mm) and theta, phi, rho. Begins at `start` if given."""
    knots = np.append(0, np.cumsum(np.linalg.norm(np.diff(heart.surface(*controls.T), axis=0), axis=1)))
    spline = CubicSpline(knots, controls)
    fine = spline(np.linspace(0, knots[-1], 400))
    points = heart.surface(*fine.T)
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    position = np.arange(0, length[-1], STEP_MM)
    fine = np.stack([np.interp(position, length, column) for column in fine.T], axis=1)
    points = heart.surface(*fine.T)
    # Winding grows from the branching point on, where the vessel is held, to the loose distal course.
    ramp = (np.clip(position / 12, 0, 1) ** 1.5 * (0.4 + 0.9 * position / position[-1]))[:, None]
    for correlation, amplitude in ((9.0, 1.3), (2.6, 0.75), (1.5, 0.12)):
        points = points + ramp * amplitude * tortuosity * smooth_noise(
            rng, len(points), correlation / STEP_MM, 3
        )
    if start is not None:
        points = points + (start - points[0]) * np.exp(-position / 10)[:, None]
    return np.hstack([points, fine])


def _tapered(line: np.ndarray, radius: float, taper: float) -> np.ndarray:
    """Radius that falls from `radius` to `taper` times that, and to half of that over the last tenth, mm."""
    position = np.linspace(0, 1, len(line))
    return radius * (1 - (1 - taper) * position**1.2) * (1 - 0.5 * position**16)


def _twig(name: str, parent: str, rng: np.random.Generator) -> Branch:
    """A small side branch in a random direction over the epicardium."""
    sweep, down = rng.uniform(-26, 26), -rng.uniform(3, 20)
    course = ((0.35 * sweep, 0.3 * down, 0), (0.75 * sweep, 0.7 * down, 0), (sweep, 1.2 * down, 0))
    return Branch(name, parent, rng.uniform(0.15, 0.97), course, rng.uniform(0.2, 0.5), 0.5)


def _joined(grown, calibre, origin) -> Tree:
    """Concatenate vessels, with path lengths that run on through the branching points."""
    names = tuple(grown)
    begins = dict(zip(names, np.cumsum([0, *(len(line) for line in grown.values())]), strict=False))
    paths, solid = {}, {}
    for name in names:
        position = np.arange(len(grown[name])) * STEP_MM
        parent, index = origin[name]
        paths[name] = position + (paths[parent][index] if parent else 0)
        solid[name] = position >= (0.8 * calibre[parent][index] if parent else 0)
    return Tree(
        points=np.concatenate([grown[name][:, :3] for name in names]),
        radius=np.concatenate([calibre[name] for name in names]),
        path=np.concatenate([paths[name] for name in names]),
        vessel=np.repeat(np.arange(len(names)), [len(grown[name]) for name in names]),
        solid=np.concatenate([solid[name] for name in names]),
        origin=np.array([begins[parent] + index if parent else -1 for parent, index in origin.values()]),
        names=names,
    )
