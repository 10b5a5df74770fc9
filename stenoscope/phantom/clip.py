"""One simulated clip: a scene, rendered frame by frame with or without its lesions, and its truth."""

from dataclasses import dataclass

import cv2
import numpy as np

from stenoscope.phantom import anatomy, background, bolus, detector, devices, lesions, projection
from stenoscope.phantom.scene import Scene, Truth, draw_scene, panned
from stenoscope.phantom.streams import stream

WINDOWS = {8: (0, 255), 12: (400, 3200)}
"""Stored values for black and white, by bits stored."""


@dataclass(frozen=True)
class Clip:
    """A simulated clip and the truth about it."""

    frames: np.ndarray  # uint8 or uint16 (num_frames, size, size): grey levels, vessels dark
    bits: int  # 8 or 12
    # stored values shown black and white: 0 and 255 with 8 bits, less than the full range with 12
    window: tuple[int, int]
    text: bool  # whether text is burned into the frames
    frame_time_ms: float
    view: projection.View
    artery: str  # "RCA" or "LCA"
    label: int  # 1 if it has a lesion
    truth: Truth
    lesions: list[dict]  # as in truth.json: kind, severity, length_px, box, boxes
    vessel_mask: np.ndarray  # bool (size, size): well opacified lumen at the apex, within the field


def simulate_clip(
    seed: int,
    patient: int,
    clip: int,
    artery: str,
    label: int,
    noise: bool = True,
    **options,
) -> Clip:
    """Simulate one clip of an artery, "RCA" or "LCA", with lesions if `label` is 1.

    Everything but the lesion comes from random streams that do not know the label: with the same numbers, the
    clips of label 0 and 1 differ by the lesion alone. `seed`, `patient` and `clip` are the address of the
    streams; `noise` adds quantum noise; `options` are `size`, `num_frames` and `min_diameter_px` of
    `draw_scene`.
    """
    scene = draw_scene(seed, patient, clip, artery, **options)
    applied = scene.lesions if label else []
    painter = Painter(scene, *lesions.apply_lesions(scene.tree, applied))
    noise_rng = stream(seed, "noise", patient, clip) if noise else None
    size = scene.view.size
    black, white = WINDOWS[scene.bits]
    frames = np.empty((len(scene.contrast), size, size), np.uint8 if scene.bits == 8 else np.uint16)
    for i in range(len(frames)):
        frames[i] = np.rint(black + painter.frame(i, noise_rng) * ((white - black) / 255))
    apex = scene.truth.apex
    mask = painter.lumen(apex, scene.filled.astype(float)) > 0.25
    left, top, right, bottom = scene.camera.field
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = True
    return Clip(
        frames=frames,
        bits=scene.bits,
        window=(black, white),
        text=scene.text,
        frame_time_ms=round(1000 * scene.frame_time, 3),
        view=scene.view,
        artery=artery,
        label=label,
        truth=scene.truth,
        lesions=[_lesion_truth(lesion, scene) for lesion in applied],
        vessel_mask=mask & inside,
    )


class Painter:
    """Renders the frames of a scene.

    `radius`, (n,), is that of the tree's samples, with lesions if it has any; `shift`, (n, 3), is that of the
    lumen against the vessel's course by eccentric lesions; both in mm.
    """

    def __init__(self, scene: Scene, radius: np.ndarray, shift: np.ndarray):
        self.scene, self.radius, self.shift = scene, radius, shift
        # Perfusion comes from the tree without lesions: theirs would be a trace far away from them.
        healthy = _tubes(scene, scene.truth.apex, scene.filled, scene.tree.radius, np.zeros_like(shift))
        self.perfused = cv2.GaussianBlur(healthy, (0, 0), 0.055 * scene.view.size)
        self.aperture = scene.camera.aperture(scene.view.size)
        self.exposure = scene.camera.exposure(self.chest(0))
        view = scene.view
        self.text = (
            f"{'LAO' if view.primary > 0 else 'RAO'} {abs(view.primary):.0f}",
            f"{'CRA' if view.secondary > 0 else 'CAU'} {abs(view.secondary):.0f}",
        )

    def frame(self, i: int, noise: np.random.Generator | None) -> np.ndarray:
        """Grey levels of frame `i`, float32, 0 to 255."""
        scene = self.scene
        grey = scene.camera.expose(self.attenuation(i), self.aperture, self.exposure, noise)
        if scene.text:
            grey = devices.draw_text(grey, [*self.text, f"{i + 1}/{len(scene.contrast)}"], 235)
        return grey

    def attenuation(self, i: int) -> np.ndarray:
        """``mu * d`` of everything along each ray at frame `i`, float32."""
        scene, time = self.scene, i * self.scene.frame_time
        iodine = self.lumen(i, scene.contrast[i]) + self.catheter(i) + self.reflux(i)
        iodine = cv2.GaussianBlur(iodine, (0, 0), scene.camera.blur * scene.view.size / 512)
        iodine += bolus.perfusion(scene.injection, time) * self.perfused
        return self.chest(i) + detector.IODINE_PER_MM * iodine

    def chest(self, i: int) -> np.ndarray:
        """``mu * d`` of everything but contrast and catheter."""
        scene, size = self.scene, self.scene.view.size
        dx, dy = scene.moves.pan[i]
        breath = scene.moves.breath[i] * scene.view.scale
        beat = scene.moves.contraction[i] * size / 512
        return (
            background.shifted(scene.thorax.still, dx, dy, size)
            + background.shifted(scene.thorax.breathing, dx, dy + breath, size)
            + background.shifted(scene.thorax.beating, dx + 3 * beat, dy + breath + 4 * beat, size)
        )

    def lumen(self, i: int, weight: np.ndarray) -> np.ndarray:
        """Millimetres of lumen along each ray at frame `i`, each sample weighted, float32."""
        return _tubes(self.scene, i, weight, self.radius, self.shift)

    def catheter(self, i: int) -> np.ndarray:
        """Millimetres of contrast that the catheter's wall and lumen amount to along each ray."""
        scene, tube = self.scene, self.scene.catheter
        points = tube.points + tube.follow[:, None] * self._ostium_shift(i)
        direction, step = anatomy.tangents(points, np.zeros(len(points), int))
        inflow = bolus.concentration(scene.injection, np.zeros(1), i * scene.frame_time)[0]
        weight = np.full(len(points), tube.wall + tube.lumen * inflow)
        radius = np.full(len(points), tube.radius)
        view = panned(scene.view, scene.moves, i)
        return projection.tube_thickness(view, points, direction, step, radius, weight)

    def reflux(self, i: int) -> np.ndarray:
        """Millimetres of contrast that has spilled into the aorta."""
        scene = self.scene
        points, volume = scene.reflux.cloud(i * scene.frame_time)
        view = panned(scene.view, scene.moves, i)
        if not len(points):
            return np.zeros((view.size, view.size), np.float32)
        positions, scale = view.project(points + self._ostium_shift(i))
        amount = (volume * scale**2).astype(np.float32)
        x, y = positions.astype(np.float32).T
        return cv2.GaussianBlur(projection.splat(x, y, amount, view.size), (0, 0), 3.2 * view.size / 512)

    def _ostium_shift(self, i: int) -> np.ndarray:
        ostium = self.scene.tree.points[:1]
        return (self.scene.moves.move(self.scene.heart, ostium, i) - ostium)[0]


def _tubes(scene: Scene, i: int, weight, radius, shift) -> np.ndarray:
    """Millimetres of lumen along each ray at frame `i`; arguments as in `Painter` and `Painter.lumen`."""
    points = scene.moves.move(scene.heart, scene.tree.points, i)
    direction, step = anatomy.tangents(points, scene.tree.vessel)
    on = np.flatnonzero((weight > 0.004) & scene.tree.solid)
    view = panned(scene.view, scene.moves, i)
    return projection.tube_thickness(
        view, points[on] + shift[on], direction[on], step[on], radius[on], weight[on]
    )


def _lesion_truth(lesion: lesions.Lesion, scene: Scene) -> dict:
    """Entry of truth.json: boxes around the undiseased width of the vessel along the lesion.

    A box is empty (all zero) in frames where the lesion has left the image.
    """
    size, apex = scene.view.size, scene.truth.apex
    pad = 0.5 * scene.diameter[lesion.core].max() + 1
    track = scene.positions[:, lesion.core]
    low, high = np.floor(track.min(axis=1) - pad), np.ceil(track.max(axis=1) + pad)
    boxes = np.clip(np.hstack([low, high]), 0, size).astype(int)
    boxes[(boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])] = 0
    return {
        "kind": lesion.kind,
        "severity": round(float(lesion.severity), 3),
        "length_px": round(float(lesion.length_px), 2),
        "box": boxes[apex].tolist(),
        "boxes": boxes.tolist(),
    }
