"""Metrics of binary predictions, for frames and for clips alike."""

import numpy as np
from sklearn import metrics as sk

THRESHOLD = 0.5
"""Probability from which on a frame or clip is called abnormal; fixed, not tuned."""

ECE_BINS = 10
"""Equal-width bins of the expected calibration error."""

NEEDS_CLASSES: dict[str, tuple[int, ...]] = {
    "accuracy": (),
    "auc": (0, 1),
    "sensitivity": (1,),
    "specificity": (0,),
    "f1": (1,),
    "balanced_accuracy": (0, 1),
    "ppv": (),
    "npv": (),
    "brier": (),
    "ece": (),
}
"""All metrics, and the classes that must occur for each to be defined."""

_NEEDS_CALLS = {"ppv": 1, "npv": 0}
"""Metrics that are shares of what was called so, and the call that must occur."""

_NAMES = {0: "normal", 1: "abnormal"}


def score(labels: np.ndarray, probabilities: np.ndarray, decisions: np.ndarray) -> dict[str, float | None]:
    """All metrics of some frames or clips.

    Parameters
    ----------
    labels : ndarray, int, shape (n,)
        0 (normal) or 1 (abnormal).
    probabilities : ndarray, float, shape (n,)
        Of "abnormal", 0 to 1.
    decisions : ndarray, int, shape (n,)
        0 or 1. For a clip this is the vote of its frames, which its mean probability need not imply.

    Returns
    -------
    dict of str to float or None
        ``accuracy``, ``sensitivity`` (recall of the abnormal), ``specificity`` (recall of the normal),
        ``f1``, ``balanced_accuracy``, ``ppv`` and ``npv`` (share of those called abnormal, or normal, that
        are so) of the decisions; ``auc``, ``brier`` (mean squared error) and ``ece`` of the
        probabilities. None where undefined, see `why_undefined`.

    Examples
    --------
    >>> score(np.array([0, 1]), np.array([0.2, 0.9]), np.array([0, 1]))["auc"]
    1.0
    """
    calculate = {
        "accuracy": lambda: sk.accuracy_score(labels, decisions),
        "auc": lambda: sk.roc_auc_score(labels, probabilities),
        "sensitivity": lambda: sk.recall_score(labels, decisions, pos_label=1),
        "specificity": lambda: sk.recall_score(labels, decisions, pos_label=0),
        "f1": lambda: sk.f1_score(labels, decisions),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(labels, decisions),
        "ppv": lambda: sk.precision_score(labels, decisions, pos_label=1),
        "npv": lambda: sk.precision_score(labels, decisions, pos_label=0),
        "brier": lambda: sk.brier_score_loss(labels, probabilities, pos_label=1),
        "ece": lambda: expected_calibration_error(labels, probabilities),
    }
    return {
        name: None if why_undefined(name, labels, decisions) else float(calculate[name]())
        for name in NEEDS_CLASSES
    }


def why_undefined(metric: str, labels: np.ndarray, decisions: np.ndarray | None = None) -> str | None:
    """Why a metric has no value for these labels (and decisions, where given), or None if it has one."""
    if not len(labels):
        return "there is nothing to score"
    missing = [_NAMES[value] for value in NEEDS_CLASSES[metric] if not np.any(labels == value)]
    if missing:
        return f"none of {len(labels)} is {' or '.join(missing)}"
    call = _NEEDS_CALLS.get(metric)
    if call is None or decisions is None or np.any(decisions == call):
        return None
    return f"none of {len(labels)} was called {_NAMES[call]}"


def calibration_bins(probabilities: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """Index of the equal-width bin that each probability falls into; 1.0 belongs to the last."""
    return np.minimum((np.asarray(probabilities) * bins).astype(np.int64), bins - 1)


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> float:
    """Mean distance between predicted and observed frequency of "abnormal", weighted by bin size.

    Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning", for the probability
    of one class: ``sum_b |sum_{i in b} (label_i - probability_i)| / n``.
    """
    gaps = np.bincount(calibration_bins(probabilities, bins), weights=labels - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
