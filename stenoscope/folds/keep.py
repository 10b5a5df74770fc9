"""Folds that stay as they were: every clip that has a fold keeps it, and only new clips are assigned."""

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from stenoscope.errors import DatasetError
from stenoscope.folds.files import FOLDS_CSV
from stenoscope.folds.split import binary_labels
from stenoscope.records import Fold
from stenoscope.run.csv_files import read_csv

_ANEW = "draw the folds anew: leave --keep_folds out and add --overwrite."


def read_kept(folder: str | PathLike) -> dict[str, int]:
    """The fold of each clip by the `folds.csv` in `folder`.

    A DatasetError if there is none, or it does not number folds from 1.
    """
    path = Path(folder) / FOLDS_CSV
    expected = "columns clip_id and fold, as step 2 writes them"
    if not path.is_file():
        raise DatasetError(f"No {path}: there are no folds to keep.", expected, "leave --keep_folds out.")
    try:
        table = read_csv(path)
        kept = dict(zip(table["clip_id"], table["fold"].astype(int), strict=True))
    except (KeyError, ValueError) as problem:
        raise DatasetError(f"{path} can't be read: {problem}.", expected, _ANEW) from problem
    numbers = set(kept.values())
    if not kept or len(kept) != len(table) or numbers != set(range(1, len(numbers) + 1)):
        raise DatasetError(f"{path} lists a clip twice, or leaves out a fold.", expected, _ANEW)
    return kept


def keep_folds(
    labels: np.ndarray, patient_ids: Sequence[str], clip_ids: Sequence[str], kept: dict[str, int]
) -> list[Fold]:
    """Folds in which every clip of `kept` has the fold that it had; clips that are gone are passed over.

    A new clip of a known patient goes to the patient's fold. A new patient goes to the fold that tests the
    fewest clips of the patient's commoner class, then the fewest clips, then the first: the patients with the
    most clips are assigned first, those with equally many by their id. Nothing is drawn. Labels, float (n,)
    or (n, num_labels), are 0, 1 or NaN; of several, the first decides, and clips without one are in no fold.
    A DatasetError if a patient has clips in two folds, or a fold would not test both classes.
    """
    first = binary_labels(labels)
    known = np.flatnonzero(~np.isnan(first))
    numbers = range(1, max(kept.values()) + 1)
    of_patient: dict[str, set[int]] = {}
    clips_of: dict[str, list[int]] = {}
    for clip in known:
        clips_of.setdefault(patient_ids[clip], []).append(int(clip))
        if clip_ids[clip] in kept:
            of_patient.setdefault(patient_ids[clip], set()).add(kept[clip_ids[clip]])
    torn = sorted(patient for patient, folds in of_patient.items() if len(folds) > 1)
    if torn:
        raise DatasetError(
            f"{len(torn)} patients have clips in several of the folds to keep, for example {torn[0]!r} in "
            f"{' and '.join(map(str, sorted(of_patient[torn[0]])))}.",
            "every patient in one fold",
            f"correct the column patient_id if it is wrong; else {_ANEW}",
        )
    fold_of = {patient: folds.pop() for patient, folds in of_patient.items()}
    sizes: Counter = Counter()
    for patient, fold in fold_of.items():
        sizes.update((fold, int(first[clip])) for clip in clips_of[patient])
    for patient in sorted(clips_of.keys() - fold_of.keys(), key=lambda name: (-len(clips_of[name]), name)):
        values = [int(first[clip]) for clip in clips_of[patient]]
        common = int(2 * sum(values) >= len(values))
        fold = min(numbers, key=lambda n: (sizes[n, common], sizes[n, 0] + sizes[n, 1], n))
        fold_of[patient] = fold
        sizes.update((fold, value) for value in values)
    for number in numbers:
        for value, name in enumerate(("normal", "abnormal")):
            if not sizes[number, value]:
                raise DatasetError(
                    f"Fold {number} would test no {name} clip any more.",
                    "clips of both classes in every fold",
                    _ANEW,
                )
    tested_in = np.array([fold_of[patient_ids[clip]] for clip in known])
    return [Fold(number, known[tested_in != number], known[tested_in == number]) for number in numbers]
