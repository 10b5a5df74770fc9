"""How much a search gained: the inner score that settings were chosen by, and the outer score on others.

The best of many inner scores is too high, as it was chosen for being high; the score of the chosen settings
on the outer fold's test part is not (Varma S, Simon R 2006, "Bias in error estimation when using
cross-validation for model selection", BMC Bioinformatics 7:91).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stenoscope.evaluation.intervals import RESAMPLES, SEED, bootstrap_patients
from stenoscope.evaluation.summary import evaluation_levels, paired_difference

SCHEMA, VERSION = "stenoscope/tuning-summary", 1
METRIC = "clip_auc"
IMPORTANCE = "fANOVA (Hutter et al. 2014)"


@dataclass(frozen=True)
class FoldOutcome:
    """What the search of one outer fold found."""

    fold: int
    states: dict[str, int]  # how many trials were complete, pruned, failed
    chosen: dict  # values of the searched settings
    inner: float  # inner score of the chosen settings
    default_inner: float | None  # of the default settings: those the search began from
    predictions: pd.DataFrame  # of the outer fold's test part, as predictions.csv, like the next
    default_predictions: pd.DataFrame
    importance: dict[str, float] | None
    # how many settings other than the default this test part has scored; more than one where a search went on
    # after its choice had been tested
    tested: int


def summarise_nested(outcomes: Sequence[FoldOutcome], inner_folds: int, default: dict) -> dict:
    """Everything that the study's `summary.json` holds.

    `outcomes` has one entry per outer fold; `default` holds the values of the searched settings that the
    search began from. The result has ``folds`` (a list) and ``pooled``, each with ``inner``,
    ``default_inner`` (their means over folds where pooled), ``outer`` and ``default_outer`` (``{value, ci95,
    patients, clips}``), ``optimism`` (inner - outer) and ``difference`` (chosen - default on the same clips,
    as from `paired_difference`); ``importance``, the mean over folds; ``best_fold``, the one with the highest
    inner score.
    """
    importances = [outcome.importance for outcome in outcomes if outcome.importance]
    folds = [
        {
            "fold": outcome.fold,
            "trials": outcome.states,
            "chosen": outcome.chosen,
            "importance": outcome.importance,
            "tested": outcome.tested,
            **_scores(outcome.inner, outcome.default_inner, outcome.predictions, outcome.default_predictions),
        }
        for outcome in outcomes
    ]
    defaults = [outcome.default_inner for outcome in outcomes]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "metric": METRIC,
        "inner_folds": inner_folds,
        "default": default,
        "folds": folds,
        "pooled": _scores(
            float(np.mean([outcome.inner for outcome in outcomes])),
            None if None in defaults else float(np.mean(defaults)),
            pd.concat([outcome.predictions for outcome in outcomes]),
            pd.concat([outcome.default_predictions for outcome in outcomes]),
        ),
        "importance": {
            "method": IMPORTANCE,
            "values": {name: float(np.mean([one[name] for one in importances])) for name in default}
            if importances
            else None,
        },
        "best_fold": max(outcomes, key=lambda outcome: (outcome.inner, -outcome.fold)).fold,
        "bootstrap": {"over": "patients", "resamples": RESAMPLES, "seed": SEED, "interval": "percentile"},
    }


def nested_table(summary: dict) -> pd.DataFrame:
    """The metrics of `summarise_nested`, a row per outer fold and one pooled: nested.csv."""

    def row(name: str, scores: dict) -> dict:
        outer, default, gap = scores["outer"], scores["default_outer"], scores["difference"]
        return {
            "fold": name,
            "patients": outer["patients"],
            "clips": outer["clips"],
            "inner": scores["inner"],
            "outer": outer["value"],
            **_bounds("outer", outer["ci95"]),
            "optimism": scores["optimism"],
            "default_inner": scores["default_inner"],
            "default_outer": default["value"],
            **_bounds("default_outer", default["ci95"]),
            "difference": gap["difference"],
            **_bounds("difference", gap["ci95"]),
        }

    rows = [row(str(fold["fold"]), fold) for fold in summary["folds"]]
    return pd.DataFrame([*rows, row("pooled", summary["pooled"])])


def _scores(
    inner: float, default_inner: float | None, predictions: pd.DataFrame, default_predictions: pd.DataFrame
) -> dict:
    gap = paired_difference(default_predictions, predictions, METRIC)
    return {
        "inner": inner,
        "default_inner": default_inner,
        "outer": _outer(predictions, gap["b"]),
        "default_outer": _outer(default_predictions, gap["a"]),
        "optimism": inner - gap["b"],
        "difference": gap,
    }


def _outer(predictions: pd.DataFrame, value: float) -> dict:
    clips = evaluation_levels(predictions)["clip"]
    columns = (clips[name].to_numpy() for name in ("label", "probability", "decision"))
    interval = bootstrap_patients(*columns, clips["patient_id"].to_numpy(dtype=str), names=["auc"])["auc"]
    counts = {"patients": int(clips["patient_id"].nunique()), "clips": len(clips)}
    return {"value": value, "ci95": interval.bounds, **counts}


def _bounds(name: str, bounds: list[float] | None) -> dict[str, float | None]:
    low, high = bounds or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}
