"""What a learner is given of a fold: the training part, and nothing of the test part."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from stenoscope.folds.files import FoldData
from stenoscope.folds.mean_image import frame_rows
from stenoscope.records import FRAME_SIZE


class Rows:
    """Some of all key frames, uint8 (num_clips, num_keyframes, 512, 512), each read when it is asked for.

    `rows`, int64 (n,), are their numbers, as of `frame_rows`.
    """

    def __init__(self, frames: np.ndarray, rows: np.ndarray):
        self._frames, self._rows = frames, rows

    def _frame(self, row: int) -> np.ndarray:
        return self._frames[divmod(int(row), self._frames.shape[1])]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int | slice) -> np.ndarray:
        if not isinstance(index, slice):
            return self._frame(self._rows[index])
        some = [self._frame(row) for row in self._rows[index]]
        return np.stack(some) if some else np.zeros((0, FRAME_SIZE, FRAME_SIZE), np.uint8)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._frame, self._rows)


@dataclass(frozen=True)
class TrainingPart:
    """The training part of a fold.

    With `frame_wise`, for the leakage audit only, `train` holds numbers among all key frames instead of
    clips.
    """

    number: int  # the fold, from 1
    # key frames of all clips, uint8 (num_clips, num_keyframes, 512, 512), mapped from the disk; those of
    # other parts are not to be read
    frames: np.ndarray
    train: np.ndarray  # clip indices, int64 (n,)
    # float32 (num_clips, num_labels): 0, 1 or NaN: unknown, or of a clip that is not in the training part
    labels: np.ndarray
    mean_image: np.ndarray  # float32 (500, 500): of the training part
    frame_wise: bool = False

    @classmethod
    def of(cls, fold: FoldData, frames: np.ndarray, labels: np.ndarray) -> Self:
        """The training part of a fold, with the labels of no other clip."""
        known = fold.train // frames.shape[1] if fold.frame_wise else fold.train
        hidden = np.full_like(labels, np.nan)
        hidden[known] = labels[known]
        return cls(fold.number, frames, fold.train, hidden, fold.mean_image, fold.frame_wise)

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the training part's frames among all key frames, int64."""
        return self.train if self.frame_wise else frame_rows(self.train, self.frames.shape[1])

    def examples(self) -> tuple[Rows, np.ndarray]:
        """The frames of the training part, and the labels of each, float32 (n, num_labels)."""
        return Rows(self.frames, self.rows), self.labels[self.rows // self.frames.shape[1]]
