"""Chooses the constants of the method `opacification`, and measures what the choice is worth.

The grid is every `VesselRule` with every `PlateauRule` below. The cost of a setting is the distance of the
apex from the reference, in frames: the mean over the simulated clips plus the mean over the real ones, all
unchanged in time. The setting of least cost is chosen; of equal ones the first of the grid. For each real
patient it is also chosen without that patient's clips, and from simulated clips alone.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from rich.progress import track

from stenoscope.keyframes.scores import VesselRule, measure_filling
from stenoscope.keyframes.selection import PlateauRule, plateau_apex, smooth

PLATEAU_GRID = {
    "level": (0.7, 0.75, 0.8, 0.85, 0.9),
    "lateness": (0.5, 0.6, 0.7),
    "smoothing": (0.06, 0.12, 0.2),
    "floor": (0.3, 0.5, 0.7),
    "beyond": (0.0, 0.08, 0.16),
}
VESSEL_GRID = {"sigma": (1.5, 2.0, 3.0), "length": (32.0, 48.0, 64.0), "area": (0.05, 0.08, 0.12)}


@dataclass(frozen=True)
class Trace:
    """A clip, changed in time or not, with its curve by each `VesselRule`."""

    real: bool
    patient: str
    change: str
    apex: int
    accepted: set[int]
    shares: tuple[np.ndarray, ...]


def vessel_rules() -> list[VesselRule]:
    """The whole grid, sigma changing slowest."""
    return [VesselRule(*values) for values in itertools.product(*VESSEL_GRID.values())]


def plateau_rules() -> list[PlateauRule]:
    """The whole grid, level changing slowest."""
    return [PlateauRule(*values) for values in itertools.product(*PLATEAU_GRID.values())]


def curves(frames: np.ndarray) -> tuple[np.ndarray, ...]:
    """The curve of one clip by every `VesselRule`."""
    return tuple(measure_filling(frames, rule).share for rule in vessel_rules())


def apexes(traces: list[Trace]) -> np.ndarray:
    """The apex by every setting; int, shape (vessel rules, plateau rules, traces)."""
    rules = plateau_rules()
    found = np.empty((len(vessel_rules()), len(rules), len(traces)), int)
    for index, one in enumerate(track(traces, description="refit", transient=True)):
        for vessel, share in enumerate(one.shares):
            smoothed = {
                value: smooth(share, PlateauRule(smoothing=value)) for value in PLATEAU_GRID["smoothing"]
            }
            for number, rule in enumerate(rules):
                found[vessel, number, index] = plateau_apex(smoothed[rule.smoothing], rule)
    return found


@dataclass(frozen=True)
class Choice:
    """A chosen setting, with its mean distances in frames on all unchanged clips."""

    vessels: VesselRule
    plateau: PlateauRule
    real: float
    simulated: float


LEFT_OUT, SIMULATED, TOGETHER = "without the patient measured", "from simulated clips alone", "all together"


def refit(traces: list[Trace]) -> tuple[dict[str, dict[str, list]], dict[str, Choice]]:
    """Choose the setting without each real patient, from simulated clips alone, and from all clips.

    Returns
    -------
    rows : dict
        {`LEFT_OUT` or `SIMULATED`: {change: [(patient, measures), ...]}} of the real clips, each measured
        with a setting that was chosen without its patient.
    chosen : dict
        `SIMULATED` and `TOGETHER` with their choice; the latter is what the program ships.
    """
    found = apexes(traces)
    distance = np.abs(found - np.array([one.apex for one in traces]))
    real = np.array([one.real for one in traces])
    patient = np.array([one.patient for one in traces])
    as_is = np.array([one.change == "as is" for one in traces])
    by_simulated = distance[:, :, ~real & as_is].mean(axis=2)

    def best(fitted_on: np.ndarray) -> tuple:
        cost = by_simulated + distance[:, :, fitted_on].mean(axis=2) if fitted_on.any() else by_simulated
        return np.unravel_index(np.argmin(cost), cost.shape)  # of equal ones, the first

    nobody = np.zeros(len(traces), bool)
    simulated, together = best(nobody), best(real & as_is)
    without = {name: best(real & as_is & (patient != name)) for name in np.unique(patient[real])}
    rows: dict[str, dict[str, list]] = {}
    for index in np.flatnonzero(real):
        one = traces[index]
        for what, setting in ((LEFT_OUT, without[patient[index]]), (SIMULATED, simulated)):
            apex = found[(*setting, index)]
            measures = {"distance": abs(apex - one.apex), "inside": float(apex in one.accepted)}
            rows.setdefault(what, {}).setdefault(one.change, []).append((one.patient, measures))
    by_real = distance[:, :, real & as_is].mean(axis=2)
    chosen = {
        what: Choice(
            vessel_rules()[setting[0]],
            plateau_rules()[setting[1]],
            float(by_real[setting]),
            float(by_simulated[setting]),
        )
        for what, setting in ((SIMULATED, simulated), (TOGETHER, together))
    }
    return rows, chosen
