"""Negatives that differ from positives in their lesions, and in as little else as possible.

Lesions lie on wide, proximal, well-filled arteries in the middle of the frame; a random point of the tree
does not. Each positive therefore gets negatives that are near to it in the covariates below and in two
propensity scores [1]_ (the log-odds, from the covariates, to be a positive: by a logistic regression and by
boosted trees, cross-fitted over patients). What is left over is measured by the AUC of classifiers that see
the covariates alone.

References
----------
.. [1] Rosenbaum PR, Rubin DB. Constructing a Control Group Using Multivariate Matched Sampling Methods That
   Incorporate the Propensity Score. Am Stat 39 (1985) 33-38.
"""

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.arcade.crops import Cohort
from benchmarks.arcade.vessels import FEATURES

MAIN = ("x", "y", "width", "width_near", "vesselness", "vesselness_rel", "brightness")
"""Position, width of the vessel, vesselness, brightness."""
MORE = ("vesselness_near", "vesselness_near_rel", "contrast", "spread", "vesselness_129", "centreline_129",
        "frame_vesselness", "coronary")  # fmt: skip
"""Matched too, with half the weight."""
COVARIATES = (*MAIN, *MORE)

PROPENSITY_WEIGHT = 2.0
NEIGHBOURS = 15
"""A positive's negative is drawn from so many nearest."""
PER_FRAME = 4
"""Most negatives of one frame among one-to-one pairs."""
APART = 32.0
"""Least distance of two negatives of one frame among one-to-one pairs, pixels."""
_LONGEST_SEARCH = 500


def covariates(cohort: Cohort) -> np.ndarray:
    """The columns `COVARIATES` of all points, float32 (num_points, len(COVARIATES))."""
    names = (*FEATURES, "coronary")
    return cohort.points[:, [names.index(name) for name in COVARIATES]]


def classifiers() -> dict[str, ClassifierMixin]:
    """What tries to tell positives from negatives by their covariates."""
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        "boosting": HistGradientBoostingClassifier(
            max_iter=150, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=40, random_state=0
        ),
    }


class Matcher:
    """Draws matched negatives of one cohort.

    Parameters
    ----------
    cohort : Cohort
    rng : Generator
    """

    def __init__(self, cohort: Cohort, rng: np.random.Generator):
        self.cohort = cohort
        values = covariates(cohort)
        weights = np.array([1.0] * len(MAIN) + [0.5] * len(MORE))
        scores = self._propensities(values, rng)
        pool = cohort.negatives
        self._place = np.column_stack(
            [_standard(values, pool) * weights, _standard(scores, pool) * PROPENSITY_WEIGHT]
        )

    def draw(self, positives: np.ndarray, rng: np.random.Generator, among: np.ndarray) -> np.ndarray:
        """A negative for each positive, drawn from the nearest among some; one may serve several positives.

        Parameters
        ----------
        positives : ndarray, int64, shape (n,)
            Points.
        rng : Generator
        among : ndarray, int64
            Points that may be drawn, a part of the cohort's negatives.

        Returns
        -------
        ndarray, int64, shape (n,)
        """
        count = min(NEIGHBOURS, len(among))
        _, nearest = cKDTree(self._place[among]).query(self._place[positives], k=[*range(1, count + 1)])
        return among[nearest[np.arange(len(positives)), rng.integers(0, count, len(positives))]]

    def pair(self, positives: np.ndarray) -> np.ndarray:
        """One negative for each positive, the nearest pairs first, none used twice; -1 where none is left.

        Of one frame at most `PER_FRAME` are taken, `APART` pixels or more from each other.
        """
        pool = self.cohort.negatives
        count = min(_LONGEST_SEARCH, len(pool))
        distance, nearest = cKDTree(self._place[pool]).query(self._place[positives], k=[*range(1, count + 1)])
        chosen = np.full(len(positives), -1)
        taken: dict[int, list[np.ndarray]] = {}
        for flat in np.argsort(distance, axis=None, kind="stable"):
            positive, rank = divmod(int(flat), count)
            if chosen[positive] >= 0:
                continue
            point = int(pool[nearest[positive, rank]])
            there = taken.setdefault(int(self.cohort.owner[point]), [])
            centre = self.cohort.centre(point)
            if len(there) < PER_FRAME and all(np.hypot(*(centre - other)) >= APART for other in there):
                chosen[positive] = point
                there.append(centre)
        return chosen

    def _propensities(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Log-odds to be a positive of all points that matter, by models that did not see their patient."""
        cohort, patients = self.cohort, self.cohort.patients[self.cohort.owner]
        positives = np.concatenate([rng.choice(points, 8) for _, points in cohort.lesions])
        # Every frame counts the same among the negatives, however long its centre-lines are.
        share = 1.0 / np.bincount(cohort.owner[cohort.negatives])[cohort.owner[cohort.negatives]]
        drawn = rng.choice(cohort.negatives, 2 * len(positives), p=share / share.sum())
        sample = np.concatenate([positives, drawn])
        label = np.repeat([1, 0], [len(positives), len(drawn)])
        used = np.union1d(cohort.negatives, np.concatenate([points for _, points in cohort.lesions]))
        scores = np.zeros((len(values), len(classifiers())))
        for train, test in GroupKFold(5).split(sample, label, patients[sample]):
            held = used[np.isin(patients[used], patients[sample[test]])]
            for column, model in enumerate(classifiers().values()):
                model.fit(values[sample[train]], label[train])
                chance = np.clip(model.predict_proba(values[held])[:, 1], 1e-3, 1 - 1e-3)
                scores[held, column] = np.log(chance / (1 - chance))
        return scores


def covariate_auc(
    train: tuple[Cohort, np.ndarray, np.ndarray], test: tuple[Cohort, np.ndarray, np.ndarray]
) -> dict[str, dict[str, float]]:
    """AUC on test crops of classifiers that see nothing but the covariates of their centres.

    Parameters
    ----------
    train, test : tuple of (Cohort, ndarray, ndarray)
        Points of positives and of negatives.

    Returns
    -------
    dict
        By classifier: ``trained`` (on the training crops) and ``cross-fitted`` (on the test crops themselves,
        five folds by patient), each for the `MAIN` covariates and for ``all``.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in classifiers()}
    for title, columns in (("main", slice(0, len(MAIN))), ("all", slice(None))):
        (known, label, _), (values, truth, groups) = (_labelled(*part) for part in (train, test))
        for name in found:
            model = classifiers()[name].fit(known[:, columns], label)
            score = model.predict_proba(values[:, columns])[:, 1]
            found[name][f"trained, {title}"] = float(roc_auc_score(truth, score))
            crossed = cross_val_predict(
                classifiers()[name], values[:, columns], truth, groups=groups, cv=GroupKFold(5),
                method="predict_proba",
            )[:, 1]  # fmt: skip
            found[name][f"cross-fitted, {title}"] = float(roc_auc_score(truth, crossed))
    return found


def _labelled(cohort: Cohort, positives: np.ndarray, negatives: np.ndarray):
    points = np.concatenate([positives, negatives])
    label = np.repeat([1, 0], [len(positives), len(negatives)])
    return covariates(cohort)[points], label, cohort.patients[cohort.owner[points]]


def _standard(values: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """In units of the standard deviation among the pool."""
    return (values - values[pool].mean(axis=0)) / np.maximum(values[pool].std(axis=0), 1e-6)
