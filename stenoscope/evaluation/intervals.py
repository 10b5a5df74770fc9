"""Percentile intervals from a bootstrap over patients.

Frames of a clip and clips of a patient resemble each other, so patients are what is drawn with replacement
(the cluster bootstrap; Efron & Tibshirani 1993, chapters 8 and 13). A resample is a row of multiplicities,
one per patient, and every figure is computed for all resamples at once.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stenoscope.evaluation.metrics import Sample, values_of

RESAMPLES = 2000
"""Resamples of every interval."""

SEED = 0
"""Seed of the resamples: equal for all, so that two experiments meet the same resampled patients."""

LEVEL = 0.95
"""Coverage of the intervals."""

_MAX_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; its ends are None if no resample gave a value."""

    low: float | None
    high: float | None
    skipped: int  # resamples without a value, because a class or a call did not occur in them

    @property
    def bounds(self) -> list[float] | None:
        """``[low, high]``, or None."""
        return None if self.low is None else [self.low, self.high]


def percentile_interval(values: np.ndarray) -> Interval:
    """Interval that holds the middle 95 % of the resampled values; NaN are skipped and counted."""
    finite = values[np.isfinite(values)]
    skipped = len(values) - len(finite)
    if not len(finite):
        return Interval(None, None, skipped)
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), skipped)


def patient_draws(num_patients: int, resamples: int, seed: int, per_draw: int) -> Iterator[np.ndarray]:
    """Yield the multiplicities of the patients in blocks of resamples, float64 (block, num_patients).

    Rows sum to `num_patients`. `per_draw` is the number of elements that the caller needs per resample:
    blocks are sized to keep memory bounded. The draws do not depend on the size of the blocks.
    """
    rng = np.random.default_rng(seed)
    share = np.full(num_patients, 1 / num_patients)
    block = max(1, _MAX_ELEMENTS // max(per_draw, num_patients))
    for first in range(0, resamples, block):
        size = min(block, resamples - first)
        yield rng.multinomial(num_patients, share, size=size).astype(np.float64)


def bootstrap_patients(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = SEED,
    names: Collection[str] | None = None,
) -> dict[str, Interval]:
    """Interval of every figure, or of those in `names`, by name.

    The arrays are those of `metrics.score`, all of shape (n,); `patient_ids` names the patient of each row.
    """
    values = resampled_scores(labels, probabilities, decisions, patient_ids, resamples, seed, names)
    return {name: percentile_interval(value) for name, value in values.items()}


def resampled_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = SEED,
    names: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
    """Every figure of every resample, float64 (resamples,), NaN where it is undefined.

    The parameters are those of `bootstrap_patients`. Two calls with the same patients and seed use the same
    resamples, so differences between their results are paired.
    """
    arrays = [np.asarray(values, np.float64) for values in (labels, probabilities, decisions)]
    patients, owner = np.unique(np.asarray(patient_ids), return_inverse=True)
    blocks = [
        values_of(Sample(*arrays, owner, draws), names)
        for draws in patient_draws(len(patients), resamples, seed, per_draw=len(owner))
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def bootstrap_statistic(
    values: np.ndarray,
    patient_ids: Sequence[str],
    statistic: str = "mean",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Interval of the mean or the median (of an even number the lower one) of values, float (n,).

    `patient_ids` names the patient of each value; `statistic` is 'mean' or 'median'.
    """
    values = np.asarray(values, np.float64)
    patients, owner = np.unique(np.asarray(patient_ids), return_inverse=True)
    order = np.argsort(values, kind="stable")
    found = []
    for draws in patient_draws(len(patients), resamples, seed, per_draw=len(values)):
        weights = draws[:, owner[order]]
        if statistic == "mean":
            found.append(weights @ values[order] / weights.sum(axis=1))
        else:
            cumulative = weights.cumsum(axis=1)
            middle = (cumulative < cumulative[:, -1:] / 2).sum(axis=1)
            found.append(values[order][middle])
    return percentile_interval(np.concatenate(found))
