"""The figures that say how good predictions are: one entry each in `FIGURES`.

What is written, compared and shown of a figure follows from its entry: `summary.json`, intervals, studies,
audits, the terminal's table and the report.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from sklearn.metrics import brier_score_loss, roc_auc_score

THRESHOLD = 0.5
"""Probability from which on a frame or clip is called abnormal; fixed, not tuned."""

ECE_BINS = 10
"""Equal-width bins of the expected calibration error."""

NAMED_BY_LEVEL = ("auc", "accuracy")
"""Figures named by level of clips, too (``clip_auc``); others are of clips where no level is named."""

_NAMES = {0: "normal", 1: "abnormal"}
_LEVELS = ("clip", "patient", "frame")


@dataclass(frozen=True)
class Sample:
    """Some frames, clips or patients: as they are, or in many resamples of their patients."""

    labels: np.ndarray  # float64 (n,), as of `score`, like the next two
    probabilities: np.ndarray
    decisions: np.ndarray
    owner: np.ndarray | None = None  # int (n,): which patient each row is of
    # float64 (resamples, num_patients): how often each patient was drawn; None takes all rows once
    draws: np.ndarray | None = None

    def total(self, values: np.ndarray) -> np.ndarray:
        """Weighted sum of values (n,) or (n, k): of each resample (resamples,) or (resamples, k)."""
        values = np.asarray(values, np.float64)
        if self.draws is None:
            return values.sum(axis=0)
        sums = np.zeros((self.draws.shape[1], *values.shape[1:]))
        np.add.at(sums, self.owner, values)
        return self.draws @ sums

    @property
    def size(self) -> np.ndarray:
        """Number of rows, of each resample."""
        return self.total(np.ones(len(self.labels)))


def _sensitivity(of: Sample) -> np.ndarray:
    return of.total(of.labels * of.decisions) / of.total(of.labels)


def _specificity(of: Sample) -> np.ndarray:
    return of.total((1 - of.labels) * (1 - of.decisions)) / of.total(1 - of.labels)


def _auc(of: Sample) -> np.ndarray:
    """The chance that a positive outranks a negative.

    ``sum_u pos_u (neg_below_u + neg_u / 2) / (pos neg)`` over the distinct probabilities ``u``: the
    Mann-Whitney statistic with ties counted half.
    """
    if of.draws is None:
        return roc_auc_score(of.labels, of.probabilities)
    order = np.argsort(of.probabilities, kind="stable")
    ranked, positive = of.probabilities[order], of.labels[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    weights = of.draws[:, of.owner[order]]
    pos = np.add.reduceat(weights * positive, starts, axis=1)
    neg = np.add.reduceat(weights * (1 - positive), starts, axis=1)
    below = neg.cumsum(axis=1) - neg / 2
    return (pos * below).sum(axis=1) / (pos.sum(axis=1) * neg.sum(axis=1))


def _brier(of: Sample) -> np.ndarray:
    if of.draws is None:
        return brier_score_loss(of.labels, of.probabilities, pos_label=1)
    return of.total((of.labels - of.probabilities) ** 2) / of.size


def _calibration_error(of: Sample) -> np.ndarray:
    """Mean distance between predicted and observed frequency of "abnormal", weighted by bin size.

    Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning", for the probability
    of one class: ``sum_b |sum_{i in b} (label_i - probability_i)| / n``.
    """
    in_bin = calibration_bins(of.probabilities)[:, None] == np.arange(ECE_BINS)
    gaps = of.total((of.labels - of.probabilities)[:, None] * in_bin)
    return np.abs(gaps).sum(axis=-1) / of.size


@dataclass(frozen=True)
class Figure:
    """A figure of binary predictions."""

    name: str  # as printed
    # value of each resample; what it returns where undefined does not matter
    of: Callable[[Sample], np.ndarray]
    # computed from this and the labels; a figure of decisions is given for both ways to call a patient
    needs: Literal["decisions", "probabilities"] = "decisions"
    classes: tuple[int, ...] = ()  # labels that must occur for it to be defined
    call: int | None = None  # decision that must occur
    levels: tuple[str, ...] = ("frame", "clip", "patient")
    # by level, where it is shown beside the report's full table: 'terminal'; 'tile' at the head of the
    # report, with a warning if the interval is wide; compared between the arms of a 'study' or an 'audit'
    shown: Mapping[str, Collection[str]] = field(default_factory=dict)


_MAIN = ("terminal", "tile", "study", "audit")
_PRINTED = {"clip": ("terminal",), "patient": ("terminal",)}

FIGURES: dict[str, Figure] = {
    "auc": Figure(
        "AUC", _auc, "probabilities", classes=(0, 1),
        shown={"clip": _MAIN, "frame": _MAIN, "patient": ("terminal",)},
    ),
    "accuracy": Figure(
        "accuracy",
        lambda of: of.total(of.labels == of.decisions) / of.size,
        shown={"clip": _MAIN, "frame": _MAIN, "patient": ("terminal",)},
    ),
    "sensitivity": Figure(
        "sensitivity", _sensitivity, classes=(1,), shown={**_PRINTED, "clip": ("terminal", "tile")}
    ),
    "specificity": Figure(
        "specificity", _specificity, classes=(0,), shown={**_PRINTED, "clip": ("terminal", "tile")}
    ),
    "ppv": Figure(
        "positive predictive value",
        lambda of: of.total(of.labels * of.decisions) / of.total(of.decisions),
        call=1, shown=_PRINTED,
    ),
    "npv": Figure(
        "negative predictive value",
        lambda of: of.total((1 - of.labels) * (1 - of.decisions)) / of.total(1 - of.decisions),
        call=0, shown=_PRINTED,
    ),
    "balanced_accuracy": Figure(
        "balanced accuracy",
        lambda of: (_sensitivity(of) + _specificity(of)) / 2,
        classes=(0, 1), shown={"frame": ("audit",)},
    ),
    "f1": Figure(
        "F1",
        lambda of: 2 * of.total(of.labels * of.decisions) / of.total(of.labels + of.decisions),
        classes=(1,),
    ),
    "brier": Figure("Brier score", _brier, "probabilities"),
    "ece": Figure("calibration error", _calibration_error, "probabilities"),
}  # fmt: skip
"""All figures, in the order of the tables."""


def key_of(name: str, level: str) -> str:
    """Name of a figure in `summary.json`: that of clips has no level, but for AUC and accuracy."""
    return name if level == "clip" and name not in NAMED_BY_LEVEL else f"{level}_{name}"


def shown_in(place: str, by_level: bool = False) -> list[str]:
    """Names in `summary.json` of the figures that are shown in a place, see `Figure.shown`.

    They are in the order of `FIGURES`; with `by_level`, clips come first, then patients, then frames.
    """
    found = [
        (name, level)
        for name, figure in FIGURES.items()
        for level in _LEVELS
        if place in figure.shown.get(level, ())
    ]
    if by_level:
        found.sort(key=lambda pair: _LEVELS.index(pair[1]))
    return [key_of(*pair) for pair in found]


def score(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
    names: Collection[str] | None = None,
) -> dict[str, float | None]:
    """Figures of some frames or clips.

    Parameters
    ----------
    labels : ndarray, int, shape (n,)
        0 (normal) or 1 (abnormal).
    probabilities : ndarray, float, shape (n,)
        Of "abnormal", 0 to 1.
    decisions : ndarray, int, shape (n,)
        0 or 1. For a clip this is the vote of its frames, which its mean probability need not imply.
    names : collection of str, optional
        In `FIGURES`; all where left out.

    Returns
    -------
    dict of str to float or None
        None where undefined, see `why_undefined`.

    Examples
    --------
    >>> score(np.array([0, 1]), np.array([0.2, 0.9]), np.array([0, 1]))["auc"]
    1.0
    """
    arrays = (np.asarray(values, np.float64) for values in (labels, probabilities, decisions))
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in values_of(Sample(*arrays), names).items()
    }


def values_of(sample: Sample, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Figures of a sample by name, float64, one a resample; NaN where undefined."""
    found = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name in FIGURES if names is None else names:
            defined = sample.size > 0
            for occurs in _occurrences(FIGURES[name], sample.labels, sample.decisions).values():
                defined = defined & (sample.total(occurs) > 0)
            value = FIGURES[name].of(sample) if np.any(defined) else np.nan
            found[name] = np.where(defined, value, np.nan)
    return found


def why_undefined(name: str, labels: np.ndarray, decisions: np.ndarray | None = None) -> str | None:
    """Why a figure has no value for these labels (and decisions, where given), or None if it has one."""
    if not len(labels):
        return "there is nothing to score"
    occurs = _occurrences(FIGURES[name], labels, decisions)
    missing = [what for what, rows in occurs.items() if not np.any(rows)]
    return f"none of {len(labels)} {' or '.join(missing)}" if missing else None


def _occurrences(figure: Figure, labels: np.ndarray, decisions: np.ndarray | None) -> dict[str, np.ndarray]:
    """By what must occur for a figure to be defined, where it does, bool (n,)."""
    found = {f"is {_NAMES[value]}": labels == value for value in figure.classes}
    if figure.call is not None and decisions is not None:
        found[f"was called {_NAMES[figure.call]}"] = decisions == figure.call
    return found


def calibration_bins(probabilities: np.ndarray) -> np.ndarray:
    """Index of the equal-width bin that each probability falls into; 1.0 belongs to the last."""
    return np.minimum((np.asarray(probabilities) * ECE_BINS).astype(np.int64), ECE_BINS - 1)
