"""The documents beside a report: a model card and a draft of the reporting checklists, in Markdown.

They hold counts, settings and metrics; no ids, no paths and nothing of any patient.
"""

from pathlib import Path

from stenoscope.evaluation.metrics import FIGURES, shown_in
from stenoscope.learners.protocol import Learner
from stenoscope.learners.registry import LEARNERS
from stenoscope.report.page import render
from stenoscope.report.sections import inputs_of, versions_of
from stenoscope.report.tables import figure_names
from stenoscope.results.experiment import Experiment
from stenoscope.run.provenance import write_text

MODEL_CARD, CHECKLIST = "model_card.md", "checklist.md"

AUTHOR = "*to be filled in by the author*"
"""Stands where the run knows nothing."""


def write_documents(data: Experiment) -> list[Path]:
    """Write `model_card.md` and `checklist.md` of an experiment; returns their paths."""
    unknown = dict.fromkeys(("kind", "input", "start", "training", "imbalance", "limits"), "")
    learner = LEARNERS.get(data.settings.get("learner", "cnn"), Learner)
    facts = {
        "author": AUTHOR,
        "name": data.folder.resolve().name,
        "summary": data.summary,
        "num_keyframes": data.num_keyframes,
        "settings": data.settings,
        "described": {**unknown, "type": data.settings.get("learner"), **learner.described(data.settings)},
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
