"""Percentile intervals from a bootstrap over patients.

Frames of a clip and clips of a patient resemble each other, so patients are what is drawn with replacement
(the cluster bootstrap; Efron & Tibshirani 1993, chapters 8 and 13). A resample is a row of multiplicities,
one per patient, and every metric is computed for all resamples at once: those that are ratios of sums by one
matrix product, the AUC by weighted ranks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stenoscope.evaluation.metrics import ECE_BINS, NEEDS_CLASSES, calibration_bins

RESAMPLES = 2000
"""Resamples of every interval."""

SEED = 0
"""Seed of the resamples: equal for all, so that two experiments meet the same resampled patients."""

LEVEL = 0.95
"""Coverage of the intervals."""

_MAX_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes
    ----------
    low, high : float or None
        None if no resample gave a value.
    skipped : int
        Resamples without a value, because a class or a call did not occur in them.
    """

    low: float | None
    high: float | None
    skipped: int

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
    """Yield the multiplicities of the patients in blocks of resamples.

    Parameters
    ----------
    num_patients, resamples, seed : int
    per_draw : int
        Elements that the caller needs per resample: blocks are sized to keep memory bounded. The draws do
        not depend on the size of the blocks.

    Yields
    ------
    ndarray, float64, shape (block, num_patients)
        Rows sum to `num_patients`.
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
) -> dict[str, Interval]:
    """Interval of every metric.

    Parameters
    ----------
    labels, probabilities, decisions : ndarray, shape (n,)
        As in `metrics.score`.
    patient_ids : sequence of str, length n
    resamples, seed : int

    Returns
    -------
    dict of str to Interval
        By the names of `metrics.score`.
    """
    values = resampled_scores(labels, probabilities, decisions, patient_ids, resamples, seed)
    return {name: percentile_interval(value) for name, value in values.items()}


def resampled_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, np.ndarray]:
    """Every metric of every resample, float64 (resamples,), NaN where it is undefined.

    The parameters are those of `bootstrap_patients`. Two calls with the same patients and seed use the same
    resamples, so differences between their results are paired.
    """
    labels, probabilities = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    decisions = np.asarray(decisions, np.float64)
    patients, owner = np.unique(np.asarray(patient_ids), return_inverse=True)
    tables = _patient_sums(labels, probabilities, decisions, owner, len(patients))
    auc_of = _weighted_auc(labels, probabilities)
    blocks = []
    for draws in patient_draws(len(patients), resamples, seed, per_draw=len(labels)):
        blocks.append({**_ratios(draws @ tables), "auc": auc_of(draws[:, owner])})
    return {name: np.concatenate([block[name] for block in blocks]) for name in NEEDS_CLASSES}


def bootstrap_statistic(
    values: np.ndarray,
    patient_ids: Sequence[str],
    statistic: str = "mean",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Interval of the mean or the median of some values.

    Parameters
    ----------
    values : ndarray, float, shape (n,)
    patient_ids : sequence of str, length n
    statistic : {'mean', 'median'}
        The median of a resample is its lower one.
    resamples, seed : int
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


def _patient_sums(labels, probabilities, decisions, owner, num_patients) -> np.ndarray:
    """Per patient: true and false positives, true and false negatives, squared errors, gap of each bin."""
    columns = np.column_stack(
        [
            labels * decisions,
            (1 - labels) * decisions,
            (1 - labels) * (1 - decisions),
            labels * (1 - decisions),
            (labels - probabilities) ** 2,
            (labels - probabilities)[:, None]
            * (calibration_bins(probabilities)[:, None] == np.arange(ECE_BINS)),
        ]
    )
    sums = np.zeros((num_patients, columns.shape[1]))
    np.add.at(sums, owner, columns)
    return sums


def _ratios(sums: np.ndarray) -> dict[str, np.ndarray]:
    true_pos, false_pos, true_neg, false_neg, squares = sums[:, :5].T
    total = true_pos + false_pos + true_neg + false_neg
    with np.errstate(invalid="ignore", divide="ignore"):  # a class that does not occur: 0 / 0 = NaN
        sensitivity = true_pos / (true_pos + false_neg)
        specificity = true_neg / (true_neg + false_pos)
        f1 = 2 * true_pos / (2 * true_pos + false_pos + false_neg)
        ppv = true_pos / (true_pos + false_pos)  # 0 / 0 where nothing was called so
        npv = true_neg / (true_neg + false_neg)
    f1[true_pos + false_neg == 0] = np.nan
    return {
        "accuracy": (true_pos + true_neg) / total,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": f1,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "ppv": ppv,
        "npv": npv,
        "brier": squares / total,
        "ece": np.abs(sums[:, 5:]).sum(axis=1) / total,
    }


def _weighted_auc(labels: np.ndarray, probabilities: np.ndarray):
    """Function from weights (block, n) to AUC (block,): the chance that a positive outranks a negative.

    ``sum_u pos_u (neg_below_u + neg_u / 2) / (pos neg)`` over the distinct probabilities ``u``: the
    Mann-Whitney statistic with ties counted half.
    """
    order = np.argsort(probabilities, kind="stable")
    ranked, positive = probabilities[order], labels[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def auc(weights: np.ndarray) -> np.ndarray:
        weights = weights[:, order]
        pos = np.add.reduceat(weights * positive, starts, axis=1)
        neg = np.add.reduceat(weights * (1 - positive), starts, axis=1)
        below = neg.cumsum(axis=1) - neg / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return (pos * below).sum(axis=1) / (pos.sum(axis=1) * neg.sum(axis=1))

    return auc
