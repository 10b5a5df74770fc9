"""The fold files: what they hold, and how they are written and read back.

``fold_K_train.pickle`` and ``fold_K_valid.pickle`` hold indices into `clips.pickle`, labels and ids, not
frames; ``fold_K_mean.pickle`` the mean image of the training part. "valid" is the file name of the test
part, which no training sees. All are plain pickles (see `stenoscope.data.pickles`) and name the SHA-256 of
the `clips.pickle` they belong to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from stenoscope.augmentation.apply import apply_variant
from stenoscope.augmentation.grid import CROP_SIZE, VARIANTS
from stenoscope.data import pickles
from stenoscope.errors import DatasetError
from stenoscope.folds.mean_image import fold_mean_images, frame_rows
from stenoscope.folds.split import binary_labels
from stenoscope.records import Fold
from stenoscope.run.commands import again
from stenoscope.run.csv_files import to_csv
from stenoscope.run.provenance import atomic_path, read_manifest, write_text
from stenoscope.settings import FoldSettings

SCHEMA, VERSION = "stenoscope/fold", 1
FOLDS_CSV = "folds.csv"
_FRAMES_AT_ONCE = 64
_PART_KEYS = {"clips", "labels", "clip_ids", "patient_ids", "clips_sha256", "seed"}
_KEYS = {"train": _PART_KEYS, "valid": _PART_KEYS, "mean": {"mean_image", "clips_sha256", "seed"}}


@dataclass(frozen=True)
class FoldPart:
    """The training or the test part of a fold, n clips."""

    clips: np.ndarray  # int64 (n,): clip indices in `clips.pickle`, ascending
    labels: np.ndarray  # float32 (n, num_labels): 0, 1 or NaN (unknown)
    clip_ids: list[str]
    patient_ids: list[str]

    def __len__(self) -> int:
        return len(self.clips)


@dataclass(frozen=True)
class FoldData(Fold):
    """One fold, as read from its three files: `Fold`, and what it was made from.

    With `frame_wise`, for the leakage audit only, `train` and `valid` are numbers among all key frames
    instead of clip indices.
    """

    # float32 (500, 500): mean of the augmented training frames, grey levels
    mean_image: np.ndarray = field(repr=False)
    clips_sha256: str  # of the `clips.pickle` that the indices refer to
    seed: int  # of the split
    frame_wise: bool = False


def fold_numbers(folder: str | PathLike) -> range:
    """Numbers of the folds that step 2 wrote to `folder`, from 1: its manifest knows how many there are."""
    return range(1, len(read_manifest(folder, "folds", _made_by(folder))["counts"]["folds"]) + 1)


def fold_folders(experiment: str | PathLike) -> list[Path]:
    """The folders ``fold_K`` of an experiment whose folds are all trained, in the order of K."""
    return sorted(Path(experiment).glob("fold_[0-9]*"), key=lambda path: int(path.name.removeprefix("fold_")))


def fold_path(folder: str | PathLike, number: int, part: str) -> Path:
    """Path of one of a fold's three files; `part` is ``train``, ``valid`` or ``mean``."""
    return Path(folder) / f"fold_{number}_{part}.pickle"


def write_folds(folder: str | PathLike, clip_set, folds: Sequence[Fold], seed: int) -> dict:
    """Write the three files of every fold and `folds.csv`, each atomically; same input, same bytes.

    `folds` are from `split.make_folds` on the labels and patients of `clip_set`, drawn with `seed`. Returns
    counts for the manifest: ``patients``, ``clips``, ``normal``, ``abnormal``, ``unlabelled`` (in no fold),
    and ``folds``, a list with the counts of each test part.
    """
    folder = Path(folder)
    for fold, mean in zip(folds, fold_mean_images(clip_set.frames, folds), strict=True):
        header = {
            "schema": SCHEMA,
            "version": VERSION,
            "fold": fold.number,
            "clips_sha256": clip_set.sha256,
            "seed": int(seed),
        }
        for name, clips in (("train", fold.train), ("valid", fold.valid)):
            part = _part(clip_set, clips)
            pickles.dump({**header, "part": name, **vars(part)}, fold_path(folder, fold.number, name))
        pickles.dump({**header, "part": "mean", "mean_image": mean}, fold_path(folder, fold.number, "mean"))
    table = folds_table(clip_set, folds)
    write_text(folder / FOLDS_CSV, to_csv(table))
    return fold_counts(clip_set, folds)


def read_fold(folder: str | PathLike, number: int, clips_sha256: str | None = None) -> FoldData:
    """Read one fold, from 1, and check that its three files belong together.

    `clips_sha256` is that of the clips that the indices will be used on, if it is to be compared. A
    DatasetError if a file is missing, damaged, or belongs to another split or to other clips.
    """
    contents = {name: _read(folder, number, name) for name in ("train", "valid", "mean")}
    origin = {(content["clips_sha256"], content["seed"]) for content in contents.values()}
    if len(origin) > 1:
        raise DatasetError(
            f"The files of fold {number} in {folder} come from different splits.",
            "three files written by one run",
            f"run `{_made_by(folder)}`.",
        )
    ((sha256, seed),) = origin
    if clips_sha256 not in (None, sha256):
        raise DatasetError(
            f"The folds in {folder} were drawn from another clips.pickle ({sha256[:12]}... there, "
            f"{clips_sha256[:12]}... given).",
            "folds and clips that belong together",
            f"draw them again with `{_made_by(folder)}`, or name the clips they belong to.",
        )
    shared = set(contents["train"]["patient_ids"]) & set(contents["valid"]["patient_ids"])
    if shared:
        raise DatasetError(
            f"Fold {number} in {folder} has {len(shared)} patients in both parts ({min(shared)}).",
            "no patient in both",
            f"run `{_made_by(folder)}`.",
        )
    train, valid = contents["train"]["clips"], contents["valid"]["clips"]
    return FoldData(number, train, valid, contents["mean"]["mean_image"], sha256, seed)


def read_part(folder: str | PathLike, number: int, part: str) -> FoldPart:
    """Read the ``train`` or ``valid`` file of a fold, with labels and ids."""
    content = _read(folder, number, part)
    return FoldPart(**{key: content[key] for key in ("clips", "labels", "clip_ids", "patient_ids")})


def folds_table(clip_set, folds: Sequence[Fold]) -> pd.DataFrame:
    """One row per labelled clip, in the clip set's order: clip_id, patient_id, labels, fold (tested in)."""
    tested_in = {int(clip): fold.number for fold in folds for clip in fold.valid}
    clips = sorted(tested_in)
    labels = pd.DataFrame(np.asarray(clip_set.labels)[clips], columns=list(clip_set.label_names))
    labels = labels.astype(pd.Int64Dtype())  # 0, 1 or empty, never 0.0
    table = pd.DataFrame({"clip_id": [clip_set.clip_ids[clip] for clip in clips]})
    table["patient_id"] = [clip_set.patient_ids[clip] for clip in clips]
    return table.join(labels).assign(fold=[tested_in[clip] for clip in clips])


def fold_counts(clip_set, folds: Sequence[Fold]) -> dict:
    """How many patients and clips there are, by label, in all and in each test part."""
    labels = binary_labels(clip_set.labels)

    def count(clips: np.ndarray) -> dict:
        return {
            "patients": len({clip_set.patient_ids[clip] for clip in clips}),
            "clips": len(clips),
            "normal": int((labels[clips] == 0).sum()),
            "abnormal": int((labels[clips] == 1).sum()),
        }

    total = count(np.concatenate([fold.valid for fold in folds]))
    return {
        **total,
        "unlabelled": len(labels) - total["clips"],
        "folds": [{"fold": fold.number, **count(fold.valid)} for fold in folds],
    }


def materialized_path(folder: str | PathLike, number: int) -> Path:
    """Path of the augmented training frames of a fold."""
    return Path(folder) / f"fold_{number}_train.npy"


def write_materialized(
    folder: str | PathLike, clip_set, fold: Fold, on_variant: Callable[[], None] = lambda: None
) -> Path:
    """Write all variants of a fold's training frames as one array; memory use does not grow with it.

    ``fold_K_train.npy``: uint8 (25, num_frames, 500, 500), variants in the order of
    `augmentation.grid.VARIANTS`, all key frames of a clip after the other, clips in the order of the training
    part. `on_variant` is called after each of the 25.
    """
    path, rows = materialized_path(folder, fold.number), frame_rows(fold.train, clip_set.frames.shape[1])
    flat = clip_set.frames.reshape(-1, *clip_set.frames.shape[2:])
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)),
        "fortran_order": False,
        "shape": (len(VARIANTS), len(rows), CROP_SIZE, CROP_SIZE),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for variant in VARIANTS:
            for first in range(0, len(rows), _FRAMES_AT_ONCE):
                stream.write(apply_variant(flat[rows[first : first + _FRAMES_AT_ONCE]], variant).data)
            on_variant()
    return path


def _made_by(folder: str | PathLike) -> str:
    return again(FoldSettings, folder, overwrite=Path(folder).is_dir())


def _part(clip_set, clips: np.ndarray) -> FoldPart:
    return FoldPart(
        clips=np.ascontiguousarray(clips, dtype=np.int64),
        labels=np.ascontiguousarray(np.asarray(clip_set.labels)[clips], dtype=np.float32),
        clip_ids=[clip_set.clip_ids[clip] for clip in clips],
        patient_ids=[clip_set.patient_ids[clip] for clip in clips],
    )


def _read(folder: str | PathLike, number: int, name: str) -> dict:
    path = fold_path(folder, number, name)
    if not path.is_file():
        raise DatasetError(f"No {path}.", "three files for each fold", f"run `{_made_by(folder)}`.")
    content = pickles.load(path, f"run `{_made_by(folder)}`.")
    expected = {"schema": SCHEMA, "version": VERSION, "fold": number, "part": name}
    found = (
        {key: content.get(key) for key in expected} if isinstance(content, dict) else type(content).__name__
    )
    if found != expected or not _KEYS[name] <= content.keys():
        raise DatasetError(
            f"{path} holds {found}.",
            f"{expected} in full",
            f"run `{_made_by(folder)}`.",
        )
    return content
