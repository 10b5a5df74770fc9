"""Calibrated decisions of an experiment, where patients were held out of training to calibrate on."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stenoscope.evaluation.decisions import decide_all, decide_new, summarise_decisions
from stenoscope.results.files import DECISIONS, INNER, read_predictions, read_table, write_table
from stenoscope.settings import TrainingSettings


def decide(experiment: Path, settings: TrainingSettings) -> dict | None:
    """Write `decisions.csv`: every test clip as normal, abnormal or uncertain.

    The folder has `predictions.csv` and `fold_K/inner.csv`; the setting `sensitivity` is the target of the
    second threshold. Returns ``decisions`` of `summary.json` (see
    `evaluation.decisions.summarise_decisions`); None, and no file, where no patients were held out.
    """
    if settings.inner_share == 0:
        return None
    predictions = read_predictions(experiment)
    inner = {
        int(fold): read_table(experiment / f"fold_{fold}" / INNER)
        for fold in sorted(predictions["fold"].unique())
    }
    decisions, calibrations = decide_all(predictions, inner, settings.sensitivity)
    write_table(experiment / DECISIONS, decisions)
    return summarise_decisions(decisions, calibrations, settings.sensitivity, seed=settings.seed)


def decide_new_clips(summary: Mapping, output: Path, predictions: pd.DataFrame) -> pd.DataFrame | None:
    """Write `output/decisions.csv` on new clips, with the typical calibration of an experiment's folds.

    `summary` is that of the experiment, `predictions` as `evaluation.decisions.decide_new` takes them. None,
    and no file, where the experiment has no calibration.
    """
    decisions = summary.get("decisions")
    if decisions is None:
        (output / DECISIONS).unlink(missing_ok=True)  # of an earlier run with another experiment
        return None
    table = decide_new(predictions, decisions["typical"])
    write_table(output / DECISIONS, table)
    return table
