"""Step 3: cross-validate, explain and report one experiment."""

import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import yaml

from stenoscope.app.fold_inputs import open_folds, shuffled_labels
from stenoscope.app.inputs import say_if_labels_changed
from stenoscope.app.leaks import PATIENT
from stenoscope.app.train_worker import WORK, FoldJob, epochs, epochs_done, run_fold
from stenoscope.app.trained_on import write_trained_on
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import ClusterError, DatasetError
from stenoscope.folds.files import FoldData, fold_folders, fold_numbers
from stenoscope.learners.registry import get_learner
from stenoscope.results.files import (
    CONFIG,
    HEATMAPS,
    LOCALISATION,
    PREDICTIONS,
    REPORT,
    SUMMARY,
    read_again,
    read_json,
    read_manifest_if_any,
    read_predictions,
    read_table,
    write_table,
)
from stenoscope.results.predictions import table_names
from stenoscope.run import claims, locks, provenance
from stenoscope.run.cli import finish, progress, say
from stenoscope.run.cluster import Run, await_file
from stenoscope.run.commands import command, typed
from stenoscope.run.executors import SerialExecutor, WorkerPool, concurrency, crashed, executor
from stenoscope.settings import PredictSettings, TrainingSettings

_POLL_SECONDS = 2.0


@locks.released()
def train(settings: TrainingSettings, config: str | None = None) -> None:
    """Train and test the folds, draw the heatmaps, write the results; resumes after an interrupt.

    `config` is the YAML file that the settings were read from, if any. If it lies in an experiment's folder,
    clips and folds must be those of that experiment. A DatasetError if the folds or key frames are missing,
    damaged or do not belong together.
    """
    clips, folds, inputs = open_folds(settings.input)
    if config:
        _check_same_inputs(Path(config), settings, inputs)
    with fold_tasks(settings) as tasks:
        end_experiment(settings, clips, folds, inputs, begin_experiment(settings, clips, inputs), tasks)
    _show(Path(settings.experiment))


def begin_experiment(
    settings: TrainingSettings, clips: ClipSet, inputs: dict[str, str]
) -> list[FoldJob] | None:
    """Take the folder of an experiment; its lock is held until `end_experiment`.

    `inputs` are hashes that name clips and folds. Returns the folds to train; None if the experiment is
    finished. A DatasetError if the folder holds another experiment, or what it holds is damaged.
    """
    get_learner(settings.learner)  # a wrong name should fail now
    say_if_labels_changed(clips.path.parent)
    experiment = Path(settings.experiment)
    if claims.claim(experiment, "experiment", settings, inputs, settings.overwrite):
        return None
    clips.verify()
    provenance.write_text(experiment / CONFIG, to_repeat(settings))
    return undone(settings, inputs, Run.of(experiment))


def end_experiment(
    settings: TrainingSettings,
    clips: ClipSet,
    folds: Sequence[FoldData],
    inputs: dict[str, str],
    jobs: list[FoldJob] | None,
    tasks: "FoldTasks",
) -> None:
    """Train what is left of an experiment, evaluate and explain it, and write its manifest and report.

    `jobs` are what `begin_experiment` returned.
    """
    experiment = Path(settings.experiment)
    if jobs is None:
        say(f"{experiment} is finished already; nothing to do.")
        if not (experiment / REPORT).exists():  # interrupted after the manifest, or deleted
            from stenoscope.report.html import write_report

            write_report(experiment)
        return
    labels = shuffled_labels(clips.labels, folds, settings.seed) if settings.shuffle_labels else clips.labels
    started = time.perf_counter()
    tasks.finish(jobs)
    predictions = gather(experiment, clips.label_names)
    say(f"Folds done ({time.perf_counter() - started:.0f} s). Making the report ...")

    from stenoscope.app.decide import decide
    from stenoscope.app.explain import draw_heatmaps, localise, randomisation, write_clips_table
    from stenoscope.evaluation.summary import summarise
    from stenoscope.report.html import write_report

    write_trained_on(experiment, clips, folds)
    localisation = localise(experiment, clips, settings)
    if localisation is not None:
        write_table(experiment / LOCALISATION, localisation)
    summary = summarise(predictions, localisation, seed=settings.seed)
    summary["randomisation"] = randomisation(experiment, settings.seed)
    decisions = decide(experiment, settings)
    if decisions is not None:
        summary["decisions"] = decisions
    provenance.write_json(experiment / SUMMARY, summary)
    scales = draw_heatmaps(experiment, clips, predictions, settings)
    write_clips_table(experiment, clips, predictions, settings)
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
        typed(),
        **provenance.heading(settings.input),
        seed=settings.seed,
        heatmap_scales=scales,
        outputs=provenance.hash_files(experiment, read_again(experiment)),
    )
    write_report(experiment)


def to_repeat(settings: TrainingSettings) -> str:
    """Settings as YAML to run again with: without replacing anything, wherever that will be."""
    defaults = TrainingSettings()
    where = {name: getattr(defaults, name) for name in ("executor", "workers", "dask_scheduler")}
    return yaml.safe_dump(asdict(replace(settings, overwrite=False, **where)), sort_keys=False)


def undone(
    settings: TrainingSettings, inputs: dict[str, str], run: Run, split: str = PATIENT, maps: bool = True
) -> list[FoldJob]:
    """The folds of `settings.experiment` that are still to be trained; those that are done are verified.

    A DatasetError if a file of a finished fold is damaged.
    """
    where = {name: str(Path(getattr(settings, name)).resolve()) for name in ("input", "experiment")}
    named = tuple(sorted(inputs.items()))
    numbers = fold_numbers(settings.input)
    jobs = [FoldJob(replace(settings, **where), number, named, run, split, maps) for number in numbers]
    left = [job for job in jobs if not provenance.check_seal(job.folder)]
    if 0 < len(left) < len(jobs):
        say(f"Resuming: {len(jobs) - len(left)} of {len(jobs)} folds are done.")
    return left


def gather(experiment: Path, label_names: Sequence[str]) -> pd.DataFrame:
    """Write the tables of predictions of all folds of an experiment, and drop what only training needed.

    Returns `predictions.csv` of the experiment, as it reads back.
    """
    for name in table_names(label_names):
        folds = [read_table(folder / name) for folder in fold_folders(experiment)]
        write_table(experiment / name, pd.concat(folds))
    shutil.rmtree(experiment / WORK, ignore_errors=True)
    return read_predictions(experiment)


class FoldTasks:
    """Trains folds where the executor says, also those of several experiments at a time.

    `threads` are those of the tensor library, for each fold.
    """

    def __init__(self, pool: Executor, threads: int):
        self._pool, self._threads = pool, threads
        self._futures: dict[FoldJob, Future] = {}

    def expect(self, jobs: Iterable[FoldJob]) -> None:
        """Begin with folds that will be asked for, where others do the work."""
        if not isinstance(self._pool, SerialExecutor):
            for job in jobs:
                if job not in self._futures:
                    self._futures[job] = self._pool.submit(run_fold, self._own_threads(job))

    def finish(self, jobs: Sequence[FoldJob]) -> None:
        """Train these folds, or wait until they are trained, and tell of each.

        A ClusterError if a fold's process was killed twice, or machines do not see the same files.
        """
        self.expect(jobs)
        total = sum(map(epochs, jobs))
        with progress("epochs", total, every=0) if total else nullcontext() as step:
            if isinstance(self._pool, SerialExecutor):
                for job in jobs:
                    _tell(run_fold(self._own_threads(job), step, say))
                return
            shown, left, again = 0, list(jobs), set()
            while left:
                futures = [self._futures[job] for job in left]
                done = wait(futures, _POLL_SECONDS, FIRST_COMPLETED).done
                for job, future in zip(list(left), futures, strict=True):
                    if future not in done:
                        continue
                    if crashed(future):
                        # A process that crashes takes its pool's other folds with it; Dask has tried again.
                        if job in again or not isinstance(self._pool, WorkerPool):
                            raise _killed(job)
                        again.add(job)
                        self._futures[job] = self._pool.submit(run_fold, self._own_threads(job))
                        continue
                    row = future.result()
                    await_file(job.folder / provenance.SUMS)
                    left.remove(job)
                    _tell(row)
                done = sum(epochs_done(self._own_threads(job)) for job in jobs)
                for _ in range(done - shown):
                    step()
                shown = max(shown, done)

    def _own_threads(self, job: FoldJob) -> FoldJob:
        return replace(job, settings=replace(job.settings, threads=self._threads))


@contextmanager
def fold_tasks(settings: TrainingSettings) -> Iterator[FoldTasks]:
    """The executor of the folds that the settings ask for."""
    how = (settings.workers, settings.dask_scheduler)
    threads = settings.threads
    if settings.workers > 1 or (settings.dask_scheduler and not threads):
        threads = concurrency(*how, settings.executor, threads)[1]
    with executor(*how, kind=settings.executor, accelerated=True, abandon=True) as pool:
        yield FoldTasks(pool, threads)


def _tell(row: dict) -> None:
    where = "" if row["host"] == platform.node() else f", on {row['host']}"
    learnt = f"{row['epochs']} epochs, loss {row['loss']:.3f}, " if row["epochs"] else ""
    say(f"fold {row['fold']}: {row['trained']}, {learnt}{row['seconds']:.0f} s{where}")


def _killed(job: FoldJob) -> ClusterError:
    return ClusterError(
        f"The processes that trained fold {job.number} of {job.settings.experiment} were killed.",
        "enough memory for a fold on each worker",
        "run the same command again with fewer --workers, or a smaller --batch_size.",
    )


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
            f"{settings.input} is not what {config.parent} was made from ({hashes}).",
            "the clips and folds of that experiment, and its Keras backend",
            "name them with --input, draw them again with the same seed (manifest.json has "
            "it), set KERAS_BACKEND, or use a copy of config.yaml that lies elsewhere.",
        )


def _show(experiment: Path) -> None:
    """Print the table of metrics and the files to open."""
    from stenoscope.report.tables import print_summary

    print_summary(read_json(experiment / SUMMARY))
    folder = experiment / HEATMAPS
    heatmaps = [("heatmaps", f"{folder}/ (one PNG per test clip; many in montage.png)")] * folder.exists()
    finish(
        "What to open",
        [
            ("report", f"{experiment / REPORT}"),
            *heatmaps,
            ("predictions", f"{experiment / PREDICTIONS}"),
            ("metrics", f"{experiment / SUMMARY}"),
        ],
        command(PredictSettings, experiment=experiment),
    )
