"""The arms: what is trained on which crops, and how well it does on crops and windows it has not seen."""

import argparse
import sys
from functools import partial

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.arcade.crops import Cohort
from benchmarks.arcade.localise import METHODS, draw_windows, maps, pointing
from benchmarks.arcade.network import Learner, Lessons, frozen_features
from benchmarks.arcade.task import SEED, Keeper, Task
from stenoscope.evaluation.intervals import bootstrap_statistic, percentile_interval, resampled_scores

FOLDS = 3


class Arms:
    """Trains the arms and scores crops.

    Parameters
    ----------
    keep : Keeper
    task : Task
    simulated : (Cohort, Matcher) or None
    options : Namespace
        The command line.
    """

    def __init__(self, keep: Keeper, task: Task, simulated, options: argparse.Namespace):
        self.keep, self.task, self.simulated, self.options = keep, task, simulated, options
        self._identity = [joblib.hash((part.frames, part.points)) for part in (task.train, task.val)]
        self._simulated_identity = simulated and joblib.hash((simulated[0].frames, simulated[0].points))

    def pretrained(self, seed: int) -> list[np.ndarray]:
        """Weights of a network trained on simulated crops."""

        cohort, matcher = self.simulated
        positives = self.options.simulated_positives
        lessons = Lessons(cohort, matcher, np.arange(len(cohort.frames)), positives, places=True)
        epochs = self.options.simulated_epochs
        recipe = [self._simulated_identity, seed, epochs, positives]
        return self.keep(
            "simulated", recipe, lambda: self._fit(Learner(seed), lessons, epochs, 1e-3, "simulated")
        )

    def weights(self, arm: str, seed: int, fold: int | None) -> list[np.ndarray]:
        """Weights of a network of an arm, trained on all training frames, or without those of a fold."""

        if arm == "simulated":
            return self.pretrained(seed)
        start = self.pretrained(SEED) if arm == "both" else None
        frames = np.arange(len(self.task.train.frames))
        if fold is not None:
            frames = np.flatnonzero(self.fold_of_frames() != fold)
        epochs = self.options.epochs if arm == "both" else self.options.epochs_alone
        # From ImageNet's weights the labels alone teach nothing; narrowings with their places do.
        rate, narrowings = (3e-4, 0.0) if arm == "both" else (1e-3, 0.5)
        lessons = Lessons(self.task.train, self.task.matcher, frames, narrowings=narrowings)
        recipe = [self._identity, arm, seed, fold, epochs, rate, narrowings, joblib.hash(start)]
        name = arm if fold is None else f"{arm}-fold{fold + 1}"
        return self.keep(name, recipe, lambda: self._fit(Learner(seed, start), lessons, epochs, rate, name))

    def fold_of_frames(self) -> np.ndarray:
        """Fold of each training frame, by patient, int64."""
        patients = self.task.train.patients
        fold = np.zeros(len(patients), np.int64)
        splitter = GroupKFold(FOLDS, shuffle=True, random_state=SEED)
        for number, (_, held) in enumerate(splitter.split(patients, groups=patients)):
            fold[held] = number
        return fold

    def scores(self, arm: str, cohort: Cohort, points: np.ndarray, fold: int | None = None) -> np.ndarray:
        """Mean score of the arm's networks on crops; networks of a fold have one seed."""

        seeds = range(SEED, SEED + (self.options.seeds if fold is None and arm != "simulated" else 1))
        recipe = [self._identity, joblib.hash(points), arm]
        found = []
        for seed in seeds:
            weights = self.weights(arm, seed, fold)
            found.append(
                self.keep(
                    f"scores-{arm}",
                    [*recipe, joblib.hash(weights)],
                    partial(lambda given: Learner(SEED, given).scores(cohort, points), weights),
                )
            )
        return np.mean(found, axis=0)

    def cross_validated(self, arm: str) -> list[float]:
        """AUC of each fold of the training frames, by networks that were trained on the others."""
        positives, negatives = self.task.train_pairs
        owner, fold_of = self.task.train.owner, self.fold_of_frames()
        found = []
        for fold in range(FOLDS):
            held = [part[fold_of[owner[part]] == fold] for part in (positives, negatives)]
            score = self.scores(
                arm, self.task.train, np.concatenate(held), None if arm == "simulated" else fold
            )
            found.append(float(roc_auc_score(np.repeat([1, 0], [len(part) for part in held]), score)))
        return found

    def frozen(self) -> tuple[list[float], np.ndarray]:
        """Cross-validated AUC and scores of the validation crops, of a logistic regression on features."""

        task = self.task
        points = np.concatenate(task.train_pairs), np.concatenate(task.val_pairs)
        known, tested = (
            self.keep("frozen", [self._identity, joblib.hash(part)], partial(frozen_features, cohort, part))
            for cohort, part in zip((task.train, task.val), points, strict=True)
        )
        label = np.repeat([1, 0], len(task.train_pairs[0]))
        fold = self.fold_of_frames()[task.train.owner[points[0]]]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=1000))
        crossed = []
        for number in range(FOLDS):
            model.fit(known[fold != number], label[fold != number])
            score = model.decision_function(known[fold == number])
            crossed.append(float(roc_auc_score(label[fold == number], score)))
        return crossed, model.fit(known, label).decision_function(tested)

    def _fit(self, learner, lessons, epochs: int, rate: float, name: str) -> list[np.ndarray]:
        def report(epoch: int, loss: float, seconds: float) -> None:
            print(f"{name}: epoch {epoch + 1}/{epochs}, loss {loss:.3f}, {seconds:.0f} s", file=sys.stderr)

        learner.fit([lessons], epochs, rate, report)
        return learner.model.get_weights()


def auc_draws(task: Task, score: np.ndarray) -> np.ndarray:
    """AUC on the validation crops in each resample of the patients."""
    points = np.concatenate(task.val_pairs)
    label = np.repeat([1, 0], len(task.val_pairs[0]))
    patients = task.val.patients[task.val.owner[points]]
    # Ranks keep the AUC and lie in 0..1, as the other measures of a resample want it.
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable") / len(score)
    return resampled_scores(label, rank, rank > 0.5, patients)["auc"]


def measure(arms: Arms, task: Task, which: list[str]) -> tuple[dict, pd.DataFrame]:
    """AUC of each arm with its interval, differences of pairs, and the scores of the validation crops."""
    points = np.concatenate(task.val_pairs)
    label = np.repeat([1, 0], len(task.val_pairs[0]))
    table = pd.DataFrame(
        {
            "frame": task.val.owner[points],
            "x": task.val.points[points, 0].astype(int),
            "y": task.val.points[points, 1].astype(int),
            "label": label,
        }
    )
    result, draws = {}, {}
    for arm in which:
        if arm == "frozen":
            crossed, score = arms.frozen()
        else:
            crossed = arms.cross_validated(arm) if arms.options.cross_validate else []
            score = arms.scores(arm, task.val, points)
        table[arm] = score
        draws[arm] = auc_draws(task, score)
        result[arm] = {
            "auc": float(roc_auc_score(label, score)),
            "ci95": percentile_interval(draws[arm]).bounds,
            "cross-validated": float(np.mean(crossed)) if crossed else None,
            "folds": crossed,
        }
    if {"real", "both"} <= set(which):
        difference = percentile_interval(draws["both"] - draws["real"])
        result["both - real"] = {
            "auc": result["both"]["auc"] - result["real"]["auc"],
            "ci95": difference.bounds,
            "cross-validated": (
                result["both"]["cross-validated"] - result["real"]["cross-validated"]
                if arms.options.cross_validate
                else None
            ),
        }
    return result, table


def point(arms: Arms, task: Task, arm: str) -> dict:
    """Pointing game of the arm's networks in the validation windows, beside the null baselines."""

    windows = draw_windows(task.val, np.random.default_rng(SEED))
    models = [
        Learner(SEED, arms.weights(arm, SEED + number, None)).model for number in range(arms.options.seeds)
    ]
    evidence = {
        method: np.mean([maps(model, task.val, windows, method) for model in models], axis=0)
        for method in METHODS
    }
    table = pointing(task.val, windows, evidence)
    found = {}
    for method, rows in table.groupby("method", sort=False):
        found[method] = {"windows": len(rows)}
        for name in ("hit", "hit_near"):
            values = rows[name].to_numpy(float)
            interval = bootstrap_statistic(values, rows["patient"].to_numpy(str))
            found[method][name] = {"mean": float(values.mean()), "ci95": interval.bounds}
    return found
