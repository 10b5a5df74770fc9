"""The grid of variants: 5 crops times 5 intensity offsets.

After Moon et al. 2021, "Automatic stenosis recognition from coronary angiography using convolutional neural
networks", Computer Methods and Programs in Biomedicine 198:105819, section 2.3.
"""

from typing import NamedTuple

from stenoscope.geometry import Window
from stenoscope.records import FRAME_SIZE

CROP_SIZE = 500
"""Rows and columns of every variant, pixels."""

_LAST = FRAME_SIZE - CROP_SIZE

CROPS: dict[str, tuple[int, int]] = {
    "top left": (0, 0),
    "top right": (0, _LAST),
    "centre": (_LAST // 2, _LAST // 2),
    "bottom left": (_LAST, 0),
    "bottom right": (_LAST, _LAST),
}
"""First row and column of each crop."""

CENTRE_CROP = Window(*CROPS["centre"], CROP_SIZE, CROP_SIZE)

OFFSETS = (-10, -5, 0, 5, 10)
"""Grey levels added to a crop."""


class Variant(NamedTuple):
    """One variant: the first row and column of its crop, and the grey levels added."""

    row: int
    col: int
    offset: int

    @property
    def window(self) -> Window:
        """The part of the frame that it shows."""
        return Window(self.row, self.col, CROP_SIZE, CROP_SIZE)


VARIANTS: tuple[Variant, ...] = tuple(
    Variant(row, col, offset) for row, col in CROPS.values() for offset in OFFSETS
)
"""All 25, crop by crop."""

CENTRE: int = VARIANTS.index(Variant(*CROPS["centre"], 0))
"""Index of the variant that testing and prediction use: the centre crop, unchanged."""
