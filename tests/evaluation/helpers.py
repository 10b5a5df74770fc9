"""Simulated predictions."""

import numpy as np
import pandas as pd


def make_predictions(patients=40, seed=0, separation=1.6, decimals=6):
    """Five frames of one or two clips of every patient; a larger separation gives a better AUC."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        label = patient % 2
        for clip in range(1 + int(rng.random() < 0.3)):
            evidence = rng.normal((label - 0.5) * separation)
            for frame in range(5):
                probability = 1 / (1 + np.exp(-(1.5 * evidence + rng.normal(0, 0.7))))
                name = f"p{patient:03d}"
                row = (patient // 2 % 5 + 1, name, f"{name}_c{clip + 1}", frame, label)
                rows.append((*row, round(float(probability), decimals)))
    columns = ["fold", "patient_id", "clip_id", "frame_index", "label", "probability"]
    return pd.DataFrame(rows, columns=columns)


def make_inner(fold, patients=24, seed=50, separation=1.6):
    """Predictions of a fold's model on other patients, held out of its training."""
    inner = make_predictions(patients, seed + fold, separation)
    ids = {name: "inner_" + inner[name] for name in ("patient_id", "clip_id")}
    return inner.assign(fold=fold, **ids)
