"""Hyper-parameters: print every setting, or search on inner folds of the training data."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stenoscope import provenance
from stenoscope.cli import finish, parse, progress, say
from stenoscope.dataset.clipset import ClipSet
from stenoscope.errors import SettingsError
from stenoscope.folds.mean_image import fold_mean_images
from stenoscope.folds.split import make_folds
from stenoscope.records import Fold
from stenoscope.settings import TrainingSettings, TuningSettings, training_settings
from stenoscope.stages.train import open_folds
from stenoscope.tuning.template import settings_yaml

EXPERIMENT = "results/tuned"
"""Folder that `main.py --config best.yaml` writes to."""


def print_settings() -> None:
    """Print every training setting with its default and its reason, as YAML for `main.py --config`."""
    heading = "Settings of main.py: edit a copy of this and run `python main.py --config FILE`."
    print(settings_yaml(TrainingSettings(), heading), end="")


def tune(settings: TuningSettings) -> None:
    """Search on inner folds of fold 1's training part; its test part is never looked at.

    Raises
    ------
    DatasetError
        If the folds are missing or damaged, or hold too few patients to split the training part once more.
    SettingsError
        If the study in the folder was begun with something else, or there are fewer than two inner folds.
    """
    if settings.inner_folds < 2:
        raise SettingsError(f"inner_folds is {settings.inner_folds}.", "2 or more", "try 3.")
    base = replace(_base(settings), experiment=EXPERIMENT, input=settings.input, overwrite=False)
    clips, folds, inputs = open_folds(settings.input)
    inner = inner_folds(clips, folds[0].train, settings.inner_folds, settings.seed)
    means = fold_mean_images(clips.frames, inner)

    from stenoscope.training.machine import prepare
    from stenoscope.tuning.search import BEST, TRIALS, search

    prepare(base.threads, base.seed)
    study = Path(settings.study)
    inputs = {**inputs, "inner folds": provenance.sha256_json([settings.inner_folds, settings.seed])}
    say(f"Scoring {settings.trials} trials on {len(folds[0].train)} training clips of fold 1.")
    rows: list[dict] = []
    with progress("inner folds", settings.trials * len(inner)) as step:

        def score(trial: TrainingSettings) -> float:
            return inner_auc(clips, inner, means, trial, on_fold=step)

        def on_trial(row: dict) -> None:
            rows.append(row)
            say(f"trial {row['trial']}: clip AUC {row['score']:.3f}, {row['seconds']:.0f} s")

        best = search(study, score, settings.trials, base, settings.seed, inputs, on_trial)
    outputs = {name: provenance.sha256_file(study / name) for name in (TRIALS, BEST)}
    counts = {"trials": len((study / TRIALS).read_text(encoding="utf-8").splitlines()) - 1}
    provenance.write_manifest(study, "tuning", settings, inputs, counts, seed=settings.seed, outputs=outputs)
    _show(study, best, counts["trials"], len(rows))


def _base(settings: TuningSettings) -> TrainingSettings:
    """What the trials vary: the settings of a preset or of a file."""
    if settings.base:
        return parse(TrainingSettings, "", ["--config", settings.base])
    return training_settings(settings.preset)


def inner_folds(clips: ClipSet, train: np.ndarray, num_folds: int, seed: int) -> list[Fold]:
    """Split a training part once more, by patient and stratified by label.

    Parameters
    ----------
    clips : ClipSet
    train : ndarray, int64, shape (n,)
        Clip indices of the training part.
    num_folds, seed : int

    Returns
    -------
    list of Fold
        Their indices refer to `clips`, like those of `train`.
    """
    patients = [clips.patient_ids[clip] for clip in train]
    split = make_folds(clips.labels[train], patients, seed, num_folds)
    return [Fold(fold.number, train[fold.train], train[fold.valid]) for fold in split]


def inner_auc(
    clips: ClipSet,
    folds: Sequence[Fold],
    means: Sequence[np.ndarray],
    settings: TrainingSettings,
    on_fold: Callable[[], None] = lambda: None,
) -> float:
    """Pooled clip AUC of some settings over inner folds: each clip judged by the model that never saw it.

    Parameters
    ----------
    clips : ClipSet
    folds : sequence of Fold
    means : sequence of ndarray, float32, shape (500, 500)
        Mean image of each fold's training part.
    settings : TrainingSettings
    on_fold : callable
        Called after each fold, for a progress bar.
    """
    import keras
    from sklearn.metrics import roc_auc_score

    from stenoscope.training.fold import Trainer

    keras.utils.clear_session()  # the networks of earlier trials
    trainer = Trainer(settings, clips.labels.shape[1])
    tested, found = [], []
    for fold, mean in zip(folds, means, strict=True):
        trainer.fit(clips.frames, fold.train, clips.labels, mean, fold.number)
        tested.append(fold.valid)
        found.append(trainer.predict(clips.frames, fold.valid)[..., 0].mean(axis=1))
        on_fold()
    return float(roc_auc_score(clips.labels[np.concatenate(tested), 0], np.concatenate(found)))


def _show(study: Path, best: TrainingSettings, total: int, new: int) -> None:
    from stenoscope.tuning.search import BEST, DATABASE, TRIALS
    from stenoscope.tuning.space import SPACE

    values = {name: getattr(best, name) for name in SPACE}
    rows = [
        (name, f"{value:.3g}" if isinstance(value, float) else str(value)) for name, value in values.items()
    ]
    rows += [
        ("all settings", str(study / BEST)),
        ("trials", str(study / TRIALS)),
        ("study", f"{study / DATABASE} (more --trials continue it)"),
    ]
    finish(f"Best of {total} trials, {new} of them new", rows, f"python main.py --config {study / BEST}")
