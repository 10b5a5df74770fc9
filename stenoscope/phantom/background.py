"""The chest around the heart, as layers of X-ray attenuation that move on their own.

Every layer is an image of ``mu * d`` (attenuation coefficient times thickness, without unit), larger than the
frame by a margin so that it can be shifted by breathing and by the table.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from stenoscope.phantom.anatomy import Heart
from stenoscope.phantom.projection import View

MARGIN = 104
"""Pixels by which a layer reaches beyond the frame on each side."""

_VERTEBRA = np.array([(-1, -1), (0, -0.86), (1, -1), (0.88, -0.2), (0.9, 0.3),
                      (1, 1), (0, 0.9), (-1, 1), (-0.9, 0.3), (-0.88, -0.2)])  # fmt: skip


@dataclass(frozen=True)
class Thorax:
    """Attenuation of the chest without the coronary arteries, float32, `MARGIN` beyond each edge."""

    still: np.ndarray  # chest wall, spine and ribs
    breathing: np.ndarray  # lungs and diaphragm
    beating: np.ndarray  # heart


def draw_thorax(rng: np.random.Generator, heart: Heart, view: View) -> Thorax:
    """Draw the chest of a clip as seen from the positioner's angles."""
    side = view.size + 2 * MARGIN
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x, y = (columns - side / 2) / view.size, (rows - side / 2) / view.size
    turn = rng.uniform(0, 2 * np.pi)
    still = rng.uniform(0.05, 0.35) * (np.cos(turn) * x + np.sin(turn) * y)
    still += rng.uniform(0.0, 0.25) * x * y + rng.uniform(-0.2, 0.3) * (x**2 + y**2)
    still += rng.uniform(0.02, 0.05) * fractal(rng, side, 7, 0.75)
    bones = _spine(rng, view, side) + _ribs(rng, side)
    if rng.random() < 0.3:
        bones += _folds(rng, side)
    still += crumpled(rng, bones, 3.5)
    shadow = crumpled(rng, _silhouette(rng, heart, view, side), 7.0)
    below = crumpled(rng, _diaphragm(rng, view, side), 2.5)
    lung = np.clip(1 - shadow, 0, 1) * np.clip(1 - 4 * below, 0, 1)
    breathing = rng.uniform(0.03, 0.07) * fractal(rng, side, 7, 0.82) * (0.3 + 0.7 * lung)
    breathing += crumpled(rng, _lung_vessels(rng, side), 2.0) * (0.35 + 0.65 * lung)
    breathing += below - rng.uniform(0.03, 0.2) * lung
    beating = rng.uniform(0.08, 0.26) * shadow + rng.uniform(0.01, 0.03) * fractal(rng, side, 6, 0.9)
    return Thorax(*(layer.astype(np.float32) for layer in (still, breathing, beating)))


def crumpled(rng: np.random.Generator, image: np.ndarray, amount: float) -> np.ndarray:
    """Image displaced by smooth random shifts of `amount` pixels (standard deviation): organic outlines."""
    side = len(image)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    dx, dy = (amount * fractal(rng, side, 5, 0.55) for _ in range(2))
    return cv2.remap(
        image.astype(np.float32), columns + dx, rows + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def fractal(rng: np.random.Generator, side: int, octaves: int, persistence: float) -> np.ndarray:
    """Cloud noise of zero mean and unit variance, shape (side, side), float32.

    Sum of octaves of smooth noise from the whole image down to some 4 pixels; each octave has `persistence`
    times the amplitude of the coarser one. Anatomical backgrounds have such falling spectra (Burgess 1999).
    """
    image = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = 3 * 2**octave
        coarse = rng.standard_normal((cells, cells), np.float32)
        image += persistence**octave * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    image -= image.mean()
    return image / image.std()


def shifted(layer: np.ndarray, dx: float, dy: float, size: int) -> np.ndarray:
    """The frame's part of a layer whose content has moved by (dx, dy) pixels, sub-pixel, (size, size)."""
    matrix = np.array([[1, 0, MARGIN - dx], [0, 1, MARGIN - dy]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(layer, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _silhouette(rng, heart: Heart, view: View, side: int) -> np.ndarray:
    """Shadow of heart and mediastinum, 0 to 1, with the soft edge of round bodies."""
    theta, phi = np.meshgrid(np.arange(0, 360, 6), np.arange(0, 181, 6))
    swell = rng.uniform(1.12, 1.3)
    surface = heart.centre + swell * (heart.surface(theta.ravel(), phi.ravel(), 1.0) - heart.centre)
    hull = cv2.convexHull(np.rint(view.project(surface)[0] + MARGIN).astype(np.int32))
    mask = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(mask, hull, 1)
    column = np.stack([np.full(9, rng.uniform(-12, 4)), np.full(9, 25.0), np.linspace(-10, 260, 9)], axis=1)
    centres, scale = view.project(column)
    width = int(rng.uniform(48, 72) * scale.mean())
    cv2.polylines(mask, [np.rint(centres + MARGIN).astype(np.int32)], False, 1, width)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5) / rng.uniform(50, 110)
    rounded = np.sqrt(np.clip(1 - (1 - np.clip(depth, 0, 1)) ** 2, 0, 1))  # chord of a round body
    return cv2.GaussianBlur(rounded.astype(np.float32), (0, 0), rng.uniform(1.5, 3.5))


def _diaphragm(rng, view, side) -> np.ndarray:
    """Dome of the diaphragm: liver and stomach below an arc."""
    level = rng.uniform(0.45, 1.1) - 0.006 * view.secondary
    middle = rng.uniform(0.2, 0.8)
    columns = (np.arange(side, dtype=np.float32) - MARGIN) / view.size
    arc = MARGIN + view.size * (level + rng.uniform(0.35, 1.1) * (columns - middle) ** 2)
    below = np.arange(side, dtype=np.float32)[:, None] - arc[None]
    soft = rng.uniform(1.5, 5.0)
    edge = 0.5 + 0.5 * np.tanh(below / soft)
    deeper = np.clip(below / view.size, 0, 1)
    return rng.uniform(0.12, 0.42) * edge * (0.75 + 0.7 * deeper)


def _spine(rng, view, side) -> np.ndarray:
    """Column of vertebrae where the view puts it: behind the heart, so to the right in LAO."""
    levels = np.arange(-6, 7) * 27.0 + rng.uniform(-13, 13)
    bodies = np.stack([np.zeros(13) + rng.uniform(-4, 6), np.full(13, 84.0), levels], axis=1)
    bodies += rng.normal(0, 1.0, bodies.shape)
    centres, scale = view.project(bodies)
    centres = centres + MARGIN
    half, tall = rng.uniform(15, 18.5) * scale.mean(), 12.4 * scale.mean()
    lean, strength = view.primary / 60, rng.uniform(0.05, 0.13)
    bone = np.zeros((side, side), np.float32)
    for cx, cy in centres:
        body = np.rint(_VERTEBRA * [half, tall] + [cx, cy]).astype(np.int32)
        cv2.fillPoly(bone, [body], 1.0, cv2.LINE_AA)
        cv2.polylines(bone, [body], True, 1.35, 2, cv2.LINE_AA)
        for sign in (-1, 1):  # pedicles end on
            eye = round(cx + half * (0.55 * sign - 0.5 * lean)), round(cy - 0.25 * tall)
            cv2.ellipse(bone, eye, (int(0.13 * half), int(0.26 * tall)), 0, 0, 360, 1.5, 2, cv2.LINE_AA)
        process = round(cx - 0.8 * lean * half), round(cy + 0.45 * tall)
        cv2.ellipse(bone, process, (int(0.08 * half), int(0.4 * tall)), 0, 0, 360, 1.35, -1, cv2.LINE_AA)
    tissue = np.zeros_like(bone)
    cv2.polylines(tissue, [np.rint(centres).astype(np.int32)], False, rng.uniform(0.08, 0.3), int(2.4 * half))
    trabecular = 1 + 0.12 * fractal(rng, side, 7, 1.0)
    return strength * cv2.GaussianBlur(bone, (0, 0), rng.uniform(1.6, 3.0)) * trabecular + cv2.GaussianBlur(
        tissue, (0, 0), rng.uniform(5, 14)
    )


def _ribs(rng, side) -> np.ndarray:
    """Faint crossing bands of the front and back ribs, denser along their edges."""
    image = np.zeros((side, side), np.float32)
    along = np.linspace(-0.2, 1.2, 60)
    for slope, bow, strength in (
        (rng.uniform(0.15, 0.5), rng.uniform(-0.3, 0.1), rng.uniform(0.015, 0.05)),
        (-rng.uniform(0.3, 0.8), rng.uniform(-0.2, 0.3), rng.uniform(0.01, 0.04)),
    ):
        gap, wide = rng.uniform(85, 125), rng.uniform(28, 44)
        run = slope * (along - 0.5) + bow * (along - 0.5) ** 2
        for start in np.arange(-0.6 * side, 1.6 * side, gap) + rng.uniform(0, gap):
            line = np.stack([along * side, start + rng.normal(0, 6) + run * side], axis=1)
            line = np.rint(line).astype(np.int32)
            band = np.zeros_like(image)
            cv2.polylines(band, [line], False, 1.0, int(wide), cv2.LINE_AA)
            cv2.polylines(band, [line], False, 0.55, int(wide - 6), cv2.LINE_AA)
            image += strength * band
    return cv2.GaussianBlur(image, (0, 0), 1.8)


def _folds(rng, side) -> np.ndarray:
    """Folds of skin and clothing: a few smooth streaks near one border."""
    image = np.zeros((side, side), np.float32)
    edge = rng.uniform(0.72, 0.88) if rng.random() < 0.5 else rng.uniform(0.12, 0.28)
    u = np.linspace(0, 1, 40)
    for _ in range(rng.integers(2, 6)):
        shift, bow, lean = rng.normal(0, 0.03), rng.normal(0, 0.08), rng.normal(0, 0.05)
        line = np.stack([(edge + shift + bow * (u - 0.5) ** 2 + lean * u) * side, u * side], axis=1)
        cv2.polylines(image, [line.astype(np.int32)], False, rng.uniform(0.05, 0.18), int(rng.integers(2, 6)))
    return cv2.GaussianBlur(image, (0, 0), 2.2)


def _lung_vessels(rng, side) -> np.ndarray:
    """Faint pulmonary vessels: winding lines, and round spots where they run along the beam."""
    image = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(40, 90)):
        start, angle = rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
        heading = angle + np.cumsum(rng.normal(0, 0.22, 22))
        steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * rng.uniform(3, 9)
        line = (start + np.cumsum(steps, axis=0)).astype(np.int32)
        layer = np.zeros_like(image)
        cv2.polylines(layer, [line], False, 1.0, int(rng.integers(1, 6)), cv2.LINE_AA)
        image += rng.uniform(0.01, 0.08) * layer
    for _ in range(rng.integers(3, 12)):
        spot = tuple(int(v) for v in rng.uniform(0, side, 2))
        cv2.circle(image, spot, int(rng.integers(4, 11)), rng.uniform(0.03, 0.12), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 1.8)
