"""Step 3: cross-validate, explain and report one experiment."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from stenoscope import provenance
from stenoscope.cli import finish, progress, say
from stenoscope.dataset.clipset import ClipSet
from stenoscope.errors import DatasetError
from stenoscope.folds.files import read_fold
from stenoscope.records import KEYFRAMES_PER_CLIP, NUM_FOLDS
from stenoscope.settings import TrainingSettings


def train(settings: TrainingSettings) -> None:
    """Train and test the five folds, draw the heatmaps, write the results; resumes after an interrupt.

    Raises
    ------
    DatasetError
        If the folds or key frames are missing, damaged or do not belong together.
    """
    clips, folds, inputs = open_folds(settings.input)
    experiment = Path(settings.experiment)
    if provenance.claim(experiment, "experiment", settings, inputs, settings.overwrite):
        say(f"{experiment} is finished already; nothing to do.")
        if not (experiment / "report.html").exists():  # interrupted after the manifest, or deleted
            from stenoscope.report.html import write_report

            write_report(experiment)
        _show(experiment)
        return
    provenance.write_text(experiment / "config.yaml", yaml.safe_dump(_config(settings), sort_keys=False))
    labels = shuffled_labels(clips.labels, folds, settings.seed) if settings.shuffle_labels else clips.labels
    started = time.perf_counter()
    for fold in _unfinished(experiment, folds):
        _run_fold(fold, clips, labels, settings, experiment)
    say(f"Folds done ({time.perf_counter() - started:.0f} s). Drawing heatmaps and the report ...")

    from stenoscope.evaluation.summary import summarise
    from stenoscope.report.html import write_report
    from stenoscope.report.results import read_predictions
    from stenoscope.stages.explain import draw_heatmaps, localise

    predictions = pd.concat([read_predictions(experiment / f"fold_{fold.number}") for fold in folds])
    provenance.write_text(
        experiment / "predictions.csv", predictions.to_csv(index=False, lineterminator="\n")
    )
    localisation = localise(experiment, clips, settings)
    summary = summarise(predictions, localisation, seed=settings.seed)
    provenance.write_json(experiment / "summary.json", summary)
    scales = draw_heatmaps(experiment, clips, predictions, settings)
    counts = {
        "clips": len(clips),
        **{f"label {value}": int((labels[:, 0] == value).sum()) for value in (0, 1)},
    }
    provenance.write_manifest(
        experiment,
        "experiment",
        settings,
        inputs,
        counts,
        seed=settings.seed,
        heatmap_scales=scales,
        outputs={"predictions.csv": provenance.sha256_file(experiment / "predictions.csv")},
    )
    write_report(experiment)
    _show(experiment)


def open_folds(folder: str | Path) -> tuple[ClipSet, list, dict[str, str]]:
    """Open what step 2 wrote: the clips, the five folds and the hashes that name them."""
    folder = Path(folder)
    manifest = provenance.read_manifest(folder, "folds", "python data_loader_kfold.py")
    clips = ClipSet.open(folder / manifest["clips_folder"])
    if clips.sha256 != manifest["inputs"]["clips.pickle"]:
        raise DatasetError(
            f"{folder} was split from other key frames than {folder / manifest['clips_folder']} holds now.",
            "folds of the present clips.pickle",
            "run `python data_loader_kfold.py --overwrite`.",
        )
    folds = [read_fold(folder, number, clips.sha256) for number in range(1, NUM_FOLDS + 1)]
    return clips, folds, {"clips.pickle": clips.sha256, "folds": provenance.sha256_json(manifest["outputs"])}


def shuffled_labels(labels: np.ndarray, folds, seed: int) -> np.ndarray:
    """Labels permuted among the clips of each test fold.

    Shuffling inside the folds keeps every fold's prevalence: shuffling across them would couple the training
    part's prevalence to the test part's and push the pooled AUC of a blind classifier below 0.5.
    """
    rng = np.random.default_rng([seed, 0x5F])
    result = labels.copy()
    for fold in folds:
        result[fold.valid] = labels[rng.permutation(fold.valid)]
    return result


def _unfinished(experiment: Path, folds) -> list:
    left = [fold for fold in folds if not (experiment / f"fold_{fold.number}" / "predictions.csv").exists()]
    if 0 < len(left) < len(folds):
        say(f"Resuming: {len(folds) - len(left)} of {len(folds)} folds are done.")
    return left


_trainers: dict[str, object] = {}


def _run_fold(fold, clips: ClipSet, labels: np.ndarray, settings: TrainingSettings, experiment: Path) -> None:
    """Train and test one fold; its `predictions.csv` is written last and marks it as done."""
    from stenoscope.training.machine import prepare

    where = prepare(settings.threads, settings.seed)
    from stenoscope.stages.explain import write_maps
    from stenoscope.training.fold import Trainer

    key = provenance.sha256_json(settings)
    if key not in _trainers:
        say(f"Building {settings.backbone} with {settings.weights} weights ({where}) ...")
        _trainers.clear()
        _trainers[key] = Trainer(settings, labels.shape[1])
    trainer = _trainers[key]
    folder = experiment / f"fold_{fold.number}"
    folder.mkdir(parents=True, exist_ok=True)
    with progress(f"fold {fold.number}", settings.epochs) as step:
        history = trainer.fit(
            clips.frames, fold.train, labels, fold.mean_image, fold.number, on_epoch=lambda row: step()
        )
    probabilities = trainer.predict(clips.frames, fold.valid)
    provenance.write_text(
        folder / "history.csv", pd.DataFrame(history).to_csv(index=False, lineterminator="\n")
    )
    with provenance.atomic_path(folder / "model.keras") as temporary:
        trainer.model.save(temporary)
    write_maps(folder, trainer.model, clips, fold, probabilities[..., 0], settings)
    table = predictions_table(fold, clips, labels, probabilities[..., 0])
    provenance.write_text(folder / "predictions.csv", table.to_csv(index=False, lineterminator="\n"))
    last = history[-1]
    say(
        f"fold {fold.number}: {len(fold.train)} training clips, {len(history)} epochs, "
        f"loss {last['loss']:.3f}, {sum(row['seconds'] for row in history):.0f} s"
    )


def predictions_table(fold, clips: ClipSet, labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """One row per test frame: fold, patient_id, clip_id, frame_index, label, probability (rounded to 1e-6).

    Parameters
    ----------
    probabilities : ndarray, float32, shape (num_test_clips, 5)
    """
    repeat = np.repeat(fold.valid, KEYFRAMES_PER_CLIP)
    return pd.DataFrame(
        {
            "fold": fold.number,
            "patient_id": [clips.patient_ids[i] for i in repeat],
            "clip_id": [clips.clip_ids[i] for i in repeat],
            "frame_index": clips.keyframes[fold.valid].ravel(),
            "label": labels[repeat, 0].astype(int),
            "probability": probabilities.ravel().astype(float).round(6),
        }
    )


def _config(settings: TrainingSettings) -> dict:
    from dataclasses import asdict

    return asdict(settings)


def _show(experiment: Path) -> None:
    """Print the table of figures and the files to open."""
    from stenoscope.report.tables import print_summary

    print_summary(json.loads((experiment / "summary.json").read_text(encoding="utf-8")))
    finish(
        "What to open",
        [
            ("report", f"{experiment / 'report.html'}"),
            ("heatmaps", f"{experiment / 'heatmaps'}/ (one PNG per test clip; montage.png for all)"),
            ("predictions", f"{experiment / 'predictions.csv'}"),
            ("figures", f"{experiment / 'summary.json'}"),
        ],
        f"python main.py predict PATH... --experiment {experiment}",
    )
