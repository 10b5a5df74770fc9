"""The study: ask for settings, score them, keep everything, go on after an interrupt.

Optuna's tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for hyper-parameter
optimization") over an SQLite file in the study's folder. Each trial draws from the study's seed and the
number of trials finished before it, so a study that was interrupted ends like one that was not.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from stenoscope.errors import DatasetError, SettingsError
from stenoscope.provenance import sha256_json, write_text
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.space import SPACE, with_parameters
from stenoscope.tuning.template import settings_yaml

DATABASE, TRIALS, BEST = "study.db", "trials.csv", "best.yaml"
_NAME, _IDENTITY, _SECONDS = "stenoscope", "identity", "seconds"


def search(
    folder: str | PathLike,
    score: Callable[[TrainingSettings], float],
    trials: int,
    base: TrainingSettings,
    seed: int,
    inputs: dict[str, str] | None = None,
    on_trial: Callable[[dict], None] = lambda row: None,
) -> TrainingSettings:
    """Run or continue a study until it holds `trials` finished trials.

    Parameters
    ----------
    folder : path
        Of the study: `study.db`, and after each trial `trials.csv` and `best.yaml`.
    score : callable
        Takes the settings of a trial, returns its score; higher is better. It must not look at the test part
        of any fold that will be reported.
    trials : int
        Finished trials the study should have in all; fewer than it has change nothing.
    base : TrainingSettings
        Values of the settings that are not searched, and the experiment's folder for `best.yaml`.
    seed : int
    inputs : dict of str to str, optional
        Whatever else the score depends on (hashes of the folds, number of inner folds). A study is continued
        only with the same base, seed, search space and inputs.
    on_trial : callable
        Called after each trial of this run with its row of `trials.csv`.

    Returns
    -------
    TrainingSettings
        The best so far.

    Raises
    ------
    SettingsError
        If `trials` is below 1 or the study was begun with something else.
    DatasetError
        If the score of a trial is undefined.
    """
    if trials < 1:
        raise SettingsError(
            f"trials is {trials}.", "at least 1", "say how many trials the study should have."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    study = _open(folder, _identity(base, seed, inputs or {}))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # left by a killed run
        study.tell(trial.number, state=TrialState.FAIL)
    while (done := len(_finished(study))) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=_seed_of(seed, done), multivariate=False)
        trial = study.ask(SPACE)
        started = time.perf_counter()
        try:
            value = float(score(with_parameters(base, trial.params)))
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            raise
        if not math.isfinite(value):
            study.tell(trial, state=TrialState.FAIL)
            raise DatasetError(
                f"The score of trial {done + 1} is {value}.",
                "a number",
                "both classes must occur in the inner folds: add patients, or ask for fewer inner folds.",
            )
        trial.set_user_attr(_SECONDS, time.perf_counter() - started)
        study.tell(trial, value)
        _write(folder, study, base)
        on_trial(_rows(study)[-1])
    _write(folder, study, base)  # again, should the last run have been killed before it could
    return best_settings(study, base)


def best_settings(study: optuna.Study, base: TrainingSettings) -> TrainingSettings:
    """Settings of the best finished trial; of equals, the first."""
    return with_parameters(base, _best(study).params)


def _open(folder: Path, identity: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the script has its own progress bar
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / DATABASE).resolve().as_posix()}",
        study_name=_NAME,
        direction="maximize",
        load_if_exists=True,
    )
    begun = study.user_attrs.get(_IDENTITY)
    if begun is None:
        study.set_user_attr(_IDENTITY, identity)
    elif begun != identity:
        raise SettingsError(
            f"The study in {folder} was begun with other data, settings, seed or search space.",
            "the same, so that its trials can be compared",
            "name another folder with --study.",
        )
    return study


def _identity(base: TrainingSettings, seed: int, inputs: dict[str, str]) -> str:
    # Where things are written and how many threads run does not change a score.
    fixed = asdict(replace(base, experiment="", input="", overwrite=False, threads=0))
    for name in SPACE:
        del fixed[name]
    space = {name: repr(distribution) for name, distribution in SPACE.items()}
    return sha256_json({"base": fixed, "seed": seed, "space": space, "inputs": inputs})


def _seed_of(seed: int, done: int) -> int:
    return int(np.random.SeedSequence([seed, done]).generate_state(1)[0])


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _best(study: optuna.Study) -> FrozenTrial:
    return max(_finished(study), key=lambda trial: (trial.value, -trial.number))


def _rows(study: optuna.Study) -> list[dict]:
    """One row per finished trial: trial (from 1), score, seconds, and the searched settings."""
    return [
        {
            "trial": number,
            "score": trial.value,
            "seconds": round(trial.user_attrs[_SECONDS], 1),
            **{name: trial.params[name] for name in SPACE},
        }
        for number, trial in enumerate(_finished(study), start=1)
    ]


def _write(folder: Path, study: optuna.Study, base: TrainingSettings) -> None:
    rows = _rows(study)
    write_text(folder / TRIALS, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    best = _best(study)
    heading = f"The best of {len(rows)} trials, score {best.value:.4f} on inner folds of the training data."
    write_text(folder / BEST, settings_yaml(best_settings(study, base), heading))
