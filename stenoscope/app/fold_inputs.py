"""What step 3 starts from: the clips and folds that step 2 wrote, opened and checked."""

import functools
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stenoscope.data.clipset import ClipSet
from stenoscope.errors import ClusterError, DatasetError
from stenoscope.folds.files import FoldData, fold_numbers, read_fold
from stenoscope.records import Fold
from stenoscope.run import provenance
from stenoscope.run.cluster import await_file
from stenoscope.run.commands import again
from stenoscope.settings import FoldSettings
from stenoscope.training.machine import keras_backend


@functools.lru_cache(maxsize=1)
def opened(folder: str, inputs: tuple[tuple[str, str], ...]) -> tuple[ClipSet, list[FoldData]]:
    """Clips and folds in `folder`, which must be those that `inputs` names.

    A ClusterError if this machine does not see the folder, or sees another.
    """
    await_file(Path(folder) / provenance.MANIFEST)
    clips, folds, found = open_folds(folder)
    if tuple(sorted(found.items())) != inputs:
        raise ClusterError(
            f"{platform.node()} sees other clips or folds in {folder}, or has another Keras backend, "
            "than the run began with.",
            "one file system and environment that all machines share, and input that stays as it is",
            "run the same command again.",
        )
    return clips, folds


def open_folds(folder: str | Path) -> tuple[ClipSet, list[FoldData], dict[str, str]]:
    """Open what step 2 wrote: the clips, the folds, and what names them and the library that learns."""
    folder = Path(folder)
    manifest = provenance.read_manifest(folder, "folds", again(FoldSettings, folder))
    provenance.check_outputs(folder, manifest, [n for n in manifest["outputs"] if n.endswith(".pickle")])
    clips = ClipSet.open(folder / manifest["clips_folder"])
    if clips.sha256 != manifest["inputs"]["clips.pickle"]:
        raise DatasetError(
            f"{folder} was split from other key frames than {folder / manifest['clips_folder']} holds now.",
            "folds of the present clips.pickle",
            f"run `{again(FoldSettings, folder, overwrite=True)}`.",
        )
    folds = [read_fold(folder, number, clips.sha256) for number in fold_numbers(folder)]
    named = {
        "clips.pickle": clips.sha256,
        "folds": provenance.sha256_json(manifest["outputs"]),
        "seed of the folds": str(manifest["seed"]),  # to draw them again
        "Keras backend": keras_backend(),  # an experiment has one
    }
    return clips, folds, named


def shuffled_labels(labels: np.ndarray, folds: Sequence[Fold], seed: int) -> np.ndarray:
    """Labels permuted among the clips of each test fold.

    Shuffling inside the folds keeps every fold's prevalence: shuffling across them would couple the training
    part's prevalence to the test part's and push the pooled AUC of a blind classifier below 0.5.
    """
    rng = np.random.default_rng([seed, 0x5F])
    result = labels.copy()
    for fold in folds:
        result[fold.valid] = labels[rng.permutation(fold.valid)]
    return result
