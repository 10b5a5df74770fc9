"""The documents beside a report: a model card and a draft of the reporting checklists, in Markdown.

They hold counts, settings and metrics; no ids, no paths and nothing of any patient.
"""

from pathlib import Path

from stenoscope.evaluation.metrics import FIGURES, shown_in
from stenoscope.report.page import render
from stenoscope.report.sections import inputs_of, versions_of
from stenoscope.report.tables import figure_names
from stenoscope.results.experiment import Experiment
from stenoscope.roles import augmentations
from stenoscope.run.provenance import write_text
from stenoscope.settings import TrainingSettings

MODEL_CARD, CHECKLIST = "model_card.md", "checklist.md"

AUTHOR = "*to be filled in by the author*"
"""Stands where the run knows nothing."""


def write_documents(data: Experiment) -> list[Path]:
    """Write `model_card.md` and `checklist.md` of an experiment; returns their paths."""
    weights = {"imagenet": "ImageNet weights", "none": "random weights"}
    facts = {
        "author": AUTHOR,
        "name": data.folder.resolve().name,
        "summary": data.summary,
        "num_keyframes": data.num_keyframes,
        "settings": data.settings,
        "weights": weights.get(data.settings["weights"], "weights from a file"),
        "training": _training(data.settings),
        "methods": ", ".join(data.methods) or "none drawn",
        "names": figure_names(),
        "heads": shown_in("tile", by_level=True),
        "figures": ", ".join(figure.name for figure in FIGURES.values()),
        "inputs": inputs_of(data.manifest),
        "commit": data.manifest.get("git_commit") or "unknown",
        "versions": versions_of(data.manifest),
    }
    paths = [data.folder / name for name in (MODEL_CARD, CHECKLIST)]
    for path in paths:
        write_text(path, render(path.name, **facts))
    return paths


def _training(settings: dict) -> str:
    added = [what for name, what in augmentations(TrainingSettings).items() if settings.get(name)]
    parts = [
        f"{settings['epochs']} epochs",
        f"{settings['optimizer']}, learning rate {settings['learning_rate']} ({settings['schedule']})",
        f"batch {settings['batch_size']}",
        ", ".join(["augmented by crops", "grey offsets", *added])
        if settings.get("augmentation", True)
        else "no augmentation",
    ]
    return ", ".join(parts + ["synthetic narrowings of normal frames"] * settings["narrowings"])
