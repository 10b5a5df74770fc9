"""What else is in the picture: catheter, sternal wires, ECG leads, and text burned into the frames."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from stenoscope.phantom.anatomy import STEP_MM, Tree
from stenoscope.phantom.background import MARGIN
from stenoscope.phantom.projection import View


@dataclass(frozen=True)
class Catheter:
    """The guiding catheter in the aorta; attenuation is in units of plateau contrast."""

    # float64 (n, 3): centreline in end-diastole, from above the field to the tip in the ostium, mm
    points: np.ndarray
    follow: np.ndarray  # float64 (n,): share of the ostium's movement that each sample follows, 1 at the tip
    radius: float  # mm; 5 to 7 French
    wall: float  # attenuation of the wall
    lumen: float  # attenuation of the lumen when contrast runs through it

    @classmethod
    def draw(cls, rng: np.random.Generator, tree: Tree) -> "Catheter":
        """Draw a catheter that sits in the ostium of a tree."""
        ostium = tree.points[0]
        heading = tree.points[int(4 / STEP_MM)] - ostium
        heading /= np.linalg.norm(heading)
        top = ostium + np.array([rng.uniform(-6, 10), rng.uniform(4, 22), 120.0])
        wall = ostium - heading * rng.uniform(14, 22) + np.array([0, 0, rng.uniform(14, 30)])
        knee = ostium - heading * rng.uniform(8, 12) + np.array([0, 0, rng.uniform(-2, 5)])
        controls = np.stack([top, 0.5 * (top + wall) + rng.normal(0, 4, 3), wall, knee, ostium + heading * 2])
        knots = np.append(0, np.cumsum(np.linalg.norm(np.diff(controls, axis=0), axis=1)))
        fine = CubicSpline(knots, controls)(np.linspace(0, knots[-1], 600))
        length = np.append(0, np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1)))
        position = np.arange(0, length[-1], 2 * STEP_MM)
        points = np.stack([np.interp(position, length, column) for column in fine.T], axis=1)
        follow = np.clip(1 - (length[-1] - position) / 45, 0, 1) ** 1.5
        return cls(points, follow, rng.uniform(0.8, 1.1), rng.uniform(0.3, 0.55), rng.uniform(0.5, 0.8))


@dataclass(frozen=True)
class Reflux:
    """Contrast that spills from the ostium into the aortic root in puffs and is washed away."""

    clouds: np.ndarray  # float64 (puffs, m, 3): points of each puff about the middle of the sinus, mm
    onset: np.ndarray  # by puff, seconds
    duration: np.ndarray  # seconds
    volume: np.ndarray  # cubic millimetres of plateau contrast

    @classmethod
    def draw(cls, rng: np.random.Generator, tree: Tree, start: float, stop: float) -> "Reflux":
        """Draw the reflux of an injection from `start` to `stop` seconds; two clips in three have none."""
        puffs = int(rng.integers(1, 5)) if rng.random() < 0.35 else 0
        heading = tree.points[int(4 / STEP_MM)] - tree.points[0]
        middle = tree.points[0] - 7 * heading / np.linalg.norm(heading)
        lobes = rng.normal(0, 3.0, (puffs, 4, 3))  # eddies, so that no puff is a plain ball
        share = rng.integers(0, 4, (puffs, 900))
        spread = rng.normal(0, 1, (puffs, 900, 3)) * rng.uniform(1.5, 3.5, (puffs, 1, 1))
        clouds = middle + lobes[np.arange(puffs)[:, None], share] + spread
        onset = rng.uniform(start, max(stop, start + 0.5), puffs)
        return cls(clouds, onset, rng.uniform(0.25, 0.7, puffs), rng.uniform(100, 550, puffs))

    def cloud(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Points (m, 3) in mm and their volumes (m,) in cubic mm at `time` seconds."""
        age = (time - self.onset) / self.duration
        strength = self.volume * np.where(age > 0, age, 0) * np.exp(1 - np.maximum(age, 0))
        active = strength > 1.0
        points = self.clouds[active] + np.array([0, 0, 9.0]) * age[active, None, None]  # carried up the aorta
        number = self.clouds.shape[1]
        return points.reshape(-1, 3), np.repeat(strength[active] / number, number)


def draw_metal(rng: np.random.Generator, view: View) -> np.ndarray:
    """Attenuation of metal on and in the chest wall, zeros in most clips, a layer with margins.

    One clip in ten has sternal wires, one in six ECG leads, one in ten surgical clips.
    """
    side = view.size + 2 * MARGIN
    image = np.zeros((side, side), np.float32)
    if rng.random() < 0.1:
        _sternal_wires(rng, view, image)
    if rng.random() < 0.16:
        for _ in range(rng.integers(1, 3)):
            _ecg_lead(rng, side, image)
    if rng.random() < 0.10:
        for _ in range(rng.integers(3, 9)):
            middle, angle = rng.uniform(MARGIN, side - MARGIN, 2), rng.uniform(0, np.pi)
            half = 5 * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(image, _pixel(middle - half), _pixel(middle + half), 0.9, 2, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 0.7) if image.any() else image


def _sternal_wires(rng, view, image) -> None:
    """Loops of steel wire along the breastbone, each closed by twisting its ends."""
    strength = rng.uniform(0.4, 0.9)
    levels = np.arange(5) * 24.0 - 40 + rng.normal(0, 3, 5)
    spots, scale = view.project(np.stack([np.full(5, -4.0), np.full(5, -95.0), levels], axis=1))
    for middle, mm in zip(spots + MARGIN, scale, strict=True):
        angle = np.linspace(0, 2 * np.pi, 60) + rng.uniform(0, 2 * np.pi)
        wide, tall, lean = rng.uniform(4, 8) * mm, rng.uniform(1, 3.5) * mm, rng.uniform(-0.4, 0.4)
        loop = np.stack([wide * np.cos(angle), tall * np.sin(angle) + lean * wide * np.cos(angle)], axis=1)
        loop += 1.2 * rng.normal(size=2) * np.cos(2 * angle)[:, None]
        u = np.linspace(0, 1, 40)
        twist = loop[-1] + np.stack([5 * mm * u, 1.6 * np.sin(24 * u) + 6 * u], axis=1)
        line = np.rint(middle + np.vstack([loop, twist])).astype(np.int32)
        cv2.polylines(image, [line], False, strength, 2, cv2.LINE_AA)


def _ecg_lead(rng, side, image) -> None:
    middle, strength = rng.uniform(MARGIN, side - MARGIN, 2), rng.uniform(0.2, 0.7)
    cv2.circle(image, _pixel(middle), int(rng.integers(7, 13)), strength, 3, cv2.LINE_AA)
    cv2.circle(image, _pixel(middle), 4, strength, -1, cv2.LINE_AA)
    u, angle = np.linspace(0, 1, 90), rng.uniform(0, 2 * np.pi)
    out = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-out[1], out[0]])
    spring = middle + np.outer(14 + 22 * u, out) + np.outer(5 * np.sin(u * 50), across)
    cv2.polylines(image, [spring.astype(np.int32)], False, strength, 1, cv2.LINE_AA)
    cable = middle + np.outer(36 + side * u, out) + np.outer(60 * rng.normal() * u**2, across)
    cv2.polylines(image, [cable.astype(np.int32)], False, 0.35 * strength, 3, cv2.LINE_AA)


def draw_text(frame: np.ndarray, lines: list[str], bright: float) -> np.ndarray:
    """Frame, float32 (rows, cols), with text of value `bright` burned into its upper right corner."""
    letters = np.zeros(frame.shape, np.uint8)
    scale = 0.45 * frame.shape[1] / 512
    for number, line in enumerate(lines):
        (width, height), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        place = (frame.shape[1] - width - 8, int((number + 1) * (height + 7) + 4))
        cv2.putText(letters, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
    return frame + (bright - frame) * (letters.astype(np.float32) / 255)


def _pixel(point) -> tuple[int, int]:
    return tuple(round(float(v)) for v in point)
