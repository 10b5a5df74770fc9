"""Step 3: cross-validate, explain and report one experiment."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from stenoscope import provenance
from stenoscope.cli import finish, progress, say
from stenoscope.dataset.clipset import ClipSet
from stenoscope.errors import DatasetError
from stenoscope.folds.files import FoldData, read_fold
from stenoscope.folds.mean_image import frame_rows
from stenoscope.folds.split import inner_split
from stenoscope.records import KEYFRAMES_PER_CLIP, NUM_FOLDS
from stenoscope.report.results import read_manifest_if_any, read_predictions
from stenoscope.settings import TrainingSettings

CHECKPOINT = "checkpoint.npz"
"""A fold's training after its last whole epoch; removed when the fold is done."""


def train(settings: TrainingSettings, config: str | None = None) -> None:
    """Train and test the five folds, draw the heatmaps, write the results; resumes after an interrupt.

    Parameters
    ----------
    settings : TrainingSettings
    config : str, optional
        YAML file that the settings were read from. If it lies in an experiment's folder, clips and folds must
        be those of that experiment.

    Raises
    ------
    DatasetError
        If the folds or key frames are missing, damaged or do not belong together.
    """
    clips, folds, inputs = open_folds(settings.input)
    if config:
        _check_same_inputs(Path(config), settings, inputs)
    run_experiment(settings, clips, folds, inputs)
    _show(Path(settings.experiment))


def run_experiment(
    settings: TrainingSettings, clips: ClipSet, folds: Sequence[FoldData], inputs: dict[str, str]
) -> None:
    """One complete experiment in `settings.experiment`; nothing to do if it is finished.

    Parameters
    ----------
    settings : TrainingSettings
    clips : ClipSet
    folds : sequence of FoldData
    inputs : dict of str to str
        Hashes that name clips and folds.

    Raises
    ------
    DatasetError
        If the folder holds another experiment.
    """
    experiment = Path(settings.experiment)
    if provenance.claim(experiment, "experiment", settings, inputs, settings.overwrite):
        say(f"{experiment} is finished already; nothing to do.")
        if not (experiment / "report.html").exists():  # interrupted after the manifest, or deleted
            from stenoscope.report.html import write_report

            write_report(experiment)
        return
    again = asdict(replace(settings, overwrite=False))  # to repeat it should not mean to replace anything
    provenance.write_text(experiment / "config.yaml", yaml.safe_dump(again, sort_keys=False))
    labels = shuffled_labels(clips.labels, folds, settings.seed) if settings.shuffle_labels else clips.labels
    started = time.perf_counter()
    predictions = run_folds(settings, clips, folds, labels)
    say(f"Folds done ({time.perf_counter() - started:.0f} s). Drawing heatmaps and the report ...")

    from stenoscope.evaluation.summary import summarise
    from stenoscope.report.html import write_report
    from stenoscope.stages.decide import decide
    from stenoscope.stages.explain import draw_heatmaps, localise, randomisation

    localisation = localise(experiment, clips, settings)
    summary = summarise(predictions, localisation, seed=settings.seed)
    summary["randomisation"] = randomisation(experiment, settings.seed)
    decisions = decide(experiment, settings)
    if decisions is not None:
        summary["decisions"] = decisions
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


def run_folds(
    settings: TrainingSettings,
    clips: ClipSet,
    folds: Sequence[FoldData],
    labels: np.ndarray,
    maps: bool = True,
) -> pd.DataFrame:
    """Train and test the folds that are not done yet and write `predictions.csv` of all.

    Parameters
    ----------
    settings : TrainingSettings
    clips : ClipSet
    folds : sequence of FoldData
        A fold that was interrupted goes on after its last whole epoch.
    labels : ndarray, float32, shape (num_clips, num_labels)
        To train and to test on.
    maps : bool
        Compute heatmaps of the test clips (never for frame-wise folds).

    Returns
    -------
    DataFrame
        `predictions.csv` of the experiment, as it reads back.
    """
    experiment = Path(settings.experiment)
    folders = [experiment / f"fold_{fold.number}" for fold in folds]
    done = [(folder / "predictions.csv").exists() for folder in folders]
    if any(done) and not all(done):
        say(f"Resuming: {sum(done)} of {len(folds)} folds are done.")
    for fold, folder, is_done in zip(folds, folders, done, strict=True):
        if not is_done:
            _run_fold(fold, clips, labels, settings, maps and not fold.frame_wise)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    for name in table_names(clips.label_names):
        _write_table(experiment / name, pd.concat(read_predictions(folder, name) for folder in folders))
    return read_predictions(experiment)


def table_names(label_names: Sequence[str]) -> list[str]:
    """Names of the tables of predictions: `predictions.csv`, and `predictions_NAME.csv` of further labels."""
    return ["predictions.csv"] + [f"predictions_{provenance.file_name(name)}.csv" for name in label_names[1:]]


def open_folds(folder: str | Path) -> tuple[ClipSet, list[FoldData], dict[str, str]]:
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


def _check_same_inputs(config: Path, settings: TrainingSettings, inputs: dict[str, str]) -> None:
    """Refuse to repeat the experiment beside `config` with other clips or folds than its own."""
    manifest = read_manifest_if_any(config.parent)
    if manifest.get("schema") != "stenoscope/experiment":
        return
    then = manifest["inputs"]
    changed = [name for name in inputs if then.get(name) != inputs[name]]
    if changed:
        hashes = "; ".join(f"{n} {then.get(n, 'none')[:12]}, now {inputs[n][:12]}" for n in changed)
        raise DatasetError(
            f"{settings.input} is not what {config.parent} was made from (SHA-256 of {hashes}).",
            "the clips and folds of that experiment",
            "name them with --input, draw them again with the same seed, or use a copy of config.yaml that "
            "lies elsewhere.",
        )


_trainers: dict[str, object] = {}


def _trainer(settings: TrainingSettings, num_labels: int):
    """The trainer of some settings; the last one is kept, because tracing a network is slow."""
    from stenoscope.training.machine import prepare

    where = prepare(settings.threads, settings.seed)
    import keras

    from stenoscope.training.fold import Trainer

    same = replace(
        settings, experiment="", input="", shuffle_labels=False, overwrite=False, inner_share=0, sensitivity=1
    )
    key = provenance.sha256_json([asdict(same), num_labels])
    if key not in _trainers:
        say(f"Building {settings.backbone} with {settings.weights} weights ({where}) ...")
        _trainers.clear()
        keras.utils.clear_session()
        _trainers[key] = Trainer(settings, num_labels)
    return _trainers[key]


def _run_fold(fold: FoldData, clips: ClipSet, labels: np.ndarray, settings: TrainingSettings, maps: bool):
    """Train and test one fold; its `predictions.csv` is written last and marks it as done."""
    from stenoscope.stages.explain import write_maps

    folder = Path(settings.experiment) / f"fold_{fold.number}"
    folder.mkdir(parents=True, exist_ok=True)
    part, inner = fold.train, fold.train[:0]
    if not fold.frame_wise:
        seed = settings.seed * 1000 + fold.number
        part, inner = inner_split(fold.train, labels, clips.patient_ids, settings.inner_share, seed)
    trainer = _trainer(settings, labels.shape[1])
    with progress(f"fold {fold.number}", settings.epochs) as step:
        history = trainer.fit(
            clips.frames,
            part,
            labels,
            fold.mean_image,
            fold.number,
            on_epoch=lambda row: step(),
            frame_wise=fold.frame_wise,
            checkpoint=folder / CHECKPOINT,
        )
    probabilities = trainer.predict(clips.frames, fold.valid, fold.frame_wise)
    _write_table(folder / "history.csv", pd.DataFrame(history))
    with provenance.atomic_path(folder / "model.keras") as temporary:
        trainer.model.save(temporary)
    if maps:
        write_maps(folder, trainer.model, clips, fold, probabilities[..., 0], settings)
    if len(inner):
        found = trainer.predict(clips.frames, inner)[..., 0]
        _write_table(
            folder / "inner.csv", predictions_table(replace(fold, valid=inner), clips, labels, found)
        )
    for label, name in reversed(list(enumerate(table_names(clips.label_names)))):
        table = predictions_table(fold, clips, labels, probabilities[..., label], label)
        _write_table(folder / name, table)
    last = history[-1]
    say(
        f"fold {fold.number}: {len(part)} training {'frames' if fold.frame_wise else 'clips'}, "
        f"{len(history)} epochs, loss {last['loss']:.3f}, {sum(row['seconds'] for row in history):.0f} s"
    )


def predictions_table(
    fold: FoldData, clips: ClipSet, labels: np.ndarray, probabilities: np.ndarray, label: int = 0
) -> pd.DataFrame:
    """One row per test frame: fold, patient_id, clip_id, frame_index, label, probability (rounded to 1e-6).

    Parameters
    ----------
    fold : FoldData
        Its `valid` are the clips (or frames) of the table.
    labels : ndarray, float32, shape (num_clips, num_labels)
    probabilities : ndarray, float32, shape (num_test_clips, 5), frame-wise (num_test_frames,)
    label : int
        Column of `labels`; where it is unknown, the table's label is empty.
    """
    rows = fold.valid if fold.frame_wise else frame_rows(fold.valid)
    clip, keyframe = np.divmod(rows, KEYFRAMES_PER_CLIP)
    return pd.DataFrame(
        {
            "fold": fold.number,
            "patient_id": [clips.patient_ids[i] for i in clip],
            "clip_id": [clips.clip_ids[i] for i in clip],
            "frame_index": clips.keyframes[clip, keyframe],
            "label": pd.array(labels[clip, label], dtype=pd.Int64Dtype()),
            "probability": probabilities.ravel().astype(float).round(6),
        }
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    provenance.write_text(path, table.to_csv(index=False, lineterminator="\n"))


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
