"""Fits that other processes do, each done once: their predictions are kept in the study's folder.

The unit of work is one training: some settings, on one inner fold or on a whole training part. What is kept
lets a killed study resume at the next unit, and every score be computed again.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import pandas as pd

from stenoscope.errors import SettingsError
from stenoscope.results.files import write_table
from stenoscope.run.csv_files import read_csv
from stenoscope.run.executors import WorkerPool, crashed
from stenoscope.run.provenance import sha256_json
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.space import scored

PREDICTIONS = "predictions"
OUTER = 0
"""The `inner` of a job that trains on the whole training part and tests on the outer fold's test part."""

_OUT_OF_MEMORY = {"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"}  # of Python, TensorFlow, torch


@dataclass(frozen=True)
class Job:
    """One training."""

    settings: TrainingSettings
    outer: int  # outer fold, from 1
    inner: int  # inner fold of its training part, from 1; `OUTER` for the outer fold itself


class Fits:
    """Hands jobs to an executor and keeps what comes back.

    The study's folder holds ``predictions/fold_K/<hash of the settings>/inner_I.csv`` and ``outer.csv``.
    `fit` takes a `Job` and returns its predictions with the columns of predictions.csv; it is pickled to the
    workers.
    """

    def __init__(self, folder: str | PathLike, pool: Executor, fit: Callable[[Job], pd.DataFrame]):
        self._folder, self._pool, self._fit = Path(folder) / PREDICTIONS, pool, fit

    def submit(self, job: Job) -> Future:
        """Begin a job; the future of one that was done before is done."""
        path = self.path(job)
        if not path.exists():
            return self._pool.submit(self._fit, job)
        future: Future = Future()
        future.set_result(read_csv(path, float_precision="round_trip"))
        return future

    def collect(self, job: Job, future: Future) -> tuple[pd.DataFrame | None, str]:
        """Wait for a job: its predictions, or None and why its settings can't be scored.

        A process that crashes takes all others of its pool with it, so each of their jobs is done once more,
        alone; only a job that crashes again has failed. Contradictory settings, lack of memory and a diverged
        training count as failures of the settings, too; any other exception is raised.
        """
        if isinstance(self._pool, WorkerPool) and crashed(future):
            future = self._pool.submit(self._fit, job)
        if crashed(future):
            return None, "the process was killed, perhaps for lack of memory"
        problem = future.exception()
        if isinstance(problem, SettingsError):
            return None, problem.one_line
        if type(problem).__name__ in _OUT_OF_MEMORY:
            return None, "out of memory"
        table = future.result()
        if table["probability"].isna().any():
            return None, "the training diverged: its probabilities are not numbers"
        path = self.path(job)
        if not path.exists():
            write_table(path, table)
        return table, ""

    def path(self, job: Job) -> Path:
        """File of a job's predictions."""
        name = "outer.csv" if job.inner == OUTER else f"inner_{job.inner}.csv"
        return self._folder / f"fold_{job.outer}" / settings_key(job.settings) / name

    def tested(self, outer: int) -> int:
        """How many different settings the test part of an outer fold has scored."""
        return len(list((self._folder / f"fold_{outer}").glob("*/outer.csv")))


def settings_key(settings: TrainingSettings) -> str:
    """Short name of all settings that a score depends on."""
    return sha256_json(scored(settings))[:16]
