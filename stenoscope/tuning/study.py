"""The trials of one outer fold, kept by Optuna in an SQLite file.

Settings are drawn by the tree-structured Parzen estimator [1]_ and given up by the median rule [2]_. Only the
process of the run opens the file; workers return their predictions to it, so no number of them can race.

References
----------
.. [1] Bergstra J et al. 2011, "Algorithms for hyper-parameter optimization", NeurIPS.
.. [2] Golovin D et al. 2017, "Google Vizier: a service for black-box optimization", KDD, section 3.2.
"""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from stenoscope.errors import DatasetError, SettingsError
from stenoscope.run.provenance import sha256_json
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.space import Space, parameters_of, scored, space_yaml

DATABASE = "study.db"
FIELDS = ("fold", "trial", "state", "score", "inner_folds", "seconds")
"""Columns of trials.csv before those of the searched settings."""

_IDENTITY, _PROBLEM = "identity", "problem"
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class FoldStudy:
    """The study of one outer fold: hands out trials, takes their scores, and resumes after an interrupt.

    A trial that was under way when a run was killed is queued again. Each other trial draws from the seed,
    the fold and the number of trials before it, so that a serial study that was killed ends like one that was
    not.

    The folder holds `study.db`. `fold` is the outer fold, from 1; `base` has the values of the settings that
    are not searched; where the space holds its own, they are the first trial. `prune` gives a trial up that
    falls behind. `inputs` is whatever else a score depends on (hashes of the clips and folds, the number of
    inner folds). Raises SettingsError if the study was begun with something else.
    """

    def __init__(
        self,
        folder: str | PathLike,
        fold: int,
        space: Space,
        base: TrainingSettings,
        seed: int,
        prune: bool = True,
        inputs: dict[str, str] | None = None,
    ):
        self.fold, self.space, self.base, self.seed = fold, space, base, seed
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # the script prints its own lines
        self._study = optuna.create_study(
            storage=_url(folder),
            study_name=f"fold_{fold}",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner(),
        )
        self._check_identity(folder, prune, inputs or {})
        first = parameters_of(base, space)
        if not self._trials() and first:
            self._study.enqueue_trial(first)
        for trial in self._trials(TrialState.RUNNING):  # left by a killed run
            if trial.params.keys() == space.keys():
                self._study.enqueue_trial(trial.params)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def ask(self, total: int) -> optuna.Trial | None:
        """The next trial, or None if the study has `total` already, finished or under way."""
        alive = len(self._alive())
        if alive >= total:
            return None
        # Univariate, and in parallel aware of the trials under way (constant liar).
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence([self.seed, self.fold, alive]).generate_state(1)[0]),
            multivariate=False,
            constant_liar=True,
        )
        return self._study.ask(self.space)

    def settings_of(self, trial: optuna.Trial | FrozenTrial) -> TrainingSettings:
        """Settings of a trial."""
        return replace(self.base, **trial.params)

    def report(self, trial: optuna.Trial, score: float, part: int, last: bool) -> bool:
        """Note the score after a part (an inner fold, from 1); returns whether the trial should continue.

        The median rule starts after five finished trials.
        """
        trial.report(score, part)
        if last:
            self._study.tell(trial, score)
        elif trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            return True
        return False

    def fail(self, trial: optuna.Trial, problem: str) -> None:
        """Note that a trial can't be scored; it counts as one of the study's trials."""
        trial.set_user_attr(_PROBLEM, problem)
        self._study.tell(trial, state=TrialState.FAIL)

    def rows(self) -> list[dict]:
        """One row per trial that came to an end: `FIELDS`, the searched settings, and ``problem``."""
        return [
            self._row(number, trial)
            for number, trial in enumerate(self._alive(), start=1)
            if trial.state != TrialState.RUNNING
        ]

    def row(self, trial: optuna.Trial) -> dict:
        """The row of one trial."""
        return next(
            self._row(number, ended)
            for number, ended in enumerate(self._alive(), start=1)
            if ended.number == trial.number
        )

    def best(self) -> FrozenTrial:
        """The finished trial with the best score; of equals, the first; DatasetError if none was finished."""
        complete = self._trials(TrialState.COMPLETE)
        if not complete:
            reasons = {row[_PROBLEM] for row in self.rows()} - {""}
            raise DatasetError(
                f"None of the {len(self._alive())} trials of fold {self.fold} was finished: "
                f"{'; '.join(sorted(reasons)) or 'all were given up'}.",
                "at least one score",
                "narrow the search space (--space) and name another folder with --study.",
            )
        return max(complete, key=lambda trial: (trial.value, -trial.number))

    def score_of(self, settings: TrainingSettings) -> float | None:
        """Inner score of some settings, None if no finished trial had them."""
        wanted = scored(settings)
        for trial in self._trials(TrialState.COMPLETE):
            if scored(self.settings_of(trial)) == wanted:
                return trial.value
        return None

    def importance(self) -> dict[str, float] | None:
        """How much of the score's variance each searched setting explains, by fANOVA; sums to 1.

        Hutter F, Hoos H, Leyton-Brown K 2014, "An efficient approach for assessing hyperparameter
        importance", ICML: a forest of 64 trees fitted to the finished trials. None where they are too few, or
        all have one score.
        """
        values = {trial.value for trial in self._trials(TrialState.COMPLETE)}
        options = importance_options(self.space, self.seed)
        if len(values) < 2 or not options["params"]:
            return None
        found = optuna.importance.get_param_importances(self._study, **options)
        return {name: float(found.get(name, 0.0)) for name in self.space}

    def _row(self, number: int, trial: FrozenTrial) -> dict:
        return {
            "fold": self.fold,
            "trial": number,
            "state": _STATES[trial.state],
            "score": None if trial.value is None else round(trial.value, 6),
            "inner_folds": len(trial.intermediate_values),
            "seconds": round(trial.duration.total_seconds(), 1),
            **{name: trial.params[name] for name in self.space},
            _PROBLEM: trial.user_attrs.get(_PROBLEM, ""),
        }

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _alive(self) -> list[FrozenTrial]:
        """Trials that came to an end or are under way, by their number; not those that an interrupt took."""
        return [
            trial
            for trial in self._trials(*_STATES, TrialState.RUNNING)
            if trial.state != TrialState.FAIL or _PROBLEM in trial.user_attrs
        ]

    def _check_identity(self, folder: str | PathLike, prune: bool, inputs: dict[str, str]) -> None:
        parts = {"base": scored(self.base), "space": space_yaml(self.space), "seed": self.seed}
        identity = sha256_json({**parts, "prune": prune, "inputs": inputs})
        begun = self._study.user_attrs.get(_IDENTITY)
        if begun is None:
            self._study.set_user_attr(_IDENTITY, identity)
        elif begun != identity:
            raise SettingsError(
                f"The study in {folder} was begun with other data, settings, seed or search space.",
                "the same, so that its trials can be compared",
                "name another folder with --study, or add --overwrite to replace it.",
            )


def studies_of(folder: str | PathLike) -> dict[int, optuna.Study]:
    """The studies that a folder holds, by outer fold."""
    if not (Path(folder) / DATABASE).exists():
        return {}
    url = _url(folder)
    studies = [optuna.load_study(study_name=name, storage=url) for name in optuna.get_all_study_names(url)]
    return {int(study.study_name.removeprefix("fold_")): study for study in studies}


def importance_options(space: Space, seed: int) -> dict:
    """What the importance of settings is computed with: fANOVA, of the settings that vary."""
    return {
        "evaluator": optuna.importance.FanovaImportanceEvaluator(seed=seed),
        "params": [name for name, distribution in space.items() if not distribution.single()],
    }


def _url(folder: str | PathLike) -> str:
    return f"sqlite:///{(Path(folder) / DATABASE).resolve().as_posix()}"
