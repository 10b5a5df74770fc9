"""One geometry for source pixels, stored frame, crop, network input and map cells.

A grid resized to another size covers the same area, so coordinates are those of pixel edges: pixel i covers
[i, i + 1) and has its centre at i + 0.5.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import cv2
import numpy as np

from stenoscope.records import FRAME_SIZE


@dataclass(frozen=True)
class Transform:
    """From the coordinates of one grid to those of another: ``(place + shift) * scale``, each (row, column).

    Examples
    --------
    >>> to_input = Transform(shift=(-6, -6)).then(resizing((500, 500), (250, 250)))
    >>> to_input.box((6, 6, 506, 256)), to_input.inverse().box((0, 0, 250, 125))
    ((0.0, 0.0, 250.0, 125.0), (6.0, 6.0, 506.0, 256.0))
    """

    shift: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)

    def then(self, after: "Transform") -> Self:
        """This transform, followed by another."""
        shift = tuple(a + b / s for a, b, s in zip(self.shift, after.shift, self.scale, strict=True))
        scale = tuple(a * b for a, b in zip(self.scale, after.scale, strict=True))
        return type(self)(shift, scale)

    def inverse(self) -> Self:
        """The way back."""
        shift = tuple(-a * s for a, s in zip(self.shift, self.scale, strict=True))
        return type(self)(shift, tuple(1 / s for s in self.scale))

    def box(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box ``(x0, y0, x1, y1)`` in the other grid."""
        moved = ((value + self.shift[1 - i % 2]) * self.scale[1 - i % 2] for i, value in enumerate(box))
        return tuple(moved)

    def points(self, places: np.ndarray) -> np.ndarray:
        """Places in the other grid: float (..., 2), row and column."""
        return (np.asarray(places) + self.shift) * self.scale

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Pixels, whose centres have whole numbers, in the other grid: float (..., 2), row and column."""
        return self.points(np.asarray(places) + 0.5) - 0.5


def resizing(before: tuple[int, int], after: tuple[int, int]) -> Transform:
    """From a grid of `before` rows and columns to one of `after` over the same area."""
    return Transform(scale=(after[0] / before[0], after[1] / before[1]))


def source_to_frame(rows: int, cols: int, size: int = FRAME_SIZE) -> Transform:
    """From an image of any size to the stored frame: padded to a centred square, then resized."""
    side = max(rows, cols)
    scale = size / side
    return Transform(((side - rows) // 2, (side - cols) // 2), (scale, scale))


class Window(NamedTuple):
    """A part of the stored frame, pixels."""

    row: int
    col: int
    rows: int
    cols: int

    @property
    def from_frame(self) -> Transform:
        """From the frame's coordinates to those of the window."""
        return Transform((-self.row, -self.col))

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """A view of the window in frames (..., 512, 512)."""
        return frames[..., self.row : self.row + self.rows, self.col : self.col + self.cols]

    def place(self, cells: np.ndarray) -> np.ndarray:
        """A float map (rows, cols) that is stretched over the window, in the frame, float32 (512, 512).

        Values are interpolated linearly between the centres of the cells. The map's edge is repeated beyond
        them, and where the frame extends beyond the window. (By the layers alone, the receptive fields of a
        network with TensorFlow's padding are centred up to 7.5 px further right and down than its cells.
        Trained networks make up for it: on simulated lesions, class maps placed by the receptive fields lay 4
        px off, stretched ones less than 3.)
        """
        inside = cv2.resize(np.float32(cells), (self.cols, self.rows), interpolation=cv2.INTER_LINEAR)
        bottom, right = FRAME_SIZE - self.rows - self.row, FRAME_SIZE - self.cols - self.col
        return cv2.copyMakeBorder(inside, self.row, bottom, self.col, right, cv2.BORDER_REPLICATE)


WHOLE_FRAME = Window(0, 0, FRAME_SIZE, FRAME_SIZE)
