"""The search of one outer fold: trials on its inner folds, several at a time where there are workers."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

import optuna
import pandas as pd
from sklearn.metrics import roc_auc_score

from stenoscope.evaluation.clip_vote import vote
from stenoscope.tuning.fits import Fits, Job
from stenoscope.tuning.study import FoldStudy


@dataclass
class _UnderWay:
    trial: optuna.Trial
    job: Job
    tables: list[pd.DataFrame] = field(default_factory=list)


def search(
    study: FoldStudy,
    fits: Fits,
    trials: int,
    inner_folds: int,
    at_once: int = 1,
    on_trial: Callable[[dict], None] = lambda row: None,
) -> None:
    """Run or continue a study until it has `trials` trials in all; fewer than it has change nothing.

    A trial is scored by the clip AUC of its inner folds, pooled over those done so far: each clip is judged
    by a model that never saw its patient. It is given up between inner folds, not between epochs: trials
    differ in epochs and schedule, so their scores after the same epoch would not compare.

    `fits` must not look at the test part of the outer fold for a job with an inner fold. More than one trial
    `at_once` needs an executor with as many workers. `on_trial` is called after each trial with its row of
    trials.csv.
    """
    under_way: dict[Future, _UnderWay] = {}

    def begin(running: _UnderWay) -> None:
        under_way[fits.submit(running.job)] = running

    while True:
        while len(under_way) < at_once and (trial := study.ask(trials)):
            begin(_UnderWay(trial, Job(study.settings_of(trial), study.fold, 1)))
        if not under_way:
            return
        done = wait(under_way, return_when=FIRST_COMPLETED).done
        for future in sorted(done, key=lambda future: under_way[future].trial.number):
            running = under_way.pop(future)
            if _advance(study, fits, running, future, inner_folds):
                begin(running)
            else:
                on_trial(study.row(running.trial))


def clip_auc(predictions: pd.DataFrame) -> float:
    """AUC of the clips' mean probabilities."""
    clips = vote(predictions)
    return float(roc_auc_score(clips["label"], clips["probability"]))


def _advance(study: FoldStudy, fits: Fits, running: _UnderWay, future: Future, inner_folds: int) -> bool:
    """Take in the result of an inner fold; returns whether the trial continues with the next one."""
    table, problem = fits.collect(running.job, future)
    if table is None:
        study.fail(running.trial, problem)
        return False
    running.tables.append(table)
    part = running.job.inner
    value = clip_auc(pd.concat(running.tables))
    if not study.report(running.trial, value, part, last=part == inner_folds):
        return False
    running.job = Job(running.job.settings, study.fold, part + 1)
    return True
