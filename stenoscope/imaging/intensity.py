"""From stored values to grey levels, and from any frame size to 512 x 512.

A stored value passes the modality LUT, the VOI LUT or window, and the polarity. All three depend on nothing
but the stored value, so they are composed once per clip into one table of uint8 grey levels, indexed by the
stored value: every frame of the clip is rendered alike, at the cost of one look-up.

The equations are those of DICOM PS3.3 C.11.1 and C.11.2. They are written out here, because
`pydicom.pixels.apply_voi` wraps around for 8-bit tables of more than 256 entries and `apply_modality_lut`
refuses tables of 10 to 14 bits.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from stenoscope.geometry import source_to_frame
from stenoscope.records import FRAME_SIZE


class RenderingError(ValueError):
    """A header asks for a rendering that there is none of; the text quotes nothing but numbers."""


@dataclass(frozen=True, eq=False)  # arrays have no one truth value
class Lut:
    """A look-up table as DICOM stores it; equal to itself alone."""

    first: int  # input that the first entry maps; smaller inputs take the first entry, larger ones the last
    entries: np.ndarray  # int64 (n,)
    bits: int  # per entry; outputs range over 0 to 2**bits - 1

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Entries for `values` (any numeric dtype), float64 of the same shape."""
        index = np.rint(values).astype(np.int64) - self.first
        return self.entries[np.clip(index, 0, len(self.entries) - 1)].astype(np.float64)


@dataclass(frozen=True)
class Window:
    """A VOI window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: str = "LINEAR"

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Display values in 0..1 for `values`.

        LINEAR        (x - (c - 0.5)) / (w - 1) + 0.5
        LINEAR_EXACT  (x - c) / w + 0.5
        SIGMOID       1 / (1 + exp(-4 (x - c) / w))
        """
        if self.function == "SIGMOID":
            return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - self.center) / self.width, -700, 700)))
        center, width = self.center, self.width
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1.0
        if width == 0:  # a width of 1 is a threshold: x <= c - 0.5 is black
            return (values > center).astype(np.float64)
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)


@dataclass(frozen=True)
class Rendering:
    """How the stored values of one clip become grey levels."""

    bits: int  # stored, 1 to 16
    signed: bool = False  # stored values are two's complement
    # modality LUT, or slope and intercept; (1, 0) if none is to apply
    rescale: "Lut | tuple[float, float]" = (1.0, 0.0)
    voi: "Lut | Window | None" = None
    # MONOCHROME1: the smallest value is shown white, so grey levels are turned round after the VOI step
    inverted: bool = False
    # smallest and largest stored value that fills what was not imaged (PS3.3 C.7.5.1.1.2): black, whatever
    # the polarity, and left out of the clip's range
    padding: tuple[int, int] | None = None
    # PALETTE COLOR: grey level of each stored value, 0 to 255; takes the place of all of the above
    palette: Lut | None = None
    # what of the header is not part of this rendering, and why
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def lowest(self) -> int:
        """Smallest stored value: the one that entry 0 of `table` maps."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def needs_range(self) -> bool:
        """Whether `table` needs the clip's own range: more than 8 bits and no VOI in the file.

        Makers store 10 or 12 significant bits in 16 without saying so; the whole stored range would then be
        almost black. Up to 8 bits the stored range is the display range.
        """
        return self.voi is None and self.palette is None and self.bits > 8

    def extent(self, stored: np.ndarray) -> tuple[int, int] | None:
        """Smallest and largest stored value of a frame, padding aside; None if there is nothing else."""
        if self.padding is not None:
            stored = stored[(stored < self.padding[0]) | (stored > self.padding[1])]
        return (int(stored.min()), int(stored.max())) if stored.size else None

    def table(self, value_range: tuple[int, int] | None = None) -> np.ndarray:
        """Grey level of every stored value, uint8 (2**bits,): entry ``i`` is that of ``lowest + i``.

        `value_range`, the smallest and largest stored value of the whole clip, is used if `needs_range`.
        """
        stored = np.arange(1 << self.bits, dtype=np.int64) + self.lowest
        if self.palette is not None:
            return self.palette(stored).astype(np.uint8)
        rescale = self.rescale
        values = rescale(stored) if isinstance(rescale, Lut) else stored * rescale[0] + rescale[1]
        if isinstance(self.voi, Window):
            shown = self.voi(values)
        elif isinstance(self.voi, Lut):
            shown = self.voi(values) / ((1 << self.voi.bits) - 1)
        else:
            used = values
            if self.needs_range and value_range is not None:
                used = values[value_range[0] - self.lowest : value_range[1] - self.lowest + 1]
            low, high = used.min(), used.max()
            shown = (values - low) / (high - low) if high > low else np.zeros_like(values)
        if self.inverted:
            shown = 1.0 - shown
        grey = np.floor(np.clip(shown, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        if self.padding is not None:
            grey[(stored >= self.padding[0]) & (stored <= self.padding[1])] = 0
        return grey


def apply_table(stored: np.ndarray, table: np.ndarray, lowest: int = 0) -> np.ndarray:
    """Grey levels, uint8 (rows, cols), of a stored frame (integers) by a table, uint8 (n,).

    Entry 0 maps the stored value `lowest`; values beyond the table take its first or last entry.
    """
    if stored.dtype == np.uint8 and len(table) == 256 and lowest == 0:
        return cv2.LUT(stored, table)
    index = stored.astype(np.int32)
    index -= lowest
    return np.take(table, index, mode="clip")


def to_frame(grey: np.ndarray, size: int = FRAME_SIZE) -> np.ndarray:
    """Frame of `size` x `size` pixels: padded to a square with black, then resampled.

    `grey` is uint8 (rows, cols), and returned itself if it has that size. Shrinking averages areas (no
    aliasing of thin vessels), enlarging interpolates linearly. Where a source pixel lands,
    `geometry.source_to_frame` says.
    """
    rows, cols = grey.shape
    if rows != cols:
        side = max(rows, cols)
        top, left = source_to_frame(rows, cols).shift
        grey = cv2.copyMakeBorder(
            grey, top, side - rows - top, left, side - cols - left, cv2.BORDER_CONSTANT, value=0
        )
    if grey.shape[0] == size:
        return grey
    how = cv2.INTER_AREA if grey.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(grey, (size, size), interpolation=how)
