"""Calibrated probabilities, and thresholds: both from patients used in neither training nor test (the inner
split).

The evidence of a clip is the mean of its frames' logits. A temperature divides it, which changes how sure the
network claims to be and nothing of the order of the clips.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from stenoscope.errors import DatasetError
from stenoscope.evaluation.clip_vote import vote

TEMPERATURES = (0.02, 50.0)
"""Bounds of the temperature; at the upper one the evidence carries no information."""

DECISIONS = ("normal", "abnormal", "uncertain")
"""What a clip can be called."""

_SMALLEST = 5e-7  # probabilities are stored with six decimals: a stored 0 or 1 may be this far from it


@dataclass(frozen=True)
class Calibration:
    """What the inner split of one fold taught; thresholds are calibrated probabilities, 0 to 1."""

    temperature: float  # see `fit_temperature`
    youden: float  # threshold of the largest sensitivity + specificity - 1
    sensitive: float  # largest threshold whose sensitivity reaches the target
    specific: float  # smallest threshold whose specificity reaches the same target
    low: float  # a clip below it is normal
    high: float  # a clip from it on is abnormal, between the two uncertain


def clip_evidence(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per clip, as `clip_vote.vote` gives it, with its frames' mean logit as ``logit``."""
    logits = bounded_logit(predictions["probability"]).groupby(predictions["clip_id"]).mean()
    return vote(predictions).assign(logit=lambda clips: clips["clip_id"].map(logits))


def bounded_logit(probabilities):
    """``log(p / (1 - p))``; probabilities of 0 and 1 count as 5e-7 away from them."""
    return logit(np.clip(probabilities, _SMALLEST, 1 - _SMALLEST))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that makes ``sigmoid(logit / T)`` most likely, within `TEMPERATURES`.

    `logits`, float (n,), are the evidence of each clip; `labels`, (n,), 0 or 1, and both occur. T is above 1
    where the network is too sure, below 1 where it is too timid.

    Guo et al. 2017, "On calibration of modern neural networks", section 4.2. The labels are replaced by the
    targets of Platt 1999, section 2.2, ``(n_1 + 1) / (n_1 + 2)`` and ``1 / (n_0 + 2)``: if a few dozen inner
    clips happen to be separated perfectly, hard labels would ask for a temperature of zero.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    _need_both_classes(labels)
    count = {value: int((labels == value).sum()) for value in (0, 1)}
    target = np.where(labels == 1, (count[1] + 1) / (count[1] + 2), 1 / (count[0] + 2))

    def loss(log_temperature: float) -> float:
        return cross_entropy(logits / np.exp(log_temperature), target).mean()

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``-label log p - (1 - label) log (1 - p)`` of each logit, in nats; large logits do not overflow."""
    return np.logaddexp(0.0, logits) - labels * logits


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probability of "abnormal" at a temperature, 0 to 1."""
    return expit(np.asarray(logits, np.float64) / temperature)


def calibrate(logits: np.ndarray, labels: np.ndarray, target: float) -> Calibration:
    """Fit the temperature and choose the thresholds on inner clips: logits and labels (0 or 1), shape (n,).

    `target` is the sensitivity that the second threshold must reach on these clips, and the specificity of
    the third. Candidates for a threshold lie half-way between neighbouring probabilities; equally good ones
    are decided for the more sensitive. Where the evidence is so good that one threshold reaches the target
    for both, there is no uncertain range: Youden's threshold is used, moved into the range that does. Raises
    DatasetError if a class does not occur.
    """
    labels = np.asarray(labels)
    temperature = fit_temperature(logits, labels)
    probabilities = calibrated(logits, temperature)
    values = np.unique(probabilities)
    candidates = np.r_[0.0, (values[1:] + values[:-1]) / 2, 1.0]
    called = probabilities[:, None] >= candidates
    sensitivity = called[labels == 1].mean(axis=0)  # falls along the candidates
    specificity = 1 - called[labels == 0].mean(axis=0)  # rises
    youden = candidates[np.argmax(np.round(sensitivity + specificity, 9))]
    sensitive = candidates[np.flatnonzero(sensitivity >= target - 1e-9)[-1]]
    specific = candidates[np.flatnonzero(specificity >= target - 1e-9)[0]]
    if specific > sensitive:
        low, high = sensitive, specific
    else:
        low = high = np.clip(youden, specific, sensitive)
    return Calibration(temperature, *map(float, (youden, sensitive, specific, low, high)))


def decide(probabilities: np.ndarray, low: float, high: float) -> np.ndarray:
    """What each clip is called, by its calibrated probability; array of str from `DECISIONS`."""
    probabilities = np.asarray(probabilities)
    return np.select([probabilities < low, probabilities >= high], DECISIONS[:2], DECISIONS[2])


def _need_both_classes(labels: np.ndarray) -> None:
    if not {0, 1} <= set(np.unique(labels).tolist()):
        raise DatasetError(
            f"The inner split has {int((labels == 0).sum())} normal and {int((labels == 1).sum())} abnormal "
            "clips.",
            "both classes, to calibrate and to choose thresholds on",
            "raise inner_share, or set it to 0 to do without.",
        )
