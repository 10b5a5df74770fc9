"""A fold's training after a whole epoch, on disk: what is needed to go on as if nothing had happened.

Plans and augmentation are drawn from (seed, fold, epoch), so no generator has a state to keep. Layers that
keep their weights are set by the fold's start and left out.
"""

import json
import struct
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np

from stenoscope.errors import DatasetError
from stenoscope.run.provenance import atomic_path

# What NumPy and zipfile raise where any byte of the file is another (found by changing each).
_DAMAGED = (
    OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, RuntimeError, struct.error,
)  # fmt: skip


def _variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    layers = [layer for layer in model.layers if layer.trainable]
    return [variable for layer in layers for variable in layer.variables] + list(optimizer.variables)


def save(
    path: Path | None, model: keras.Model, optimizer: keras.optimizers.Optimizer, history: list[dict]
) -> None:
    """Write weights, optimizer state and history to `path` atomically; nothing where it is None.

    The trainable layers are kept, with batch norm's statistics. `history` has one row per finished epoch.
    """
    if path is None:
        return
    values = [keras.ops.convert_to_numpy(variable) for variable in _variables(model, optimizer)]
    arrays = {f"v{index}": value for index, value in enumerate(values)}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, history=np.array(json.dumps(history)), **arrays)


def restore(path: Path | None, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[dict]:
    """Set model and optimizer to what `path` holds and return the history; empty if there is no such file.

    A DatasetError if the file is damaged or belongs to another network.
    """
    if path is None or not path.exists():
        return []
    variables = _variables(model, optimizer)
    fix = "delete it: the fold then starts again."
    try:
        with np.load(path, allow_pickle=False) as stored:
            history = json.loads(str(stored["history"]))
            values = [stored[f"v{index}"] for index in range(len(stored.files) - 1)]
    except _DAMAGED as problem:
        raise DatasetError(f"{path} can't be read: {problem}.", "a checkpoint", fix) from problem
    shapes = [tuple(variable.shape) for variable in variables]
    if [value.shape for value in values] != shapes:
        raise DatasetError(f"{path} belongs to another network.", "weights that fit this one", fix)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return history
