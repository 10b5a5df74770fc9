"""Split clips into folds, stratified by label and grouped by patient."""

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

from stenoscope.errors import DatasetError
from stenoscope.records import Fold

_DRAWS = 100


def binary_labels(labels: np.ndarray) -> np.ndarray:
    """The label that folds are stratified by: the first column, float64 (n,), NaN where unknown.

    Labels are (n,) or (n, num_labels). A DatasetError if one is not 0, 1 or NaN.
    """
    labels = np.asarray(labels, dtype=np.float64)
    first = labels if labels.ndim == 1 else labels[:, 0]
    strange = first[~(np.isnan(first) | (first == 0) | (first == 1))]
    if strange.size:
        raise DatasetError(
            f"The label {strange[0]:g}.", "0 (normal), 1 (abnormal) or empty (unknown)", "correct labels.csv."
        )
    return first


def make_folds(
    labels: np.ndarray,
    patient_ids: Sequence[str],
    seed: int,
    num_folds: int = 5,
    flag: str = "step 2 with `--folds",
) -> list[Fold]:
    """Draw the folds.

    Clips whose label is unknown are in no fold. Every other clip is tested exactly once, no patient is in
    both parts of a fold, and every test part holds both classes. Same input and seed, same folds.

    Parameters
    ----------
    labels : ndarray, float, shape (n,) or (n, num_labels)
        0, 1 or NaN; of several labels, the first decides.
    patient_ids : sequence of str, length n
    seed : int
    num_folds : int
        Number of folds.
    flag : str
        What the fix of too many folds names before the number that works.

    Returns
    -------
    list of Fold
        Numbered from 1; indices refer to the n clips.

    Raises
    ------
    DatasetError
        If a class has fewer patients than there are folds, or no draw gives both classes to every fold.
    """
    first = binary_labels(labels)
    patients = np.asarray(patient_ids)
    if len(patients) != len(first):
        raise DatasetError(f"{len(first)} labels and {len(patients)} patients.", "one of each per clip", "")
    known = np.flatnonzero(~np.isnan(first))
    target, groups = first[known].astype(np.int64), patients[known]
    parts = _draw(target, groups, num_folds, seed)
    if parts:
        return [
            Fold(number, np.sort(known[train]), np.sort(known[test]))
            for number, (train, test) in enumerate(parts, start=1)
        ]
    works = next((n for n in range(num_folds - 1, 1, -1) if _draw(target, groups, n, seed)), 0)
    fewer = f"run {flag} {works}`, the largest number that works, or " if works else ""
    counts = {
        name: (len(np.unique(groups[target == value])), int((target == value).sum()))
        for value, name in enumerate(("normal", "abnormal"))
    }
    if all(patients >= num_folds for patients, _ in counts.values()):
        raise DatasetError(
            f"None of {_DRAWS} draws gave both classes to each of {num_folds} folds "
            f"({len(np.unique(groups))} patients, {len(target)} clips).",
            "enough patients of each class to share out",
            f"{fewer}add patients; a patient with both normal and abnormal clips counts in one fold only.",
        )
    found = "; ".join(
        f"{name} (label {value}): {patients} patients with {clips} clips"
        for value, (name, (patients, clips)) in enumerate(counts.items())
    )
    raise DatasetError(
        f"Too few patients for {num_folds} folds. {found}; without label: {len(first) - len(known)} clips.",
        f"at least {num_folds} patients in each class, because a patient is never split over folds",
        f"{fewer}add clips of more patients, or give the patients their own ids if several share one.",
    )


def _draw(
    target: np.ndarray, groups: np.ndarray, num_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test parts with both classes in every test part; empty if no draw gives them.

    The greedy split balances the classes well but promises nothing: draw again, from seeds of the seed.
    """
    if any(len(np.unique(groups[target == value])) < num_folds for value in (0, 1)):
        return []
    for state in np.random.SeedSequence(seed).generate_state(_DRAWS):
        splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=int(state))
        parts = list(splitter.split(target, target, groups))
        if all(len(np.unique(target[test])) == 2 for _, test in parts):
            return parts
    return []


def inner_split(
    train: np.ndarray, labels: np.ndarray, patient_ids: Sequence[str], share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hold a share of a training part's patients out of training, to calibrate and to choose thresholds on.

    Of 100 draws of patients, the one is taken whose share of abnormal clips is nearest to that of all, among
    those that leave clips of both classes in both parts. Same input and seed, same split.

    Parameters
    ----------
    train : ndarray, int64, shape (n,)
        Clip indices of the training part.
    labels : ndarray, float, shape (num_clips, num_labels)
        Of all clips; the first decides.
    patient_ids : sequence of str, length num_clips
    share : float
        Share of the patients to hold out, 0 to 1; with 0 nobody is.
    seed : int

    Returns
    -------
    train, inner : ndarray, int64
        Clip indices, ascending. No patient is in both.

    Raises
    ------
    DatasetError
        If there are too few patients for two parts with both classes.
    """
    if share == 0:
        return train, train[:0]
    target, groups = binary_labels(labels)[train], np.asarray(patient_ids)[train]

    def balance(part: np.ndarray) -> float:
        return abs(float(np.nanmean(target[part]) - np.nanmean(target)))

    splitter = GroupShuffleSplit(_DRAWS, test_size=share, random_state=seed % 2**32)
    draws = splitter.split(target, groups=groups) if len(np.unique(groups)) > 1 else ()
    possible = [
        (rest, held) for rest, held in draws if all({0.0, 1.0} <= set(target[part]) for part in (rest, held))
    ]
    if possible:
        rest, held = min(possible, key=lambda parts: balance(parts[1]))
        return np.sort(train[rest]), np.sort(train[held])
    abnormal = len(np.unique(groups[target == 1]))
    raise DatasetError(
        f"No draw held {share:g} of {len(np.unique(groups))} training patients ({abnormal} of them with an "
        "abnormal clip) out of training and left both classes in both parts.",
        "patients of both classes to train on and to hold out",
        "raise inner_share, add patients, or set inner_share to 0.",
    )
