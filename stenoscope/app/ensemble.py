"""The folds' learners of a finished experiment together: what `predict` and `export` share."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stenoscope.folds.files import fold_folders
from stenoscope.learners.protocol import Learner
from stenoscope.learners.registry import get_learner
from stenoscope.results.files import model_path
from stenoscope.run.cli import progress, say
from stenoscope.settings import TrainingSettings


def load_learners(experiment: Path, trained: TrainingSettings, threads: int) -> list[Learner]:
    """The learners of the folds, after their library was given its threads."""
    kind = get_learner(trained.learner)
    where = kind.prepare(replace(trained, deterministic=True), threads)
    folders, learners = fold_folders(experiment), []
    say(f"Loading the {len(folders)} models of {experiment} ({where}) ...")
    with progress("models", len(folders)) as step:
        for folder in folders:
            learners.append(kind.load(model_path(folder, kind.suffix), trained))
            step()
    return learners


def ensemble_probabilities(learners: Sequence[Learner], frames: np.ndarray) -> np.ndarray:
    """Probability of "abnormal" by each learner, float32 (num_learners, n), of uint8 frames (n, 512, 512)."""
    return np.stack([learner.predict(frames)[:, 0] for learner in learners])


def ensemble_maps(learners: Sequence[Learner], frames: np.ndarray, method: str) -> np.ndarray:
    """The learners' mean map of uint8 frames (n, 512, 512), in their coordinates, float32, the same shape."""
    maps = np.mean([learner.explain(frames, method) for learner in learners], axis=0)
    return np.stack([learners[0].window.place(cells) for cells in maps])
