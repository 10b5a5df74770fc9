"""How things move: the beating heart in three dimensions, breathing, and the table under the patient."""

from dataclasses import dataclass

import numpy as np

from stenoscope.phantom.anatomy import Heart


@dataclass(frozen=True)
class Motion:
    """Movement during one clip, one value per frame; the last three are those at full contraction."""

    contraction: np.ndarray  # 0 in end-diastole to 1 in end-systole
    breath: np.ndarray  # shift of heart and diaphragm towards the feet, mm
    # (num_frames, 2): shift of everything in the image by the moving table, pixels (column, row)
    pan: np.ndarray
    descent_mm: float  # how far the base moves to the apex
    squeeze: float  # by what share the heart narrows
    twist_deg: float  # how far the apex turns against the base

    def move(self, heart: Heart, points: np.ndarray, frame: int) -> np.ndarray:
        """Positions (n, 3) in mm of points of the heart at one frame."""
        beat = self.contraction[frame]
        local = (points - heart.centre) @ heart.axes.T
        along = local[:, 0]
        basal = np.clip(1 - along / heart.size[0], 0, 1.3)  # 1 at the base, 0 at the apex
        turn = np.deg2rad(self.twist_deg) * beat * (1 - basal)
        narrow = 1 - self.squeeze * beat
        cos, sin = narrow * np.cos(turn), narrow * np.sin(turn)
        moved = np.stack(
            [
                along + self.descent_mm * beat * basal,
                cos * local[:, 1] - sin * local[:, 2],
                sin * local[:, 1] + cos * local[:, 2],
            ],
            axis=1,
        )
        out = moved @ heart.axes + heart.centre
        out[:, 2] -= self.breath[frame]
        return out


def draw_motion(
    rng: np.random.Generator, num_frames: int, frame_time: float, period: float, pan_limit: float
) -> Motion:
    """Draw the movement of a clip.

    `frame_time` and `period`, between heart beats, are seconds; each beat varies by 4 per cent. `pan_limit`
    is the largest table shift, pixels.
    """
    time = np.arange(num_frames) * frame_time
    lengths = period * np.exp(rng.normal(0, 0.04, int(time[-1] / period * 1.4) + 4))
    beats = np.append(0, np.cumsum(lengths)) - rng.uniform(0, period)
    phase = np.interp(time, beats, np.arange(len(beats))) % 1
    contraction = systole(phase)
    if rng.random() < 0.75:  # held breath with a slow drift
        breath = rng.normal(0, 1.5) * time / time[-1]
    else:
        depth, rate = rng.uniform(3, 8), rng.uniform(0.2, 0.35)
        breath = depth * np.sin(2 * np.pi * (rate * time + rng.random()))
    if rng.random() < 0.15:  # a deep breath at the end of the run
        breath = breath + rng.uniform(6, 14) * _ease((time / time[-1] - rng.uniform(0.72, 0.85)) / 0.2)
    pan = np.zeros((num_frames, 2))
    if rng.random() < 0.3:
        begin, angle = rng.uniform(0.5, 0.85), rng.uniform(0, 2 * np.pi)
        way = rng.uniform(0.3, 1.0) * pan_limit * np.array([np.cos(angle), np.sin(angle)])
        pan = _ease((time / time[-1] - begin) / rng.uniform(0.15, 0.3))[:, None] * way
    return Motion(contraction, breath, pan, rng.uniform(6, 12), rng.uniform(0.07, 0.14), rng.uniform(4, 11))


def systole(phase: np.ndarray) -> np.ndarray:
    """Contraction (0 to 1) at a phase of the heart beat (0 to 1, 0 at the R wave).

    Ejection during the first third, faster relaxation, then rest: the volume curve of the left ventricle.
    """
    rise = _ease(phase / 0.34)
    fall = _ease((phase - 0.40) / 0.24)
    return rise - fall


def _ease(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 to 1 between x = 0 and x = 1."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
