"""The documents beside a report: a model card and a draft of the reporting checklists, in Markdown.

They hold counts, settings and metrics; no ids, no paths and nothing of any patient.
"""

from pathlib import Path

from stenoscope.evaluation.metrics import FIGURES, shown_in
from stenoscope.report.page import render
from stenoscope.report.sections import decision_rows, input_rows, localisation_rows, metric_row
from stenoscope.report.tables import figure_names, interval_text, number_text
from stenoscope.results.experiment import Experiment
from stenoscope.run.provenance import write_text

MODEL_CARD, CHECKLIST = "model_card.md", "checklist.md"

AUTHOR = "*to be filled in by the author*"
"""Stands where the run knows nothing."""


def write_documents(data: Experiment) -> list[Path]:
    """Write `model_card.md` and `checklist.md` of an experiment; returns their paths."""
    facts = _facts(data)
    paths = []
    for name in (MODEL_CARD, CHECKLIST):
        write_text(data.folder / name, render(name, **facts))
        paths.append(data.folder / name)
    return paths


def _facts(data: Experiment) -> dict:
    """All that the two templates say of a run."""
    summary, settings, manifest = data.summary, data.settings, data.manifest
    names = figure_names()
    counts, decisions = summary["counts"], decision_rows(summary.get("decisions"), settings)
    weights = {"imagenet": "ImageNet weights", "none": "random weights"}.get(
        settings["weights"], "weights from a file"
    )
    data_text = (
        f"{counts['clips']} clips of {counts['patients']} patients ({counts['normal_clips']} normal, "
        f"{counts['abnormal_clips']} abnormal clips)"
    )
    partition = f"{len(counts['folds'])} folds, stratified by label, grouped by patient, drawn once and saved"
    if decisions:
        partition += f"; {decisions['share']} of each training part held out to calibrate on"
    return {
        "author": AUTHOR,
        "name": _cell(data.folder.resolve().name),
        "settings": {
            name: _cell(value) if isinstance(value, str) else value for name, value in settings.items()
        },
        "weights": weights,
        "counts": counts,
        "bootstrap": summary["bootstrap"],
        "threshold": summary["threshold"],
        "metrics": [metric_row(name, key, summary[key]) for key, name in names.items() if key in summary],
        "decisions": decisions,
        "localisation": localisation_rows(summary["localisation"]),
        "inputs": input_rows(manifest),
        "commit": manifest.get("git_commit") or "unknown",
        "versions": ", ".join(f"{name} {value}" for name, value in manifest.get("versions", {}).items()),
        "methods": ", ".join(data.methods) or "none drawn",
        "data": data_text,
        "partition": partition,
        "model": (
            f"{settings['backbone']} ({weights}), attention {settings['attention']}, pooling "
            f"{settings['pooling']}, input {settings['image_size']} x {settings['image_size']}"
        ),
        "preprocessing": (
            "grey levels after modality and VOI look-up, vessels dark, 512 x 512; five key frames a clip; "
            + ("black top-hat; " if settings["enhance"] == "black_tophat" else "")
            + ("mean image of the training part subtracted" if settings["subtract_mean"] else "no mean image")
        ),
        "training": _training(settings),
        "imbalance": (
            "classes weighed inversely to their frequency in the training part"
            if settings["class_weights"]
            else "nothing was done about it"
        ),
        "performance": ", ".join(
            f"{names[key]} {_with_interval(summary[key])}" for key in shown_in("tile", by_level=True)
        ),
        "figures": ", ".join(figure.name for figure in FIGURES.values()),
        "sensitivity": _with_interval(summary["sensitivity"]),
        "specificity": _with_interval(summary["specificity"]),
        "calibration": (
            "Brier score {} before and {} after calibration".format(
                *(
                    _with_interval(summary["decisions"]["calibration"][when]["brier"])
                    for when in ("before", "after")
                )
            )
            if decisions
            else "none"
        ),
    }


def _training(settings: dict) -> str:
    parts = [
        f"{settings['epochs']} epochs",
        f"{settings['optimizer']}, learning rate {settings['learning_rate']} ({settings['schedule']})",
        f"batch {settings['batch_size']}",
        "augmented by crops, grey offsets"
        + (", flips" if settings["flip"] else "")
        + (", shifts" if settings["shift"] else "")
        if settings.get("augmentation", True)
        else "no augmentation",
    ]
    return ", ".join(parts + ["synthetic narrowings of normal frames"] * settings["narrowings"])


def _with_interval(figure: dict) -> str:
    return f"{number_text(figure['pooled'])} ({interval_text(figure['ci95'])})"


def _cell(text: str) -> str:
    """A name that breaks no table."""
    return text.replace("|", "/").replace("\n", " ")
