"""Chooses the constants of the method `opacification`, and measures what the choice is worth.

The grid is every `VesselRule` with every `PlateauRule` and every pair of levels. The cost of a setting is the
distance of start, apex and end from the reference, in frames: the mean over the simulated clips plus the
mean over the real ones, all unchanged in time, added over the three. A start or end that is not found counts
as the clip's first or last frame, and so does one that the reference does not have. The setting of least cost
is chosen; of equal ones the first of the grid. For each real patient it is also chosen without that patient's
clips, and from simulated clips alone.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from rich.progress import track

from stenoscope.keyframes.opacification import contrast_interval
from stenoscope.keyframes.scores import Filling, VesselRule, measure_filling
from stenoscope.keyframes.selection import PlateauRule, plateau_apex, smooth

PLATEAU_GRID = {
    "level": (0.7, 0.75, 0.8, 0.85, 0.9),
    "lateness": (0.5, 0.6, 0.7),
    "smoothing": (0.06, 0.12, 0.2),
    "floor": (0.3, 0.5, 0.7),
    "beyond": (0.0, 0.08, 0.16),
}
VESSEL_GRID = {"sigma": (1.5, 2.0, 3.0), "length": (32.0, 48.0, 64.0), "area": (0.05, 0.08, 0.12)}
START_LEVELS, END_LEVELS = (0.03, 0.05, 0.08), (0.35, 0.4, 0.45)
LEFT_OUT, SIMULATED, TOGETHER = "without the patient measured", "from simulated clips alone", "all together"


@dataclass(frozen=True)
class Trace:
    """A clip, changed in time or not, with its filling by each `VesselRule`.

    `start` and `end` are the reference's, or the clip's first and last frame.
    """

    real: bool
    patient: str
    change: str
    start: int
    apex: int
    end: int
    accepted: set[int]
    fillings: tuple[Filling, ...]


@dataclass(frozen=True)
class Choice:
    """A chosen setting, with its mean distances (start, apex, end) in frames on all unchanged clips."""

    vessels: VesselRule
    plateau: PlateauRule
    start_level: float
    end_level: float
    real: tuple[float, float, float]
    simulated: tuple[float, float, float]


def vessel_rules() -> list[VesselRule]:
    """The whole grid, sigma changing slowest."""
    return [VesselRule(*values) for values in itertools.product(*VESSEL_GRID.values())]


def plateau_rules() -> list[PlateauRule]:
    """The whole grid, level changing slowest."""
    return [PlateauRule(*values) for values in itertools.product(*PLATEAU_GRID.values())]


def fillings(frames: np.ndarray) -> tuple[Filling, ...]:
    """The filling of one clip by every `VesselRule`, without the mask, which nothing here needs."""
    nothing = np.empty(0, bool)
    return tuple(replace(measure_filling(frames, rule), masked=nothing) for rule in vessel_rules())


def answers(traces: list[Trace]) -> np.ndarray:
    """Frames by every setting; int, shape (vessel rules, plateau rules, 7, traces).

    The seven are the apex, the start by each of `START_LEVELS`, and the end by each of `END_LEVELS`.
    """
    rules = plateau_rules()
    found = np.empty((len(vessel_rules()), len(rules), 7, len(traces)), np.int32)
    for index, one in enumerate(track(traces, description="refit", transient=True)):
        for vessel, filling in enumerate(one.fillings):
            last = len(filling.share) - 1
            smoothed = {
                value: smooth(filling.share, PlateauRule(smoothing=value))
                for value in PLATEAU_GRID["smoothing"]
            }
            known: dict[tuple[float, int], list[int]] = {}
            for number, rule in enumerate(rules):
                curve = smoothed[rule.smoothing]
                apex = plateau_apex(curve, rule)
                key = rule.smoothing, apex
                if key not in known:
                    pairs = [
                        contrast_interval(filling, curve, apex, *levels)
                        for levels in zip(START_LEVELS, END_LEVELS, strict=True)
                    ]
                    starts = [0 if start is None else start for start, _ in pairs]
                    known[key] = [apex, *starts, *(last if end is None else end for _, end in pairs)]
                found[vessel, number, :, index] = known[key]
    return found


def refit(traces: list[Trace]) -> tuple[dict[str, dict[str, list]], dict[str, Choice]]:
    """Choose the setting without each real patient, from simulated clips alone, and from all clips.

    Returns
    -------
    rows : dict
        {`LEFT_OUT` or `SIMULATED`: {change: [(patient, measures), ...]}} of the real clips, each measured
        with a setting that was chosen without its patient; start and end of unchanged clips alone.
    chosen : dict
        `SIMULATED` and `TOGETHER` with their choice; the latter is what the program ships.
    """
    found = answers(traces)
    reference = [[one.apex, *[one.start] * 3, *[one.end] * 3] for one in traces]
    distance = np.abs(found - np.array(reference).T)
    real = np.array([one.real for one in traces])
    patient = np.array([one.patient for one in traces])
    as_is = np.array([one.change == "as is" for one in traces])
    by_simulated = distance[..., ~real & as_is].mean(axis=-1)

    def best(fitted_on: np.ndarray) -> tuple:
        """Vessel rule, plateau rule, start level and end level, as indices."""
        cost = by_simulated + distance[..., fitted_on].mean(axis=-1) if fitted_on.any() else by_simulated
        total = cost[..., 0] + cost[..., 1:4].min(axis=-1) + cost[..., 4:].min(axis=-1)
        setting = np.unravel_index(np.argmin(total), total.shape)  # of equal ones, the first
        return *setting, int(np.argmin(cost[setting][1:4])), int(np.argmin(cost[setting][4:]))

    simulated, together = best(np.zeros(len(traces), bool)), best(real & as_is)
    without = {name: best(real & as_is & (patient != name)) for name in np.unique(patient[real])}
    rows: dict[str, dict[str, list]] = {}
    for index in np.flatnonzero(real):
        one = traces[index]
        for what, (*setting, start, end) in ((LEFT_OUT, without[patient[index]]), (SIMULATED, simulated)):
            apex, away = found[(*setting, 0, index)], distance[(*setting, slice(None), index)]
            measures = {"distance": away[0], "inside": float(apex in one.accepted)}
            if as_is[index]:
                measures |= {"start": away[1 + start], "end": away[4 + end]}
            rows.setdefault(what, {}).setdefault(one.change, []).append((one.patient, measures))

    def choice(vessel: int, plateau: int, start: int, end: int) -> Choice:
        means = [
            tuple(float(distance[vessel, plateau, k, part & as_is].mean()) for k in (1 + start, 0, 4 + end))
            for part in (real, ~real)
        ]
        levels = START_LEVELS[start], END_LEVELS[end]
        return Choice(vessel_rules()[vessel], plateau_rules()[plateau], *levels, *means)

    return rows, {SIMULATED: choice(*simulated), TOGETHER: choice(*together)}
