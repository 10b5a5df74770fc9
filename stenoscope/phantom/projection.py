"""Cone-beam projection of vessels: from samples in space to millimetres of lumen along each ray."""

from dataclasses import dataclass

import numpy as np

SOURCE_TO_ISOCENTRE_MM = 765.0


@dataclass(frozen=True)
class View:
    """Position of the C-arm and what its detector sees."""

    primary: float  # positioner angles, degrees (PS3.3 C.8.7.5.1.2): LAO positive
    secondary: float  # cranial positive
    source_to_detector: float  # mm
    pixel: float  # side of a detector pixel, mm
    size: int  # rows and columns
    centre: tuple[float, float]  # column and row of the isocentre in the image

    @property
    def axes(self) -> np.ndarray:
        """Rows: image right, image down, isocentre to detector; unit vectors in patient coordinates."""
        a, b = np.deg2rad(self.primary), np.deg2rad(self.secondary)
        level = np.array([np.sin(a), -np.cos(a), 0.0])
        head = np.array([0.0, 0.0, 1.0])
        right = np.array([np.cos(a), np.sin(a), 0.0])
        return np.stack([right, np.sin(b) * level - np.cos(b) * head, np.cos(b) * level + np.sin(b) * head])

    @property
    def scale(self) -> float:
        """Pixels per millimetre at the isocentre."""
        return self.source_to_detector / SOURCE_TO_ISOCENTRE_MM / self.pixel

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows (n, 2) and pixels per millimetre (n,) of points (n, 3) in mm."""
        local = points @ self.axes.T
        scale = self.source_to_detector / self.pixel / (SOURCE_TO_ISOCENTRE_MM + local[..., 2])
        return local[..., :2] * scale[..., None] + np.array(self.centre), scale


SPACING_PX = 0.5
"""Distance of the points that fill a tube: at half a pixel the tent of `splat` leaves ripple below 2 %."""


def tube_thickness(view: View, points, direction, step, radius, weight) -> np.ndarray:
    """Millimetres of tube along the ray of each pixel, float32 (size, size).

    The tubes are filled with points, each a share of the volume of its slice of the tube, and the points are
    projected one by one. What a ray meets, foreshortened, overlapping or crossing, is so summed as in the
    patient: a pixel's value is the volume in front of it divided by its area.

    `points`, (n, 3), are the centreline in mm, with steps below `SPACING_PX`, and `direction` its unit
    tangents. By sample, (n,): `step`, the length of centreline it stands for, and `radius`, both in mm, and
    `weight`, a factor, for example its contrast concentration.
    """
    centre, scale = view.project(points)
    local = direction @ view.axes.T
    planar = np.maximum(np.hypot(local[:, 0], local[:, 1]), 1e-6)
    reach = radius * scale
    amount = np.pi * radius**2 * step * scale**2 * weight
    # In the image a slice spans its radius across the vessel and radius * |tilt| along it. Points need the
    # second extent only where the vessel runs into the image; elsewhere they stay in line: no grain.
    tilt = np.abs(local[:, 2])
    spread = reach * tilt * np.clip((tilt - 0.8) / 0.19, 0, 1)
    across = np.stack([-local[:, 1], local[:, 0]], axis=1) * (reach / planar)[:, None]
    along = local[:, :2] * (spread / planar)[:, None]
    strands = np.ceil(2 * reach / (SPACING_PX * view.size / 512)).astype(int)
    image = np.zeros((view.size + 3) ** 2)
    for number in (4, 8, 14, 22, 32, 48, 72):
        chosen = np.flatnonzero((strands <= number) & (strands > 0) if number < 72 else strands > 0)
        strands[chosen] = 0
        if len(chosen):
            u = ((np.arange(number) + 0.5) * 2 / number - 1).astype(np.float32)
            chord = np.sqrt(1 - u**2)
            turn = (chosen[:, None] * 0.618034 + np.arange(number) * 0.754878) % 1
            v = ((2 * turn - 1) * chord).astype(np.float32)
            c, a, b = (part[chosen].astype(np.float32)[..., None] for part in (centre, across, along))
            x = c[:, 0] + a[:, 0] * u + b[:, 0] * v
            y = c[:, 1] + a[:, 1] * u + b[:, 1] * v
            share = amount[chosen, None].astype(np.float32) * (chord / chord.sum())
            image += _bins(x, y, share, view.size)
    return _cropped(image, view.size)


def splat(x: np.ndarray, y: np.ndarray, amount: np.ndarray, size: int) -> np.ndarray:
    """Add amounts at sub-pixel positions to an image, shared between the four nearest pixel centres.

    Float32 (size, size); pixel (row, column) has its centre at ``y = row, x = column``. What falls outside is
    lost, the rest is conserved.
    """
    return _cropped(_bins(x, y, amount, size), size)


def _bins(x, y, amount, size) -> np.ndarray:
    """What `splat` adds up, as a flat image with one pixel of border before and two after."""
    inside = (x > -1) & (x < size) & (y > -1) & (y < size)
    x, y, amount = x[inside] + 1, y[inside] + 1, amount[inside]
    column, row = x.astype(np.int32), y.astype(np.int32)
    dx, dy = x - column, y - row
    width = size + 3  # rounding to float32 can carry `x + 1` up to size + 1
    corner = row * width + column
    low, high = amount * (1 - dy), amount * dy
    cells = np.concatenate([corner, corner + 1, corner + width, corner + width + 1])
    shares = np.concatenate([low * (1 - dx), low * dx, high * (1 - dx), high * dx])
    return np.bincount(cells, shares, width * width)


def _cropped(image: np.ndarray, size: int) -> np.ndarray:
    return image.reshape(size + 3, size + 3)[1:-2, 1:-2].astype(np.float32)
