"""Calibrated decisions on the test clips, with what the inner split of their own fold taught, and how good
they are."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from stenoscope.errors import DatasetError
from stenoscope.evaluation.calibration import (
    DECISIONS,
    Calibration,
    bounded_logit,
    calibrate,
    calibrated,
    clip_evidence,
    cross_entropy,
    decide,
)
from stenoscope.evaluation.clip_vote import check_predictions
from stenoscope.evaluation.intervals import RESAMPLES, SEED, bootstrap_patients, bootstrap_statistic
from stenoscope.evaluation.metrics import THRESHOLD, score

COLUMNS = (
    "fold", "patient_id", "clip_id", "label", "probability", "calibrated",
    "decision_youden", "decision_sensitivity", "decision",
)  # fmt: skip
"""Columns of decisions.csv, one row per test clip."""


def decide_all(
    predictions: pd.DataFrame, inner: Mapping[int, pd.DataFrame], target: float
) -> tuple[pd.DataFrame, dict[int, Calibration]]:
    """Decide every test clip of predictions.csv with the calibration of its fold; returns both.

    `inner` has by fold the same columns: the fold's model on patients held out of its training. `target` is
    as in `calibration.calibrate`. The decisions have the columns `COLUMNS`: ``probability`` is the mean over
    the frames, ``calibrated`` that of the mean logit at the fold's temperature (six decimals, like all
    probabilities); the two decisions by one threshold are 0 or 1, ``decision`` is one of
    `calibration.DECISIONS`.

    Raises DatasetError if a fold has no inner split, a patient is in the inner split and the test part of one
    fold, or an inner split lacks a class.
    """
    check_predictions(predictions)
    tables, calibrations = [], {}
    for fold, clips in clip_evidence(predictions).groupby("fold", sort=True):
        if fold not in inner:
            raise DatasetError(f"No inner split for fold {fold}.", "one for every fold", "run it again.")
        check_predictions(inner[fold])
        held_out = clip_evidence(inner[fold])
        shared = set(held_out["patient_id"]) & set(clips["patient_id"])
        if shared:
            raise DatasetError(
                f"{len(shared)} patients are in the inner split and in the test part of fold {fold}.",
                "thresholds chosen and tested on different patients",
                "train the experiment again with --overwrite.",
            )
        chosen = calibrations[int(fold)] = calibrate(held_out["logit"], held_out["label"], target)
        probability = calibrated(clips["logit"], chosen.temperature)
        tables.append(
            clips.assign(
                probability=clips["probability"].round(6),
                calibrated=probability.round(6),
                decision_youden=(probability >= chosen.youden).astype(np.int64),
                decision_sensitivity=(probability >= chosen.sensitive).astype(np.int64),
                decision=decide(probability, chosen.low, chosen.high),
            )[[*COLUMNS]]
        )
    return pd.concat(tables, ignore_index=True), calibrations


def summarise_decisions(
    decisions: pd.DataFrame,
    calibrations: Mapping[int, Calibration],
    target: float,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict:
    """What `summary.json` holds of the decisions and calibrations of `decide_all`.

    The bootstrap over patients leaves temperatures and thresholds as they are. The keys are ``target``;
    ``folds`` (the calibration of each) and ``typical`` (see `typical_calibration`: for new clips);
    ``calibration`` with ``before`` (mean probability of the frames) and ``after`` (sigmoid of their mean
    logit over the temperature: the two differ by more than the temperature), each ``brier``, ``ece`` and
    ``nll`` (nats a clip); ``youden`` and ``sensitive`` with ``accuracy, sensitivity, specificity`` at that
    threshold; ``three_way`` with the share ``uncertain``, ``accuracy, sensitivity, specificity`` of the other
    clips, and ``counts``. All metrics are ``{pooled, ci95}``, None where undefined.
    """
    labels = decisions["label"].to_numpy()
    patients = decisions["patient_id"].to_numpy(dtype=str)

    def scored(names, probabilities, called, rows=slice(None)) -> dict:
        what = labels[rows], np.asarray(probabilities)[rows], np.asarray(called)[rows]
        if not len(what[0]):
            return {name: _figure(None, None) for name in names}
        values = score(*what, names)
        intervals = bootstrap_patients(*what, patients[rows], resamples, seed, names)
        return {name: _figure(values[name], intervals[name].bounds) for name in names}

    def mean(values) -> dict:
        values = np.asarray(values, np.float64)
        interval = bootstrap_statistic(values, patients, "mean", resamples, seed)
        return _figure(float(values.mean()), interval.bounds)

    def reliability(probabilities: pd.Series) -> dict:
        nll = mean(cross_entropy(bounded_logit(probabilities), labels))
        return {**scored(("brier", "ece"), probabilities, probabilities >= THRESHOLD), "nll": nll}

    at = ("accuracy", "sensitivity", "specificity")
    sure = (decisions["decision"] != "uncertain").to_numpy()
    abnormal = (decisions["decision"] == "abnormal").to_numpy(np.int64)
    return {
        "target": target,
        "folds": [{"fold": fold, **asdict(chosen)} for fold, chosen in calibrations.items()],
        "typical": asdict(typical_calibration(calibrations)),
        "calibration": {
            "before": reliability(decisions["probability"]),
            "after": reliability(decisions["calibrated"]),
        },
        "youden": scored(at, decisions["calibrated"], decisions["decision_youden"]),
        "sensitive": scored(at, decisions["calibrated"], decisions["decision_sensitivity"]),
        "three_way": {
            "uncertain": mean(~sure),
            **scored(at, decisions["calibrated"], abnormal, sure),
            "counts": {
                truth: {
                    name: int(((decisions["decision"] == name) & (labels == label)).sum())
                    for name in DECISIONS
                }
                for label, truth in enumerate(DECISIONS[:2])
            },
        },
    }


def decide_new(predictions: pd.DataFrame, typical: Mapping[str, float]) -> pd.DataFrame:
    """Decide new clips by all folds' models together, with the typical calibration of the folds.

    `predictions` has a row per frame: clip_id, probability (mean of the models), and the models' own as
    ``fold_K``. `typical` is that of `summarise_decisions`. One row per clip in order of appearance: clip_id,
    probability, calibrated, decision. The evidence is the mean logit over frames and models. The calibration
    was fitted to single models, not to their mean.
    """
    models = [name for name in predictions.columns if name.startswith("fold_")]
    evidence = bounded_logit(predictions[models]).mean(axis=1)
    clips = (
        predictions.assign(evidence=evidence)
        .groupby("clip_id", sort=False)[["probability", "evidence"]]
        .mean()
        .reset_index()
    )
    probability = calibrated(clips.pop("evidence"), typical["temperature"])
    return clips.round(6).assign(
        calibrated=probability.round(6), decision=decide(probability, typical["low"], typical["high"])
    )


def typical_calibration(calibrations: Mapping[int, Calibration]) -> Calibration:
    """Median of the folds, for new clips that all folds' models judge.

    Thresholds are compared as evidence, ``T logit(threshold)``: the same calibrated probability means another
    evidence at another temperature. The median is robust to single folds with uninformative inner clips.
    """
    temperature = float(np.median([chosen.temperature for chosen in calibrations.values()]))
    thresholds = {}
    for name in ("youden", "sensitive", "specific", "low", "high"):
        evidence = [
            chosen.temperature * bounded_logit(getattr(chosen, name)) for chosen in calibrations.values()
        ]
        thresholds[name] = float(calibrated(np.median(evidence), temperature))
    return Calibration(temperature, **thresholds)


def _figure(value: float | None, bounds) -> dict:
    return {"pooled": value, "ci95": None if value is None else bounds}
