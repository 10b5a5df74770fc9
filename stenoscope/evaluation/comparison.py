"""Several experiments compared: the arms of a study, and the arms of a leakage audit."""

from collections.abc import Collection, Mapping

import pandas as pd

from stenoscope.evaluation.intervals import RESAMPLES, SEED
from stenoscope.evaluation.metrics import shown_in
from stenoscope.evaluation.summary import paired_difference, summarise

COLUMNS = (
    "arm", "figure", "mean", "std", "pooled", "low", "high",
    "difference", "difference_low", "difference_high",
)  # fmt: skip
"""Columns of study.csv and audit.csv."""

_KEPT = ("mean", "std", "pooled", "ci95", "per_fold", "reason")


def compare_arms(
    arms: Mapping[str, pd.DataFrame],
    kind: str = "study",
    mixed: Collection[str] = (),
    unpaired: Collection[str] = (),
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict:
    """The main metrics of every arm, and its difference to the first.

    `arms` has predictions by arm, as predictions.csv, of the same clips. `kind` is ``study`` or ``audit``:
    those figures are compared that `metrics.shown_in` gives. Of a study these are AUC and accuracy of clips
    and frames, as Moon et al. 2021 report them. The folds of `mixed` arms split clips, so that one clip has
    frames in several folds: figures of single folds would not be of clips, and are left out. `unpaired` arms
    have other labels, and no difference to the first. All arms meet the same resampled patients.

    Returns ``arms``: by arm and figure ``{mean, std, pooled, ci95, per_fold, difference}``, where
    ``difference`` is ``{value, ci95, share_above_zero}`` of this arm less the first (pooled), None for the
    first and for `unpaired`; ``counts`` and ``bootstrap`` as in `summary.summarise`.
    """
    first = next(iter(arms))
    how = {"resamples": resamples, "seed": seed}
    result: dict = {"arms": {}}
    for arm, predictions in arms.items():
        whole = arm not in mixed
        summary = summarise(predictions, **how, whole_clips=whole)
        if arm == first:
            result |= {"counts": summary["counts"], "bootstrap": summary["bootstrap"]}
        rows = result["arms"][arm] = {}
        for name in shown_in(kind):
            rows[name] = {key: summary[name][key] for key in _KEPT if key in summary[name]}
            if not whole:
                rows[name] |= {"mean": None, "std": None, "per_fold": []}
            rows[name]["difference"] = None
            if arm != first and arm not in unpaired:
                gap = paired_difference(arms[first], predictions, name, **how, whole_clips=whole)
                kept = {key: gap[key] for key in ("ci95", "share_above_zero")}
                rows[name]["difference"] = {"value": gap["difference"], **kept}
    return result


def comparison_table(arms: Mapping[str, Mapping[str, Mapping]]) -> pd.DataFrame:
    """One row per arm and figure of ``arms`` of `compare_arms`: `COLUMNS`; what is undefined is empty."""
    rows = []
    for arm, figures in arms.items():
        for name, row in figures.items():
            gap = row["difference"] or {"value": None, "ci95": None}
            own = (row["mean"], row["std"], row["pooled"], *(row["ci95"] or (None, None)))
            rows.append((arm, name, *own, gap["value"], *(gap["ci95"] or (None, None))))
    return pd.DataFrame(rows, columns=COLUMNS)
