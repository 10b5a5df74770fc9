"""Hyper-parameters: print every setting, or search for better ones and measure what the search was worth.

The search is nested. Settings are chosen on inner folds of an outer fold's training part; the chosen ones are
then trained on all of it and tested on the outer fold's test part, once, beside the settings that the search
began from.
"""

import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd

from stenoscope.app.fold_inputs import open_folds
from stenoscope.app.tune_worker import fit_job, split_training_part
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.presets import training_settings
from stenoscope.results.files import REPORT, SUMMARY, write_table
from stenoscope.run import claims, locks, provenance
from stenoscope.run.arguments import Step, parse
from stenoscope.run.cli import finish, progress, say
from stenoscope.run.commands import command, program, typed
from stenoscope.run.executors import concurrency, executor
from stenoscope.settings import TrainingSettings, TuningSettings
from stenoscope.tuning.fits import OUTER, Fits, Job
from stenoscope.tuning.nested import FoldOutcome, nested_table, summarise_nested
from stenoscope.tuning.search import search
from stenoscope.tuning.space import (
    NAMED,
    built_in_space,
    check_names,
    read_space,
    scored,
    space_yaml,
)
from stenoscope.tuning.study import DATABASE, FoldStudy, studies_of
from stenoscope.tuning.template import settings_yaml

EXPERIMENT = "results/tuned"
"""Folder that `main.py --config best.yaml` writes to."""

TRIALS, NESTED, BEST, SPACE = "trials.csv", "nested.csv", "best.yaml", "space.yaml"


def print_settings() -> None:
    """Print every training setting with its default and its reason, as YAML for `main.py --config`."""
    heading = f"Settings of step 3: edit a copy of this and run `{program(TrainingSettings)} --config FILE`."
    print(settings_yaml(TrainingSettings(), heading), end="")


@locks.released()
def tune(settings: TuningSettings) -> None:
    """Search, test the choice on the outer folds, write the study's folder; goes on after an interrupt.

    A DatasetError if the folds are missing or damaged, hold too few patients to split the training part once
    more, the folder holds another study, or a run is writing to it; a SettingsError if the search space names
    what does not exist.
    """
    base = replace(_base(settings), experiment=EXPERIMENT, input=settings.input, overwrite=False)
    space = read_space(settings.space) if settings.space else built_in_space(base)
    clips, folds, clips_and_folds = open_folds(settings.input)
    how = (settings.workers, settings.dask_scheduler)
    at_once, threads = concurrency(*how, settings.executor, settings.threads)
    if NAMED & space.keys():
        from stenoscope.training.machine import prepare

        prepare(threads, base.seed, base.deterministic)  # the registries load the tensor library
        check_names(space)
    study = Path(settings.study)
    if settings.outer_folds > len(folds):
        raise SettingsError(
            f"outer_folds is {settings.outer_folds}, and {settings.input} holds {len(folds)} folds.",
            f"1 to {len(folds)}",
            "lower --outer_folds.",
        )
    for fold in folds[: settings.outer_folds]:
        split_training_part(clips, fold.train, settings.inner_folds, settings.seed)  # raises if it can't be
    what = {"inner_folds": settings.inner_folds, "seed": settings.seed, "prune": settings.prune}
    inputs = {
        **clips_and_folds,
        "settings": provenance.sha256_json(scored(base)),
        "space": provenance.sha256_json(space_yaml(space)),
    }
    if _claim(study, what, inputs, settings):
        say(f"{study} has {settings.trials} trials already; nothing to do.")
        _show(study)
        return
    provenance.write_text(study / SPACE, space_yaml(space))
    outer_folds = max(settings.outer_folds, len(studies_of(study)))  # fewer than it has change nothing
    fit = partial(
        fit_job,
        input_folder=str(Path(settings.input).resolve()),
        clips_and_folds=tuple(sorted(clips_and_folds.items())),
        inner_folds=settings.inner_folds,
        seed=settings.seed,
        threads=threads,
    )
    identity = {**inputs, "inner folds": str(settings.inner_folds)}
    studies, outcomes = [], []
    with (
        executor(*how, kind=settings.executor, accelerated=True, abandon=True) as pool,
        progress("trials", settings.trials * outer_folds) as step,
    ):
        fits = Fits(study, pool, fit)
        for number in range(1, outer_folds + 1):
            current = FoldStudy(study, number, space, base, settings.seed, settings.prune, identity)
            studies.append(current)
            for _ in current.rows():
                step()
            on_trial = partial(_on_trial, study, studies, settings.inner_folds, step)
            search(current, fits, settings.trials, settings.inner_folds, at_once, on_trial)
            outcomes.append(_test(current, fits))
    _write(study, studies, outcomes, settings)
    (study / REPORT).unlink(missing_ok=True)  # of a shorter search
    counts = {
        "outer folds": outer_folds,
        "trials": min(sum(outcome.states.values()) for outcome in outcomes),
        "clips": len(clips),
    }
    outputs = {name: provenance.sha256_file(study / name) for name in (TRIALS, NESTED, SUMMARY, BEST)}
    provenance.write_manifest(
        study,
        "tuning",
        what,
        inputs,
        counts,
        typed(),
        **provenance.heading(settings.input),
        seed=settings.seed,
        outputs=outputs,
        run=asdict(settings),
    )
    _show(study)


def _base(settings: TuningSettings) -> TrainingSettings:
    """What the trials vary: the settings of a preset or of a file."""
    if settings.base:
        return parse(Step(TrainingSettings), ["--config", settings.base])[1].settings
    return training_settings(settings.preset)


def _claim(study: Path, what: dict, inputs: dict, settings: TuningSettings) -> bool:
    """Take the folder; returns whether it holds all that is asked for. More trials make a study longer."""
    if not claims.claim(study, "tuning", what, inputs, settings.overwrite):
        return False
    made_by = command(TuningSettings, study=study, trials="N")
    counts = provenance.read_manifest(study, "tuning", made_by)["counts"]
    if counts["trials"] >= settings.trials and counts["outer folds"] >= settings.outer_folds:
        return True
    (study / provenance.MANIFEST).unlink(missing_ok=True)
    return claims.claim(study, "tuning", what, inputs)


def _on_trial(study: Path, studies: list, inner_folds: int, step: Callable[[], None], row: dict) -> None:
    """Tell of a trial, and keep trials.csv up to date."""
    _write_trials(study, studies)
    text = f"fold {row['fold']}, trial {row['trial']}: "
    if row["state"] == "failed":
        text += f"failed: {row['problem']}"
    else:
        text += f"clip AUC {row['score']:.3f}"
    if row["state"] == "pruned":
        text += f", given up after {row['inner_folds']} of {inner_folds} inner folds"
    say(f"{text}, {row['seconds']:.0f} s")
    step()


def _write_trials(study: Path, studies: list[FoldStudy]) -> None:
    table = pd.DataFrame([row for fold_study in studies for row in fold_study.rows()])
    write_table(study / TRIALS, table)


def _test(study: FoldStudy, fits: Fits) -> FoldOutcome:
    """Train the chosen and the default settings on the whole training part and test both on the test part."""
    best = study.best()
    say(f"fold {study.fold}: testing the best of its trials on the outer fold, beside the default settings.")
    jobs = [Job(chosen, study.fold, OUTER) for chosen in (study.settings_of(best), study.base)]
    same = fits.path(jobs[0]) == fits.path(jobs[1])
    futures = [fits.submit(job) for job in jobs[: 1 if same else 2]]
    tables = []
    for job, future in zip(jobs, futures, strict=False):
        table, problem = fits.collect(job, future)
        if table is None:
            raise DatasetError(
                f"The test on outer fold {study.fold} failed: {problem}.",
                "training that runs to its end",
                "run the same command again, or search less costly settings (--space).",
            )
        tables.append(table)
    return FoldOutcome(
        fold=study.fold,
        states=dict(Counter(row["state"] for row in study.rows())),
        chosen=dict(best.params),
        inner=best.value,
        default_inner=study.score_of(study.base),
        predictions=tables[0],
        default_predictions=tables[-1],
        importance=study.importance(),
        tested=fits.tested(study.fold) - 1,
    )


def _write(
    study: Path, studies: list[FoldStudy], outcomes: list[FoldOutcome], settings: TuningSettings
) -> None:
    """trials.csv, summary.json, nested.csv and best.yaml."""
    base, space = studies[0].base, studies[0].space
    default = {name: getattr(base, name) for name in space}
    summary = summarise_nested(outcomes, settings.inner_folds, default)
    _write_trials(study, studies)
    provenance.write_json(study / SUMMARY, summary)
    write_table(study / NESTED, nested_table(summary).round(6))
    best = outcomes[summary["best_fold"] - 1]
    outer = summary["folds"][summary["best_fold"] - 1]["outer"]["value"]
    heading = (
        f"Chosen on the training part of fold {best.fold}: clip AUC {best.inner:.4f} on inner folds, "
        f"{outer:.4f} on its test part. In an experiment with these settings the test parts of the other "
        "folds took part in the choice: cite the outer score."
    )
    provenance.write_text(study / BEST, settings_yaml(replace(base, **best.chosen), heading))


def _show(study: Path) -> None:
    """Print what the search was worth and the files to open; draw the report if it is missing."""
    from stenoscope.tuning.report import print_tuning, write_tuning_report

    if not (study / REPORT).exists():
        write_tuning_report(study)
    print_tuning(study)
    finish(
        "What to open",
        [
            ("report", str(study / REPORT)),
            ("scores", f"{study / NESTED}, {study / SUMMARY}"),
            ("trials", f"{study / TRIALS} ({DATABASE} keeps them; more --trials continue the search)"),
            ("best settings", str(study / BEST)),
        ],
        f"{program(TrainingSettings)} --config {shlex.quote(str(study / BEST))}",
    )
