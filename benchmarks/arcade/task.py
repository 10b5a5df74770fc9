"""The task: cohorts of frames, fixed pairs of crops, and what their covariates alone would tell."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.arcade.alike import ALIKE, groups, likeness
from benchmarks.arcade.crops import Cohort, Source, make_cohort, middle_of
from benchmarks.arcade.images import fill, read_grey, read_vessels
from benchmarks.arcade.matching import Matcher, covariate_auc
from benchmarks.arcade.vessels import CoronaryFilter, describe, on_mask
from stenoscope.data.arcade import LesionImage, read_lesions
from stenoscope.data.clipset import ClipSet
from stenoscope.run import provenance

SEED = 7
SIMULATED_KEYFRAMES = (1, 3)
"""Key frames of each simulated clip that are used."""
_COMPUTED_BY = ("augmentation", "heatmaps", "models", "training", "vesselness")
"""Rooms of the package that a part depends on, beside the modules of this folder."""


class Keeper:
    """Keeps finished parts of a run in a folder and uses them again while program and inputs are the same."""

    def __init__(self, folder: Path):
        self.folder = folder
        here = Path(__file__).resolve().parent
        rooms = [here, *(here.parent.parent / "stenoscope" / room for room in _COMPUTED_BY)]
        self._program = [provenance.sha256_file(path) for room in rooms for path in sorted(room.glob("*.py"))]

    def __call__(self, name: str, recipe, make: Callable):
        """The part `name`, an array or a list of them, made by ``make()`` unless it is there.

        `recipe` is all that it depends on, beside the program.
        """
        key = provenance.sha256_json([self._program, recipe])[:12]
        path = self.folder / "parts" / f"{name}-{key}.npz"
        if path.is_file():
            with np.load(path) as kept:
                return kept["alone"] if "alone" in kept else list(kept.values())
        value = make()
        with provenance.atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, *value) if isinstance(value, list) else np.savez(stream, alone=value)
        return value


@dataclass(frozen=True)
class Task:
    """Two cohorts and the fixed crops of each: positives and their matched negatives, pair by pair."""

    train: Cohort
    val: Cohort
    matcher: Matcher
    train_pairs: tuple[np.ndarray, np.ndarray]
    val_pairs: tuple[np.ndarray, np.ndarray]


def sources_of(images: list[LesionImage], patients: np.ndarray) -> list[Source]:
    """Frames of ARCADE with the middles of their lesions."""
    found = []
    for image, patient in zip(images, patients, strict=True):
        frame = read_grey(image.path)
        middles = []
        for polygons in image.polygons:
            mask = np.zeros(frame.shape, np.uint8)
            fill(mask, polygons)
            middles.append(middle_of(mask))
        found.append(Source(frame, str(patient), image.boxes, np.array(middles, np.float32)))
    return found


def simulated_sources(folders: list[Path]) -> list[Source]:
    """Frames of simulated cohorts, from the key-frame folders that `pickle_generator.py` wrote."""
    found = []
    for folder in folders:
        clips = ClipSet.open(folder)
        for index, patient in enumerate(clips.patient_ids):
            for keyframe in SIMULATED_KEYFRAMES:
                boxes = np.array([item["boxes"][keyframe] for item in clips.lesions[index]], np.float32)
                boxes = boxes.reshape(-1, 4)
                frame = np.array(clips.frames[index, keyframe])
                middles = (boxes[:, :2] + boxes[:, 2:]) / 2
                found.append(Source(frame, f"{folder}/{patient}", boxes, middles))
    return found


def tables_of(keep: Keeper, name: str, frames: list[np.ndarray]) -> list[np.ndarray]:
    """`vessels.describe` of frames, kept."""
    recipe = joblib.hash(np.stack(frames))
    return keep(
        name, recipe, lambda: [describe(frame) for frame in _progress(frames, f"centre-lines, {name}")]
    )


def fit_filter(keep: Keeper, root: Path, tested: np.ndarray) -> tuple[CoronaryFilter, int]:
    """The filter of coronary points, from frames of the syntax task that look like none of `tested`.

    Its training frames are used, or its validation frames where only those are there.

    Parameters
    ----------
    keep : Keeper
    root : Path
        ARCADE's folder.
    tested : ndarray, uint8, shape (n, 512, 512)
        Frames that crops are tested on: some of the syntax task's are the same, or of the same patient.

    Returns
    -------
    filter : CoronaryFilter
    left_out : int
        Frames of the syntax task that look like one of `tested`.
    """
    split = next((item for item in ("train", "val") if (root / "syntax" / item).is_dir()), "train")
    vessels = [item for item in read_vessels(root, split) if item.mask.any()]
    frames = np.stack([read_grey(item.path) for item in vessels])
    alike = likeness(frames, tested).max(axis=1) >= ALIKE
    tables = tables_of(keep, f"syntax-{split}", list(frames[~alike]))
    used = [item for item, same in zip(vessels, alike, strict=True) if not same]
    known = [on_mask(table, item.mask) for table, item in zip(tables, used, strict=True)]
    return CoronaryFilter(SEED).fit(np.concatenate(tables), np.concatenate(known)), int(alike.sum())


def make_task(keep: Keeper, root: Path, limit: int) -> tuple[Task, CoronaryFilter, dict]:
    """Cohorts, fixed crops and the covariate table."""
    images = {split: read_lesions(root, split) for split in ("train", "val")}
    if limit:
        images = {split: items[:limit] for split, items in images.items()}
    frames = {split: np.stack([read_grey(item.path) for item in items]) for split, items in images.items()}
    alike = likeness(frames["train"], frames["val"]).max(axis=1) >= ALIKE
    coronary, left_out = fit_filter(keep, root, frames["val"])
    cohorts: dict[str, Cohort] = {}
    counts = {
        "frames left out of training, alike one of val": int(alike.sum()),
        "frames left out of the crop filter, alike one of val": left_out,
    }
    for split, items in images.items():
        used = ~alike if split == "train" else np.ones(len(items), bool)
        kept = [item for item, use in zip(items, used, strict=True) if use]
        sources = sources_of(kept, groups(frames[split][used]))
        tables = tables_of(keep, f"stenosis-{split}", [source.frame for source in sources])
        cohort = cohorts[split] = make_cohort(sources, tables, coronary)
        counts[split] = {
            "frames": len(sources),
            "patients, at most": len(np.unique(cohort.patients)),
            "lesions": sum(len(source.boxes) for source in sources),
            "lesions that crops can show": len(cohort.lesions),
        }
    pairs, matchers = {}, {}
    for split, cohort in cohorts.items():
        rng = np.random.default_rng(SEED)
        matcher = matchers[split] = Matcher(cohort, rng)
        positives = np.array([rng.choice(points) for _, points in cohort.lesions])
        negatives = matcher.pair(positives)
        pairs[split] = positives[negatives >= 0], negatives[negatives >= 0]
        counts[split]["pairs"] = len(pairs[split][0])
        counts[split]["frames that negatives are of"] = len(np.unique(cohort.owner[pairs[split][1]]))
    task = Task(cohorts["train"], cohorts["val"], matchers["train"], pairs["train"], pairs["val"])
    return task, coronary, counts


def covariate_table(task: Task) -> dict:
    """What covariates alone tell: of training crops as epochs draw them, and of random negatives instead."""
    rng = np.random.default_rng(SEED)
    lessons = [rng.choice(points) for _ in range(4) for _, points in task.train.lesions]
    positives = np.array(lessons)
    matched = task.matcher.draw(positives, rng, task.train.negatives)

    def anywhere(cohort: Cohort, count: int) -> np.ndarray:
        frames = rng.choice(np.unique(cohort.owner[cohort.negatives]), count)
        return np.array([rng.choice(cohort.negatives[cohort.owner[cohort.negatives] == f]) for f in frames])

    return {
        "matched": covariate_auc((task.train, positives, matched), (task.val, *task.val_pairs)),
        "not matched": covariate_auc(
            (task.train, positives, anywhere(task.train, len(positives))),
            (task.val, task.val_pairs[0], anywhere(task.val, len(task.val_pairs[0]))),
        ),
    }


def _progress(items, description: str):
    return track(items, description=description, console=Console(stderr=True), transient=True)
