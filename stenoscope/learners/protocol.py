"""What a learner is: everything after training knows it by these methods alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from stenoscope.errors import SettingsError
from stenoscope.folds.part import TrainingPart
from stenoscope.geometry import WHOLE_FRAME, Window
from stenoscope.settings import TrainingSettings


class Learner(ABC):
    """Learns from the key frames of a training part, and tells the probability of each label for others.

    A learner must have `fit`, `predict`, `save` and `load`. One that can show where its evidence lies also
    has `methods` and `explain`; everything else has a default. Made from the settings and the number of label
    columns; raises SettingsError for settings that it can't follow, before any training.
    """

    suffix: ClassVar[str]
    """Ends the name of the file that `save` writes. No pickle: experiments are passed on."""

    window: ClassVar[Window] = WHOLE_FRAME
    """The part of the frame over which its maps are stretched."""

    slow: ClassVar[Sequence[str]] = ()
    """Methods of `explain` that take too long for every key frame of a clip."""

    parts: ClassVar[Sequence[str]] = ()
    """What `randomised` can replace."""

    def __init__(self, settings: TrainingSettings, num_labels: int = 1):
        self.settings, self.num_labels = settings, num_labels

    @classmethod
    def prepare(cls, settings: TrainingSettings, threads: int) -> str:
        """Load and seed the library that it computes with, before all else; returns where, for the user."""
        return "CPU"

    @classmethod
    def methods(cls, settings: TrainingSettings) -> list[str]:
        """Methods of `explain` that an experiment draws and keeps, its own first; none, no heatmaps."""
        return []

    @classmethod
    def epochs(cls, settings: TrainingSettings) -> int:
        """Epochs of a training, as far as `fit` reports them; 0 without."""
        return 0

    @classmethod
    def described(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """What a model card says of it: kind, type, input, start, training, imbalance, limits.

        `settings` are those of an experiment's config.yaml. What is left out is left to the author.
        """
        return {}

    @property
    def title(self) -> str:
        """What is built, for the user."""
        return self.settings.learner

    @abstractmethod
    def fit(
        self,
        part: TrainingPart,
        on_epoch: Callable[[dict], None] = lambda row: None,
        checkpoint: Path | None = None,
    ) -> list[dict]:
        """Learn from a training part alone: what was learnt before is forgotten.

        Parameters
        ----------
        part : TrainingPart
        on_epoch : callable
            Called with each epoch's row of the history.
        checkpoint : Path, optional
            File to write the unfinished training to, and to resume from if it exists.

        Returns
        -------
        list of dict
            The history: a row for each epoch, with ``epoch``, ``loss``, ``seconds`` and what else is known;
            empty without epochs.
        """

    @abstractmethod
    def predict(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Probability of each label, 0 to 1: float32 (num_frames, num_labels).

        `frames` are key frames as they are stored, uint8 (512, 512); slices give arrays. They may lie on the
        disk, so read some at a time. A frame's probability does not depend on those beside it.
        """

    def explain(self, frames: np.ndarray, method: str, label: int = 0) -> np.ndarray:
        """Where the evidence for a label lies.

        Parameters
        ----------
        frames : ndarray, uint8, shape (n, 512, 512)
        method : str
            One of `methods`, or another that it knows.
        label : int
            Column of the labels.

        Returns
        -------
        ndarray, float32, shape (n, rows, cols)
            Signed evidence, all images on one scale, stretched over `window` of the frame. The resolution is
            the method's own.

        Raises
        ------
        SettingsError
            If it has no such method.
        """
        raise self.cannot("draw heatmaps")

    @contextmanager
    def randomised(self, part: str, seed: Sequence[int]) -> Iterator[None]:
        """Replace what was learnt in one of `parts` by random numbers while the context lasts."""
        raise self.cannot("be randomised")
        yield

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write what was learnt to a file."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path, settings: TrainingSettings) -> Self:
        """A learner from its file: it predicts and explains as the one that was saved."""

    @classmethod
    def as_network(cls, learners: Sequence[Self]) -> Any:
        """Several learners as one Keras model, from stored frames to the outputs that `export` writes.

        Raises SettingsError if it is no network.
        """
        raise learners[0].cannot("be written as ONNX")

    def cannot(self, what: str) -> SettingsError:
        """The error of a learner that lacks an optional method."""
        return SettingsError(
            f"The learner {self.settings.learner!r} can't {what}.",
            "a learner that can, such as 'cnn'",
            "train an experiment with --learner cnn.",
        )
