from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from stenoscope.errors import DatasetError, SettingsError
from stenoscope.run.executors import SerialExecutor, WorkerPool
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.fits import Fits, Job
from stenoscope.tuning.search import search
from stenoscope.tuning.study import FoldStudy, studies_of
from tests.tuning import fakes

BASE = TrainingSettings(experiment="results/tuned")
TRIALS = 16


def open_study(folder, fold=1, space=fakes.SPACE, base=BASE, seed=8, **more) -> FoldStudy:
    return FoldStudy(folder, fold, space, base, seed, **more)


def run(folder, trials=TRIALS, fit=fakes.fit, pool=None, at_once=1, on_trial=lambda row: None, **more):
    study = open_study(folder, **more)
    search(study, Fits(folder, pool or SerialExecutor(), fit), trials, 3, at_once, on_trial)
    return study


def table(study) -> pd.DataFrame:
    return pd.DataFrame(study.rows()).drop(columns="seconds")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed study, beyond the sampler's 10 random trials and the pruner's 5 free ones."""
    folder = tmp_path_factory.mktemp("whole")
    jobs = []

    def counted(job):
        jobs.append(job)
        return fakes.fit(job)

    study = run(folder, fit=counted)
    assert len(jobs) == sum(row["inner_folds"] for row in study.rows()) < 3 * TRIALS, (
        "pruning saves trainings"
    )
    return folder, study


def test_the_default_settings_are_the_first_trial(whole):
    _, study = whole
    first = study.rows()[0]
    assert {name: first[name] for name in fakes.SPACE} == {name: getattr(BASE, name) for name in fakes.SPACE}
    assert study.score_of(BASE) == pytest.approx(first["score"], abs=1e-6)
    assert study.score_of(TrainingSettings(epochs=11)) is None


def test_a_score_is_the_pooled_auc_of_the_inner_folds(whole):
    folder, study = whole
    best = study.best()
    files = [Fits(folder, None, None).path(Job(study.settings_of(best), 1, inner)) for inner in (1, 2, 3)]
    frames = pd.concat([pd.read_csv(path) for path in files])
    clips = frames.groupby("clip_id")[["label", "probability"]].mean()
    assert len(clips) == 80, "every clip of the training part, once"
    assert best.value == pytest.approx(roc_auc_score(clips["label"], clips["probability"]), abs=1e-12)
    complete = [row["score"] for row in study.rows() if row["state"] == "complete"]
    assert round(best.value, 6) == max(complete)


def test_the_search_learns(whole):
    _, study = whole
    found = [fakes.quality(study.settings_of(trial)) for trial in study._alive()]
    assert np.mean(found[10:]) > np.mean(found[:10]) + 0.1, "the first ten are random"


def test_trials_that_fall_behind_are_given_up(whole):
    _, study = whole
    rows = table(study)
    pruned = rows[rows["state"] == "pruned"]
    assert len(pruned) >= 2 and (pruned["inner_folds"] < 3).all() and (pruned["trial"] > 5).all()
    assert (rows[rows["state"] == "complete"]["inner_folds"] == 3).all()
    for trial in study._alive():
        if trial.state.name != "PRUNED":
            continue
        step = trial.last_step
        before = [
            other.intermediate_values[step]
            for other in study._alive()
            if other.state.name == "COMPLETE" and other.number < trial.number
        ]
        assert max(trial.intermediate_values.values()) < np.median(before)


def test_without_pruning_every_trial_is_finished(tmp_path):
    study = run(tmp_path, 8, prune=False)
    assert {row["state"] for row in study.rows()} == {"complete"}


def test_the_same_seed_gives_the_same_trials_and_another_does_not(whole, tmp_path):
    (tmp_path / "other").mkdir()
    pd.testing.assert_frame_equal(table(run(tmp_path, 12)), table(whole[1])[:12])
    other = table(run(tmp_path / "other", 3, seed=7))
    assert (other["learning_rate"][1:] != table(whole[1])["learning_rate"][1:3]).all()
    second = table(run(tmp_path / "other", 3, seed=7, fold=2))
    assert (other["learning_rate"][1:] != second["learning_rate"][1:]).all(), "folds search on their own"


def test_an_interrupted_study_ends_like_an_undisturbed_one(whole, tmp_path):
    calls = []

    def interrupted(job):
        calls.append(job)
        if len(calls) in (4, 11):  # at the first and within a later trial
            raise KeyboardInterrupt
        return fakes.fit(job)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, fit=interrupted)
    assert len(open_study(tmp_path).rows()) < TRIALS
    pd.testing.assert_frame_equal(table(run(tmp_path, fit=interrupted)), table(whole[1]))
    assert len(calls) == 2 + sum(row["inner_folds"] for row in whole[1].rows()), "no training is done twice"


def test_trials_is_the_total_and_more_continue_the_study(tmp_path):
    rows = []
    keep = lambda row: rows.append(row["trial"])  # noqa: E731
    run(tmp_path, 2, on_trial=keep)
    run(tmp_path, 2, on_trial=keep)
    run(tmp_path, 1, on_trial=keep)
    assert rows == [1, 2]
    study = run(tmp_path, 4, on_trial=keep)
    assert rows == [1, 2, 3, 4] and [row["trial"] for row in study.rows()] == rows
    assert list(studies_of(tmp_path)) == [1] and studies_of(tmp_path / "none") == {}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 7},
        {"base": TrainingSettings(image_size=128)},
        {"inputs": {"folds": "ab"}},
        {"prune": False},
        {"space": {"epochs": fakes.SPACE["epochs"]}},
    ],
)
def test_a_study_is_not_continued_with_something_else(tmp_path, change):
    open_study(tmp_path)
    with pytest.raises(SettingsError, match="other data, settings, seed"):
        open_study(tmp_path, **change)


def test_where_it_runs_may_change(tmp_path):
    open_study(tmp_path)
    open_study(tmp_path, base=TrainingSettings(experiment="results/other", threads=1))


def test_a_space_without_the_default_draws_every_trial(tmp_path):
    study = run(tmp_path, 2, base=TrainingSettings(epochs=7))
    assert study.score_of(study.base) is None and len(study.rows()) == 2


def diverges(job):
    found = fakes.fit(job)
    return found.assign(probability=np.nan) if job.settings.epochs == 10 else found


def starves(job):
    if job.settings.epochs == 10:
        raise MemoryError("no room")
    return fakes.fit(job)


def contradicts(job):
    if job.settings.epochs == 10:
        raise SettingsError("epochs do not fit.", "fewer", "set 10.")
    return fakes.fit(job)


@pytest.mark.parametrize(
    "fit, says",
    [
        (diverges, "diverged"),
        (starves, "out of memory"),
        (contradicts, "epochs do not fit. Expected: fewer."),
    ],
)
def test_settings_that_can_not_be_scored_fail_their_trial_only(tmp_path, fit, says):
    study = run(tmp_path, 12, fit=fit)
    rows = table(study)
    failed = rows[rows["state"] == "failed"]
    assert len(rows) == 12 and len(failed) and (failed["epochs"] == 10).all()
    assert failed["problem"].str.contains(says).all() and failed["score"].isna().all()
    assert study.settings_of(study.best()).epochs != 10


def test_a_study_in_which_nothing_worked_says_why(tmp_path):
    def never(job):
        raise MemoryError

    study = run(tmp_path, 2, fit=never)
    with pytest.raises(DatasetError, match="None of the 2 trials of fold 1 was finished: out of memory"):
        study.best()
    assert study.importance() is None


def test_a_defect_stops_the_study_and_the_trial_is_done_again(tmp_path):
    def broken(job):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, 2, fit=broken)
    assert [row["state"] for row in run(tmp_path, 2).rows()] == ["complete", "complete"]


def test_importance_sums_to_one_and_finds_what_matters(whole):
    importance = whole[1].importance()
    assert set(importance) == set(fakes.SPACE) and min(importance.values()) >= 0
    assert sum(importance.values()) == pytest.approx(1)
    assert max(importance, key=importance.get) == "learning_rate"


def test_one_trial_has_no_importance(tmp_path):
    assert run(tmp_path, 1).importance() is None


def test_a_crash_of_a_worker_costs_its_own_trial_only(tmp_path):
    fit = partial(fakes.crash, input_folder="", inner_folds=3, seed=7, threads=1)
    with WorkerPool(2) as pool:
        rows = table(run(tmp_path, 4, fit=fit, pool=pool, at_once=2))
    assert rows["trial"].tolist() == [1, 2, 3, 4]
    failed = rows["state"] == "failed"
    assert failed.any() and (failed == (rows["epochs"] == 5)).all()
    assert rows[failed]["problem"].str.contains("killed").all()
