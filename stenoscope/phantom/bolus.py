"""The contrast bolus: when it reaches each point of the tree and how it rises, lasts and washes out."""

from dataclasses import dataclass

import numpy as np

from stenoscope.phantom.anatomy import STEP_MM, Tree


@dataclass(frozen=True)
class Bolus:
    """One injection.

    `start` and `stop` are seconds from the first frame to the moment contrast enters and leaves the ostium:
    `start` is negative where the clip begins opacified, `stop` beyond its end where it ends before wash-out.
    The three of the pulsation are relative depth, period (s) and phase (radians) of the dilution by each
    heart beat.
    """

    start: float
    stop: float
    speed: float  # of the front at the ostium, mm/s
    strength: float  # iodine of the plateau, relative to a normal injection
    pulsation: float
    pulse_period: float
    pulse_phase: float
    # contrast of the perfused heart muscle, as a share of the arteries' spread over their surroundings
    blush: float


def draw_bolus(rng: np.random.Generator, duration: float, farthest: float, period: float) -> Bolus:
    """Draw an injection that suits a clip of `duration` seconds and a tree `farthest` mm long.

    One clip in eight begins opacified and about one in three ends before wash-out.
    """
    speed = rng.uniform(95, 190)
    fill = 1.6 * farthest / speed  # the front slows down on its way
    early = rng.random() < 0.12
    start = -rng.uniform(0.4, 0.8) * fill if early else rng.uniform(0.08, 0.22) * duration
    full = start + fill
    unfinished = rng.random() < 0.38 and not early
    hold = rng.uniform(0.55, 0.8) * duration if unfinished else rng.uniform(0.08, 0.25) * duration
    stop = max(full, start + 0.9) + hold
    if unfinished:
        stop = max(stop, 0.97 * duration)
    pulsation = rng.uniform(0.2, 0.4) if rng.random() < 0.15 else rng.uniform(0.0, 0.12)
    strength, phase = rng.uniform(0.8, 1.15), rng.uniform(0, 2 * np.pi)
    return Bolus(start, stop, speed, strength, pulsation, period, phase, rng.uniform(0.1, 0.6))


def arrival_times(tree: Tree, speed: float) -> np.ndarray:
    """Seconds from the ostium to each sample, float64 (n,), at `speed` mm/s there.

    Flow slows down in narrower branches: the speed follows the square root of the calibre, so that the time
    to the end of the artery is one to two seconds, as in normal arteries (TIMI frame count, Gibson 1996). The
    tree must hold the radius without lesions: a lesion must not betray itself by delayed filling.
    """
    local = speed * np.clip(tree.radius / tree.radius[: len(tree.radius) // 20].max(), 0.15, 1.0) ** 0.5
    arrival = np.empty(len(tree.radius))
    for vessel in range(len(tree.names)):
        where = np.flatnonzero(tree.vessel == vessel)
        elapsed = np.cumsum(STEP_MM / local[where])
        begin = arrival[tree.origin[vessel]] if vessel else 0.0
        arrival[where] = begin + elapsed - elapsed[0]
    return arrival


def concentration(bolus: Bolus, arrival: np.ndarray, time: float) -> np.ndarray:
    """Contrast at samples `arrival` seconds from the ostium, at `time` seconds, in units of the plateau.

    A smooth step up when the front passes and a slower one down when the tail does; both widen on the way by
    dispersion. In between the plateau, pulsed by the beating heart that dilutes the inflow.
    """
    front = (time - bolus.start - arrival) / (0.07 + 0.08 * arrival)
    tail = (time - bolus.stop - 1.15 * arrival) / (0.16 + 0.18 * arrival)
    inflow = 2 * np.pi * (time - arrival) / bolus.pulse_period + bolus.pulse_phase
    pulse = 1 - bolus.pulsation * (0.5 + 0.5 * np.sin(inflow))
    return bolus.strength * pulse * _logistic(front) * _logistic(-tail)


def perfusion(bolus: Bolus, time: float) -> float:
    """Contrast of the heart muscle at `time` seconds: rises after the arteries and fades slower."""
    rise, fall = (time - bolus.start - 1.8) / 0.5, (time - bolus.stop - 2.5) / 0.9
    return float(bolus.blush * _logistic(rise) * _logistic(-fall))


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)
