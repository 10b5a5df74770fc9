"""What a worker does with a fold of step 3: train, test, explain, and write `fold_K`.

Only paths and settings travel to it. It opens clips and folds itself and keeps them, with the learner that it
has made, for the next fold. A fold's files are made in `.work/` and get their place by one rename, so that
`fold_K` is there whole or not at all. Its checkpoint lies in `.work/`, too, below a name for the settings,
where the next worker goes on from it if this one dies.
"""

import json
import platform
import shutil
import threading
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stenoscope.app.explain import write_maps
from stenoscope.app.fold_inputs import opened, shuffled_labels
from stenoscope.app.leaks import PATIENT, leaking_fold
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import SettingsError
from stenoscope.export.tensorboard import FOLDER as TENSORBOARD
from stenoscope.export.tensorboard import tensorboard_log
from stenoscope.folds.files import FoldData
from stenoscope.folds.mean_image import frame_rows, frames_of, mean_image
from stenoscope.folds.part import Rows, TrainingPart
from stenoscope.folds.split import inner_split
from stenoscope.learners.protocol import Learner
from stenoscope.learners.registry import get_learner
from stenoscope.results.files import HISTORY, INNER, model_path, read_again, write_table
from stenoscope.results.predictions import predictions_table, table_names
from stenoscope.roles import names
from stenoscope.run import provenance
from stenoscope.run.cluster import Run
from stenoscope.settings import TrainingSettings

WORK = ".work"
CHECKPOINT = "checkpoint.npz"
"""A fold's training after its last whole epoch."""

ONE_AT_A_TIME = threading.Lock()
"""A Dask worker may have several threads; the tensor library has one state."""

_learners: dict[str, Learner] = {}
_NOT_TRAINING = names(TrainingSettings, "place", "speed", "data", "after")
"""Settings that do not change how a learner is fitted to given clips and labels."""


@dataclass(frozen=True)
class FoldJob:
    """One fold to train.

    Attributes
    ----------
    settings : TrainingSettings
        With absolute paths, and the threads that this fold may use.
    number : int
        From 1.
    inputs : tuple of (str, str)
        Hashes that name clips and folds, as of `open_folds`.
    run : Run
        Whose result it is.
    split : {"patient", "clip", "frame"}
        The folds of step 2, or those of the leakage audit.
    maps : bool
        Compute heatmaps of the test clips.
    """

    settings: TrainingSettings
    number: int
    inputs: tuple[tuple[str, str], ...]
    run: Run
    split: str = PATIENT
    maps: bool = True

    @property
    def folder(self) -> Path:
        """Where the fold's files will be."""
        return Path(self.settings.experiment) / f"fold_{self.number}"

    @property
    def checkpoint(self) -> Path:
        """Of the training under way; other settings or clips have another."""
        what = {name: value for name, value in asdict(self.settings).items() if name not in _NOT_TRAINING}
        shares = [self.settings.shuffle_labels, self.settings.inner_share]
        key = provenance.sha256_json([what, shares, self.inputs, self.split])[:12]
        return Path(self.settings.experiment) / WORK / key / self.folder.name / CHECKPOINT


class Watch(NamedTuple):
    """What hears of a training: of each epoch its row of the history, and lines for the user."""

    on_epoch: Callable[[dict], None] = lambda row: None
    tell: Callable[[str], None] = lambda text: None


NOBODY = Watch()


def run_fold(
    job: FoldJob, on_epoch: Callable[[], None] = lambda: None, tell: Callable[[str], None] = lambda text: None
) -> dict:
    """Train and test one fold and write its folder, on whatever machine.

    Parameters
    ----------
    job : FoldJob
    on_epoch : callable
        Called after each epoch.
    tell : callable
        Called with a line for the user when a learner is made.

    Returns
    -------
    dict
        fold, trained (what on, for the user), epochs, loss (None without epochs), seconds, host.

    Raises
    ------
    ClusterError
        If this machine sees other folders than the run, or the run has ended.
    """
    with ONE_AT_A_TIME:
        job.run.check()
        settings = job.settings
        clips, folds = opened(settings.input, job.inputs)
        labels = clips.labels
        if settings.shuffle_labels:
            labels = shuffled_labels(labels, folds, settings.seed)
        fold = folds[job.number - 1]
        if job.split != PATIENT:
            fold = leaking_fold(clips, folds, job.split, job.number, settings.seed)

        def after(row: dict) -> None:
            job.run.check()
            on_epoch()

        staging = job.checkpoint.parent / uuid.uuid4().hex  # a worker that was given up may still be at it
        staging.mkdir(parents=True)
        try:
            row = train_fold(fold, clips, labels, settings, staging, job.maps, Watch(after, tell))
            job.run.check()
            _move(staging, job.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return {**row, "host": platform.node()}


def _move(staging: Path, folder: Path) -> None:
    """Give a finished fold its place; one that is there already is as good."""
    if folder.exists() and not (folder / provenance.SUMS).exists():
        shutil.rmtree(folder)  # of an earlier release
    try:
        staging.rename(folder)
    except OSError:
        if not provenance.check_seal(folder):
            raise


def train_fold(
    fold: FoldData,
    clips: ClipSet,
    labels: np.ndarray,
    settings: TrainingSettings,
    folder: Path,
    maps: bool = True,
    watch: Watch = NOBODY,
) -> dict:
    """Train and test one fold and write its files; `SHA256SUMS` is the last.

    Parameters
    ----------
    fold : FoldData
    clips : ClipSet
    labels : ndarray, float32, shape (num_clips, num_labels)
        To train and to test on.
    settings : TrainingSettings
    folder : Path
        To write to; exists. The checkpoint, which is written after each epoch and resumed from, lies beside
        it.
    maps : bool
        Compute heatmaps of the test clips (never for frame-wise folds).
    watch : Watch

    Returns
    -------
    dict
        As of `run_fold`, without host.

    Raises
    ------
    SettingsError
        If patients are to be held out of frame-wise folds.
    """
    if fold.frame_wise and settings.inner_share:
        raise SettingsError(
            f"inner_share is {settings.inner_share} for frame-wise folds, which split a patient's frames.",
            "0: no patient can be held out of training there",
            "set inner_share to 0.",
        )
    fold, inner = hold_out(fold, clips, labels, settings)
    learner = learner_of(settings, labels.shape[1], settings.threads, watch.tell)
    log_folder, started = None, time.perf_counter()
    if settings.tensorboard:
        log_folder = Path(settings.experiment) / TENSORBOARD / f"fold_{fold.number}"
    with tensorboard_log(log_folder) as log:
        part = TrainingPart.of(fold, clips.frames, labels)
        history = learner.fit(part, lambda row: (log(row), watch.on_epoch(row)), folder.parent / CHECKPOINT)
    seconds = sum(row["seconds"] for row in history) or time.perf_counter() - started
    probabilities = test(learner, clips, fold)
    if history:
        write_table(folder / HISTORY, pd.DataFrame(history))
    with provenance.atomic_path(model_path(folder, learner.suffix)) as temporary:
        learner.save(temporary)
    if maps and not fold.frame_wise and learner.methods(settings):
        write_maps(folder, learner, clips, fold, probabilities[..., 0])
    if len(inner):
        held_out = replace(fold, valid=inner)
        found = test(learner, clips, held_out)[..., 0]
        write_table(folder / INNER, predictions_table(held_out, clips, labels, found))
    for label, name in enumerate(table_names(clips.label_names)):
        table = predictions_table(fold, clips, labels, probabilities[..., label], label)
        write_table(folder / name, table)
    provenance.seal(folder, read_again(folder))
    return {
        "fold": fold.number,
        "trained": f"{len(fold.train)} training {'frames' if fold.frame_wise else 'clips'}",
        "epochs": len(history),
        "loss": history[-1]["loss"] if history else None,
        "seconds": seconds,
    }


def test(learner: Learner, clips: ClipSet, fold: FoldData) -> np.ndarray:
    """Probabilities of the test part, float32 (n, num_keyframes, num_labels); frame-wise, (n, num_labels)."""
    if fold.frame_wise:
        return learner.predict(Rows(clips.frames, fold.valid))
    found = learner.predict(Rows(clips.frames, frame_rows(fold.valid, clips.frames.shape[1])))
    return found.reshape(len(fold.valid), clips.frames.shape[1], -1)


def hold_out(
    fold: FoldData, clips: ClipSet, labels: np.ndarray, settings: TrainingSettings
) -> tuple[FoldData, np.ndarray]:
    """Take `inner_share` of a fold's training patients out of its training part and out of its mean image.

    Parameters
    ----------
    fold : FoldData
    clips : ClipSet
    labels : ndarray, float32, shape (num_clips, num_labels)
        To stratify by.
    settings : TrainingSettings

    Returns
    -------
    fold : FoldData
    inner : ndarray, int64
        Indices of the clips that were taken out; none if `inner_share` is 0, and of frame-wise folds.
    """
    if fold.frame_wise or not settings.inner_share:
        return fold, fold.train[:0]
    seed = settings.seed * 1000 + fold.number
    part, inner = inner_split(fold.train, labels, clips.patient_ids, settings.inner_share, seed)
    mean = mean_image(frames_of(clips.frames, part))
    return replace(fold, train=part, mean_image=mean), inner


def learner_of(
    settings: TrainingSettings, num_labels: int, threads: int, tell: Callable[[str], None] = lambda text: None
) -> Learner:
    """The learner of some settings; the last one is kept, because tracing a network takes long."""
    kind = get_learner(settings.learner)
    where = kind.prepare(settings, threads)
    elsewhere = names(TrainingSettings, "place", "speed", "data")
    same = {name: value for name, value in asdict(settings).items() if name not in elsewhere}
    key = provenance.sha256_json([same, num_labels])
    if key not in _learners:
        _learners.clear()
        learner = kind(settings, num_labels)
        tell(f"Building {learner.title} ({where}) ...")
        _learners[key] = learner
    return _learners[key]


def epochs(job: FoldJob) -> int:
    """How many epochs a fold takes, for a progress bar; 0 of a learner without epochs."""
    return get_learner(job.settings.learner).epochs(job.settings)


def epochs_done(job: FoldJob) -> int:
    """How many epochs of a fold are behind it."""
    if job.folder.exists():
        return epochs(job)
    try:
        with np.load(job.checkpoint, allow_pickle=False) as stored:
            return len(json.loads(str(stored["history"])))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return 0  # not there yet, or being replaced
