"""What the constants of the method `opacification` would be, fitted without the patient that is measured.

A grid over `PlateauRule`, and `VesselRule` with one value changed at a time. The cost of a setting is the
mean distance of the apex on unchanged clips, half of it on the simulated clips and half on the real ones; for
each real patient the setting is chosen without that patient's clips.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from rich.progress import track

from stenoscope.keyframes.scores import VESSELS, VesselRule, measure_filling
from stenoscope.keyframes.selection import PLATEAU, PlateauRule, plateau_apex, smooth

GRID = {
    "level": (0.7, 0.75, 0.8, 0.85, 0.9),
    "lateness": (0.5, 0.6, 0.7),
    "smoothing": (0.06, 0.12, 0.2),
    "floor": (0.3, 0.5, 0.7),
    "beyond": (0.0, 0.08, 0.16),
}
VESSEL_STEPS = {"sigma": (1.5, 3.0), "length": (32.0, 64.0), "area": (0.05, 0.12)}


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
    """The defaults, and each of them changed alone."""
    return [VESSELS] + [
        replace(VESSELS, **{name: value}) for name, values in VESSEL_STEPS.items() for value in values
    ]


def plateau_rules() -> list[PlateauRule]:
    """The whole grid."""
    return [PlateauRule(*values) for values in itertools.product(*GRID.values())]


def curves(frames: np.ndarray) -> tuple[np.ndarray, ...]:
    """The curve of one clip by every `VesselRule`."""
    return tuple(measure_filling(frames, rule).share for rule in vessel_rules())


def apexes(traces: list[Trace]) -> np.ndarray:
    """The apex by every setting; int, shape (vessel rules, plateau rules, traces)."""
    rules = plateau_rules()
    found = np.empty((len(vessel_rules()), len(rules), len(traces)), int)
    for index, one in enumerate(track(traces, description="refit", transient=True)):
        for vessel, share in enumerate(one.shares):
            smoothed = {value: smooth(share, PlateauRule(smoothing=value)) for value in GRID["smoothing"]}
            for number, rule in enumerate(rules):
                found[vessel, number, index] = plateau_apex(smoothed[rule.smoothing], rule)
    return found


def refit(
    traces: list[Trace],
) -> tuple[dict[str, dict[str, list]], dict[str, tuple[VesselRule, PlateauRule]]]:
    """Choose the setting for each real patient without that patient, and one with all of them.

    Returns
    -------
    rows : dict
        {what was refitted: {change: [(patient, measures), ...]}} of the real clips, each measured with the
        setting that was chosen without its patient.
    chosen : dict
        {what was refitted: setting that all patients choose together}.
    """
    found = apexes(traces)
    distance = np.abs(found - np.array([one.apex for one in traces]))
    real = np.array([one.real for one in traces])
    patient = np.array([one.patient for one in traces])
    as_is = np.array([one.change == "as is" for one in traces])
    default = 0, plateau_rules().index(PLATEAU)
    rows: dict[str, dict[str, list]] = {}
    chosen = {}
    for what, vessels in (("plateau refitted", 1), ("all refitted", len(found))):
        best = {}
        for name in ["", *np.unique(patient[real])]:
            cost = distance[:vessels, :, ~real & as_is].mean(axis=2)
            cost = cost + distance[:vessels, :, real & as_is & (patient != name)].mean(axis=2)
            tied = cost[default] == cost.min()  # then the default stays
            best[name] = default if tied else np.unravel_index(np.argmin(cost), cost.shape)
        for index in np.flatnonzero(real):
            one, (vessel, plateau) = traces[index], best[patient[index]]
            apex = found[vessel, plateau, index]
            measures = {"distance": abs(apex - one.apex), "inside": float(apex in one.accepted)}
            rows.setdefault(what, {}).setdefault(one.change, []).append((one.patient, measures))
        chosen[what] = vessel_rules()[best[""][0]], plateau_rules()[best[""][1]]
    return rows, chosen
