"""Experiments that were never trained: predictions written by hand."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from stenoscope.evaluation import comparison
from stenoscope.report import figures
from stenoscope.report.panels import encode_png
from stenoscope.report.plots import Plot
from stenoscope.run import claims, provenance
from tests.evaluation.helpers import make_predictions


def write_predictions(folder, predictions):
    provenance.write_text(
        Path(folder) / "predictions.csv", predictions.to_csv(index=False, lineterminator="\n")
    )


def write_experiment(settings, predictions, inputs):
    """What `end_experiment` leaves behind, without models and heatmaps; True if it was there already."""
    folder = Path(settings.experiment)
    if claims.claim(folder, "experiment", settings, inputs, settings.overwrite):
        return True
    write_predictions(folder, predictions)
    provenance.write_text(folder / "config.yaml", yaml.safe_dump(asdict(settings)))
    provenance.write_manifest(folder, "experiment", settings, inputs, {}, seed=settings.seed)
    provenance.write_text(folder / "report.html", "")
    return False


def hurry(monkeypatch):
    """Fewer resamples than a real comparison draws, and no figures."""
    monkeypatch.setattr(comparison, "compare_arms", partial(comparison.compare_arms, resamples=100))
    picture = Plot(lambda kind: encode_png(np.zeros((4, 6, 3), np.uint8)))
    monkeypatch.setattr(figures, "forest_figure", lambda *_, dark=False: picture)


def better(predictions, share):
    """The same predictions, moved towards the truth."""
    moved = (1 - share) * predictions["probability"] + share * predictions["label"]
    return predictions.assign(probability=moved.round(6))


def shuffled(predictions):
    """The same clips with labels that tell nothing."""
    clips = predictions["clip_id"].unique()
    labels = dict(zip(clips, [0, 1] * len(clips), strict=False))
    return predictions.assign(label=predictions["clip_id"].map(labels))


PREDICTIONS = make_predictions(30)
INPUTS = {"clips.pickle": "ab" * 32, "folds": "cd" * 32}
