"""The page of an experiment, with its figures and the documents that lie beside it.

`write_report` reads a finished results folder and nothing else.
"""

import shlex
from os import PathLike
from pathlib import Path

import pandas as pd

from stenoscope.evaluation.metrics import shown_in
from stenoscope.evaluation.summary import evaluation_levels
from stenoscope.report import figures
from stenoscope.report.documents import write_documents
from stenoscope.report.page import Drawing, Images, write_figures, write_page
from stenoscope.report.sections import call_of, changed_settings, map_title, settings_note
from stenoscope.report.tables import (
    figure_groups,
    figure_names,
    interval_text,
    percent_text,
    summary_warnings,
)
from stenoscope.results.experiment import Experiment, read_experiment
from stenoscope.results.files import CONFIG, HEATMAPS

_OPEN_PER_GROUP = 4
_GROUPS = (
    ("Abnormal, called abnormal", 1, 1),
    ("Abnormal, called normal (missed)", 1, 0),
    ("Normal, called abnormal (false alarm)", 0, 1),
    ("Normal, called normal", 0, 0),
)


def write_report(experiment: str | PathLike) -> Path:
    """Write `report.html`, `figures/*`, `model_card.md` and `checklist.md`; returns the page's path.

    The folder of a finished experiment holds predictions.csv, summary.json, manifest.json, config.yaml, and,
    where they exist, decisions.csv, fold_K/history.csv and heatmaps/<clip id with / replaced by
    __>.<method>.png.
    """
    data = read_experiment(experiment)
    summary = data.summary
    levels = evaluation_levels(data.predictions)
    drawings = _drawings(data, levels)
    write_figures(data.folder, drawings)
    write_documents(data)
    images = Images(data.folder)
    groups = _groups(data, levels["clip"], images)
    changed = changed_settings(data.settings)
    heads = shown_in("tile", by_level=True)
    pages = {name: drawing.page for name, drawing in drawings.items()}
    beside_text = {f"{name}_figure": pages.pop(name, None) for name in ("localisation", "reliability")}
    return write_page(
        data.folder,
        "experiment.html",
        kind="Experiment",
        lead=_lead(summary),
        warnings=summary_warnings(summary),
        summary=summary,
        num_keyframes=data.num_keyframes,
        settings=data.settings,
        heads=heads,
        names=figure_names(),
        figure_groups=figure_groups(),
        prevalence=_prevalence(summary),
        reasons=sorted({f"Not defined in {summary[n]['reason']}." for n in heads if "reason" in summary[n]}),
        figures=list(pages.values()),
        **beside_text,
        groups=groups,
        method=data.methods[0] if data.methods else "",
        montage=f"{HEATMAPS}/montage.png" if (data.folder / HEATMAPS / "montage.png").exists() else None,
        omitted=images.omitted_note(),
        settings_note=settings_note(changed, data.settings),
        changed=changed,
        command=f"python main.py --config {shlex.quote((data.folder / CONFIG).as_posix())}",
    )


def _groups(data: Experiment, clips: pd.DataFrame, images: Images) -> list[dict]:
    """Cards of all clips by truth and decision; default maps take the room before the others do."""
    methods = data.methods
    if not methods:
        return []
    ordered = clips.sort_values(["probability", "clip_id"], ascending=[False, True])
    groups = []
    for title, label, decision in _GROUPS:
        rows = ordered[(ordered["label"] == label) & (ordered["decision"] == decision)]
        if not label:
            rows = rows.iloc[::-1] if not decision else rows  # the surest decision first
        cards = []
        for row in rows.itertuples():
            picture = images.panel(row.clip_id, methods[0])
            if picture:
                cards.append({**call_of(row), "fold": row.fold, **picture, "others": []})
        if cards:
            groups.append({"title": title, "count": len(rows), "cards": cards})
    for card in (card for group in groups for card in group["cards"]):
        for method in methods[1:]:
            picture = images.panel(card["clip_id"], method)
            if picture:
                card["others"].append({"method": map_title(method), **picture})
    for group in groups:
        cards = group.pop("cards")
        group["first"], group["rest"] = cards[:_OPEN_PER_GROUP], cards[_OPEN_PER_GROUP:]
    return groups


def _drawings(data: Experiment, levels: dict[str, pd.DataFrame]) -> dict[str, Drawing]:
    """All figures that the results allow, by file name."""
    summary = data.summary
    result = {
        "roc": Drawing.of(
            "ROC curves",
            "ROC of all test clips and frames. Band: pointwise 95 %, bootstrap over patients.",
            figures.roc_figure, levels, summary,
        ),
        "calibration": Drawing.of(
            "Calibration",
            "Above: share of abnormal clips among those of similar probability (size: number of clips). "
            "Below: probabilities by true class.",
            figures.calibration_figure, levels["clip"], summary,
        ),
        "confusion": Drawing.of(
            "Confusion matrices",
            "Calls by truth, with the share of each true class.",
            figures.confusion_figure, summary["confusion"],
            shape="wide",
        ),
    }  # fmt: skip
    if data.histories:
        result["history"] = Drawing.of(
            "Training history",
            "Loss and accuracy on the augmented training images seen in each epoch. Test clips were used "
            "once, after the last epoch.",
            figures.history_figure,
            data.histories,
            shape="wide",
        )
    if data.decisions is not None:
        result["reliability"] = Drawing.of(
            "Calibration of the decisions",
            "Share of abnormal clips among those of similar probability, before and after calibration. Shaded"
            ": uncertain, by the median thresholds of the folds.",
            figures.reliability_figure,
            data.decisions,
            summary["decisions"],
            shape="broad",
        )
    if summary["localisation"]:
        result["localisation"] = Drawing.of(
            "Localisation",
            "Share of clips whose maximum hits the lesion, with 95 % intervals over patients; grey: null "
            "baselines.",
            figures.localisation_figure,
            summary["localisation"],
            shape="narrow",
        )
    return result


def _prevalence(summary: dict) -> dict[str, str]:
    """Share of abnormal clips, and of patients with one."""
    shares = {}
    for level in ("clip", "patient"):
        cells = summary["confusion"].get(level)  # experiments of earlier versions have none of patients
        abnormal = cells and cells["true_positive"] + cells["false_negative"]
        shares[f"{level}s"] = percent_text(cells and abnormal / sum(cells.values()))
    return shares


def _lead(summary: dict) -> str:
    counts = summary["counts"]
    text = (
        f"{counts['clips']} clips of {counts['patients']} patients ({counts['normal_clips']} normal, "
        f"{counts['abnormal_clips']} abnormal), {len(counts['folds'])} folds by patient."
    )
    auc = summary["clip_auc"]
    if auc["pooled"] is None:
        return f"{text} The clip AUC is undefined."
    return f"{text} Out-of-fold clip AUC {auc['pooled']:.3f}, 95 % interval {interval_text(auc['ci95'])}."
