"""All figures of an experiment from its predictions, and the difference between two experiments."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from stenoscope.errors import DatasetError, unknown_name
from stenoscope.evaluation.clip_vote import check_predictions, vote, vote_of_patients
from stenoscope.evaluation.intervals import (
    RESAMPLES,
    SEED,
    bootstrap_patients,
    percentile_interval,
    resampled_scores,
)
from stenoscope.evaluation.localisation import summarise_localisation
from stenoscope.evaluation.metrics import FIGURES, THRESHOLD, Figure, key_of, score, why_undefined

SCHEMA, VERSION = "stenoscope/summary", 1

_FIRST = ("accuracy", "auc", "sensitivity", "specificity", "f1", "balanced_accuracy")
"""Order of version 1; figures that are not named here come after these, in the order of `FIGURES`."""


def summary_keys() -> dict[str, tuple[str, str]]:
    """Names in the summary, and what they mean: of frames, clips or patients, and which figure.

    A name without ``frame_``, ``clip_`` or ``patient_`` is clip-wise: `sensitivity` is that of clips.
    Patients are called by the vote of their clips, or under ``patient_mean_`` by the mean of the clips'
    probabilities: another call, but the same probability.
    """
    names = sorted(FIGURES, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    pairs = [
        *((level, name) for name in names[:2] for level in ("frame", "clip")),
        *((level, name) for level in ("clip", "frame") for name in names[2:]),
        *((level, name) for level in ("patient", "patient_mean") for name in names),
    ]
    return {key_of(name, level): (level, name) for level, name in pairs if _is_given(FIGURES[name], level)}


def _is_given(figure: Figure, level: str) -> bool:
    if level == "patient_mean":
        return "patient" in figure.levels and figure.needs == "decisions"
    return level in figure.levels


def summarise(
    predictions: pd.DataFrame,
    localisation: pd.DataFrame | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    whole_clips: bool = True,
) -> dict:
    """Everything that `summary.json` holds.

    Parameters
    ----------
    predictions : DataFrame
        Columns fold, patient_id, clip_id, frame_index, label, probability: every test frame once.
    localisation : DataFrame, optional
        As `localisation.summarise_localisation` takes it; None where no lesion is known.
    resamples, seed : int
        Of the bootstrap over patients.
    whole_clips : bool
        As in `clip_vote.check_predictions`.

    Returns
    -------
    dict
        For every name in `summary_keys` ``{mean, std, pooled, ci95, per_fold, skipped}``: mean and standard
        deviation (n - 1) over the folds where it is defined, the value of all test predictions pooled, its
        95 % interval ``[low, high]``, and the resamples the interval had to skip; None with a ``reason``
        where undefined. Beside them ``counts``, ``confusion``, ``threshold``, ``bootstrap`` and
        ``localisation`` (None where no lesion is known).

    Raises
    ------
    DatasetError
        As `clip_vote.check_predictions`, for example if a clip was tested by two folds.
    """
    check_predictions(predictions, whole_clips)
    levels = evaluation_levels(predictions)
    scored = {
        level: {
            "pooled": _score(table),
            "folds": {fold: _score(part) for fold, part in table.groupby("fold")},
            "intervals": bootstrap_patients(*_columns(table), _patients(table), resamples, seed),
        }
        for level, table in levels.items()
    }
    figures = {
        name: _figure(metric, scored[level], levels[level])
        for name, (level, metric) in summary_keys().items()
    }
    return {
        "schema": SCHEMA,
        "version": VERSION,
        **figures,
        "counts": _counts(levels["clip"], levels["frame"]),
        "confusion": {level: _confusion(table) for level, table in levels.items()},
        "threshold": THRESHOLD,
        "bootstrap": {"over": "patients", "resamples": resamples, "seed": seed, "interval": "percentile"},
        "localisation": None
        if localisation is None
        else summarise_localisation(localisation, resamples, seed),
    }


def evaluation_levels(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables ``frame``, ``clip``, ``patient`` and ``patient_mean``, each with label, probability, decision.

    The last two differ in the decision alone: by the vote of the patient's clips, or by their mean.
    """

    def by_probability(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(decision=(table["probability"] >= THRESHOLD).astype(np.int64))

    clips = vote(predictions)
    patients = vote_of_patients(clips)
    return {
        "frame": by_probability(predictions),
        "clip": clips,
        "patient": patients,
        "patient_mean": by_probability(patients),
    }


def paired_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    metric: str = "clip_auc",
    resamples: int = RESAMPLES,
    seed: int = SEED,
    whole_clips: bool = True,
) -> dict:
    """Difference B - A of a pooled metric between two experiments on the same clips.

    Parameters
    ----------
    predictions_a, predictions_b : DataFrame
        As in `summarise`; of the same clips, patients and labels.
    metric : str
        A name in `summary_keys`.
    resamples, seed : int
    whole_clips : bool
        As in `clip_vote.check_predictions`.

    Returns
    -------
    dict
        ``metric, a, b, difference, ci95, skipped, share_above_zero`` (of the resamples, ties half); both
        experiments see the same resampled patients. Values are None where undefined.

    Raises
    ------
    DatasetError
        If the two do not cover the same clips with the same labels and patients.
    """
    keys_known = summary_keys()
    if metric not in keys_known:
        raise unknown_name("metric", metric, keys_known)
    level, name = keys_known[metric]
    tables, keys = [], ["clip_id", "patient_id", "label"][level.startswith("patient") :]
    for predictions in (predictions_a, predictions_b):
        check_predictions(predictions, whole_clips)
        table = evaluation_levels(predictions)[level]
        tables.append(table.sort_values(keys, kind="stable").reset_index(drop=True))
    a, b = tables
    if len(a) != len(b) or not (a[keys].astype(str) == b[keys].astype(str)).all(axis=None):
        only = sorted(set(a[keys[0]]) ^ set(b[keys[0]]))
        raise DatasetError(
            f"Two experiments with {len(a)} and {len(b)} rows; {keys[0]} in one only: {only[:3]}.",
            "the same clips with the same labels and patients",
            "run both on the same folds.",
        )
    before, after = (
        resampled_scores(*_columns(table), _patients(table), resamples, seed, [name])[name]
        for table in tables
    )
    gaps = after - before
    interval = percentile_interval(gaps)
    finite = gaps[np.isfinite(gaps)]
    first, second = (_score(table, [name])[name] for table in tables)
    return {
        "metric": metric,
        "a": first,
        "b": second,
        "difference": None if first is None else second - first,
        "ci95": interval.bounds,
        "skipped": interval.skipped,
        "share_above_zero": float((np.sign(finite).mean() + 1) / 2) if len(finite) else None,
    }


def _score(table: pd.DataFrame, names: Collection[str] | None = None) -> dict[str, float | None]:
    return score(*_columns(table), names)


def _columns(table: pd.DataFrame) -> list[np.ndarray]:
    return [table[name].to_numpy() for name in ("label", "probability", "decision")]


def _patients(table: pd.DataFrame) -> np.ndarray:
    return table["patient_id"].to_numpy(dtype=str)


def _figure(metric: str, scored: dict, table: pd.DataFrame) -> dict:
    per_fold = [values[metric] for values in scored["folds"].values()]
    defined = [value for value in per_fold if value is not None]
    interval = scored["intervals"][metric]
    pooled = scored["pooled"][metric]
    result = {
        "mean": float(np.mean(defined)) if defined else None,
        "std": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "pooled": pooled,
        "ci95": None if pooled is None else interval.bounds,
        "per_fold": per_fold,
        "skipped": interval.skipped,
    }
    reasons = [
        f"fold {fold}: {why}"
        for fold, part in table.groupby("fold")
        if (why := why_undefined(metric, part["label"].to_numpy(), part["decision"].to_numpy()))
    ]
    return {**result, "reason": "; ".join(reasons)} if reasons else result


def _counts(clips: pd.DataFrame, frames: pd.DataFrame) -> dict:
    def count(of_clips: pd.DataFrame, of_frames: pd.DataFrame) -> dict:
        return {
            "patients": int(of_clips["patient_id"].nunique()),
            "clips": len(of_clips),
            "normal_clips": int((of_clips["label"] == 0).sum()),
            "abnormal_clips": int((of_clips["label"] == 1).sum()),
            "frames": len(of_frames),
        }

    per_fold = [
        {"fold": int(fold), **count(part, frames[frames["fold"] == fold])}
        for fold, part in clips.groupby("fold")
    ]
    return {**count(clips, frames), "folds": per_fold}


def _confusion(table: pd.DataFrame) -> dict[str, int]:
    names = {
        "true_negative": (0, 0),
        "false_positive": (0, 1),
        "false_negative": (1, 0),
        "true_positive": (1, 1),
    }
    return {
        name: int(((table["label"] == label) & (table["decision"] == decision)).sum())
        for name, (label, decision) in names.items()
    }
