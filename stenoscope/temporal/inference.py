"""The trained network applied to the features of a clip."""

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from stenoscope.errors import WeightsError
from stenoscope.run import provenance
from stenoscope.temporal.batches import LENGTHS, padded
from stenoscope.temporal.decode import Detections, decode
from stenoscope.temporal.network import Parts, build

WEIGHTS = Path(__file__).with_name("weights.npz")
"""The weights that come with the project; docs/temporal.md says what made them."""
_FEATURES = "vesselness"  # what every network sees; weights files say so


def answers(network: keras.Model, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and offsets of the points of a clip of at most 96 frames, as `decode.decode` takes them.

    Means over the clip and its three mirror images: what the vessels look like matters less.
    """
    length = next(length for length in LENGTHS if length >= len(values))
    maps, seen = padded(values, length)
    maps = np.stack([maps[:, ::down, ::along] for down in (1, -1) for along in (1, -1)])
    points = network.predict_on_batch({"maps": maps, "seen": np.stack([seen] * len(maps))})["points"]
    points = points.astype(np.float64)
    return (1 / (1 + np.exp(-points[..., :2]))).mean(axis=0), points[..., 2:].mean(axis=0)


def localise(network: keras.Model, values: np.ndarray) -> tuple[Detections, np.ndarray]:
    """Actions of a clip, in its frames, and the score of each action in each frame, float32 (num_frames, 2).

    `values` is uint8 (num_frames, size, size, channels), as of `features.extract`. Of clips of more than 96
    frames, 96 are looked at, evenly spread. The scores are those of the network's finest level.
    """
    last = len(values) - 1
    time = np.arange(len(values)) if last < LENGTHS[-1] else np.linspace(0, last, LENGTHS[-1])
    scores, offsets = answers(network, values[np.round(time).astype(int)])
    found = decode(scores, offsets, len(time))
    segment = np.interp(found.segment, np.arange(len(time)), time)
    fine = [np.interp(np.arange(len(values)), time, scores[: len(time), k]) for k in (0, 1)]
    return Detections(found.action, segment, found.score), np.stack(fine, axis=1).astype(np.float32)


def save(network: keras.Model, parts: Parts, path: str | Path) -> None:
    """Write the weights as float16, in the order of the network's variables, its parts and its features."""
    buffer = io.BytesIO()
    arrays = {f"{k:03d}": value.astype(np.float16) for k, value in enumerate(network.get_weights())}
    np.savez_compressed(buffer, conv_lstm=parts.conv_lstm, features=_FEATURES, **arrays)
    provenance.write_bytes(path, buffer.getvalue())


def load(path: str | Path = WEIGHTS) -> keras.Model:
    """The network with the weights of a file that `save` wrote.

    Raises WeightsError if it is missing or holds something else, or weights for features other than
    vesselness.
    """
    parts = read_parts(path)
    with _stored(path) as stored:
        network, _ = build(parts)
        names = sorted(set(stored.files) - {"conv_lstm", "features"})
        network.set_weights([stored[name].astype(np.float32) for name in names])
    return network


def read_parts(path: str | Path = WEIGHTS) -> Parts:
    """What the network of a weights file consists of; a WeightsError as of `load`."""
    with _stored(path) as stored:
        # The weights that ship do not name their features: they are older than the entry.
        features = str(stored["features"]) if "features" in stored.files else _FEATURES
        parts = Parts(bool(stored["conv_lstm"]), contrast=False)
    if features != _FEATURES:
        raise WeightsError(
            f"{path} holds weights that were trained on the features {features!r}.",
            f"weights that were trained on {_FEATURES!r}, the only features that there are",
            "train again with `python -m stenoscope.temporal train`, or leave --weights out.",
        )
    return parts


@contextlib.contextmanager
def _stored(path: str | Path) -> Iterator:
    """The open file; whatever it lacks is a WeightsError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as problem:
        raise WeightsError(
            f"{path} can't be read as weights of the temporal network: {problem}.",
            "a file that `python -m stenoscope.temporal train` wrote",
            "restore it from the repository, or train it again.",
        ) from problem
