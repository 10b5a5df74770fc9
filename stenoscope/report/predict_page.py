"""The page of new clips that an experiment's models were applied to."""

from os import PathLike
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from stenoscope.data.problems import count_of
from stenoscope.evaluation.clip_vote import vote
from stenoscope.evaluation.metrics import THRESHOLD
from stenoscope.report.page import Images, simulated_text, write_page
from stenoscope.report.panels import panel_name
from stenoscope.report.sections import call_of
from stenoscope.results.experiment import refused_inputs
from stenoscope.results.files import (
    DECISIONS,
    HEATMAPS,
    read_manifest_if_any,
    read_predictions,
    read_table_if_any,
)
from stenoscope.results.predictions import SEEN, SEEN_PATIENT, UNKNOWN, UNSEEN

_NAMED = 10
"""Most clips that a sentence names; the table has all."""

_SEEN_TEXTS = {SEEN_PATIENT: "its patient", UNSEEN: "no", UNKNOWN: UNKNOWN}


def write_predict_report(folder: str | PathLike, experiment: str, method: str | None) -> Path:
    """Write `report.html` on new clips that an experiment's models were applied to, and return its path.

    The folder has ``predictions.csv`` (clip_id, frame_index, probability, one column ``fold_K`` per model,
    and, of later versions, in_training and training_clip), and, where they exist, ``decisions.csv`` (clip_id,
    calibrated, decision), ``heatmaps/<clip>.<method>.png`` and ``.gif``, ``intake.csv`` and
    ``manifest.json``. `method` is the heatmap method to show; None if there are no heatmaps.
    """
    folder = Path(folder)
    predictions = read_predictions(folder)
    models = [name for name in predictions.columns if name.startswith("fold_")]
    per_model = predictions.groupby("clip_id", sort=False)[models].mean()
    clips = vote(predictions.assign(fold=0, patient_id="", label=-1))
    decided = read_table_if_any(folder / DECISIONS)
    calibrated = decided is not None
    decided = decided.set_index("clip_id") if calibrated else None
    known = "in_training" in predictions
    training = predictions.groupby("clip_id")[["in_training", "training_clip"]].first() if known else None
    images = Images(folder)
    cases = []
    for row in clips.itertuples():
        picture = images.panel(row.clip_id, method) if method else None
        gif = f"{HEATMAPS}/{panel_name(row.clip_id, method, 'gif')}" if method else ""
        values = per_model.loc[row.clip_id].tolist()
        cases.append(
            {
                **call_of(row),
                "anchor": f"clip-{len(cases) + 1}",
                "exact": f"{row.probability:.6f}",
                "decision": decided.at[row.clip_id, "decision"] if calibrated else None,
                "calibrated": f"{decided.at[row.clip_id, 'calibrated']:.2f}" if calibrated else None,
                "in_training": _seen_text(training.loc[row.clip_id]) if known else "",
                "models": [f"{value:.2f}" for value in values],
                "model_xs": [_strip_x(value) for value in values],
                "mean_x": _strip_x(row.probability),
                "threshold_x": _strip_x(THRESHOLD),
                "gif": quote(gif) if gif and (folder / gif).exists() else None,
                **(picture or {"parts": [], "link": None}),
            }
        )
    abnormal = int(clips["decision"].sum())
    total, judges = count_of(len(clips), "clip"), count_of(len(models), "model")
    lead = f"{abnormal} of {total} called abnormal by {judges} of {experiment}."
    if calibrated:
        counts = decided["decision"].value_counts()
        said = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("normal", "uncertain", "abnormal"))
        lead += f" Calibrated: {said}."
    trained_on = read_manifest_if_any(folder).get("trained_on_simulated")
    return write_page(
        folder,
        "predict.html",
        trained_on_simulated=bool(simulated_text(trained_on)),
        kind="Prediction",
        title=f"{total} by {experiment}",
        lead=lead,
        calibrated=calibrated,
        threshold=THRESHOLD,
        cases=cases,
        training_known=known,
        training_note=training_note(predictions) if known else "",
        method=method,
        omitted=images.omitted_note(),
        refused=refused_inputs(folder),
    )


def training_note(predictions: pd.DataFrame) -> str:
    """A sentence on the clips (clip_id, in_training) known from the training; empty where none is."""
    clips = predictions.drop_duplicates("clip_id")
    state, total = clips["in_training"], len(clips)
    if (state == UNKNOWN).all():
        return "Not known whether clips were in the training data: the experiment has no trained_on.csv."
    sentences = []
    for value, what in ((SEEN, "in the training data"), (SEEN_PATIENT, "of patients in the training data")):
        names = clips.loc[state == value, "clip_id"].tolist()
        if names:
            are = "was {}: its probability is" if len(names) == 1 else "were {}: their probabilities are"
            some = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            sentences.append(
                f"{len(names)} of {count_of(total, 'clip')} {are.format(what)} optimistic ({some})."
            )
    return " ".join(sentences)


def _seen_text(row: pd.Series) -> str:
    return f"yes: {row.training_clip}" if row.in_training == SEEN else _SEEN_TEXTS[row.in_training]


def _strip_x(probability: float) -> float:
    return round(6 + 288 * probability, 1)
