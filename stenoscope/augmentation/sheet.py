"""Draw one key frame in all its variants, and as training sees it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stenoscope.augmentation.apply import apply_variant
from stenoscope.augmentation.grid import CENTRE, CROP_SIZE, CROPS, OFFSETS, Variant
from stenoscope.records import FRAME_SIZE

_CELL, _GAP, _LEFT, _TOP, _MARGIN = 240, 10, 150, 118, 28
_PAPER, _INK, _QUIET, _ACCENT = (250, 250, 248), (28, 30, 34), (120, 124, 130), (217, 95, 14)


def draw_sheet(frame: np.ndarray, title: str = "") -> np.ndarray:
    """All 25 variants of a frame, uint8 (512, 512), as a labelled grid: crops down, intensity offsets across.

    RGB, uint8 (rows, cols, 3), under a title, e.g. clip id and key frame. The variant used for testing has a
    coloured border.
    """
    step = _CELL + _GAP
    width = _LEFT + len(OFFSETS) * step - _GAP + _MARGIN
    height = _TOP + len(CROPS) * step - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, text, small = (ImageFont.load_default(size) for size in (26, 18, 15))
    draw.text((_MARGIN, 22), title or "The 25 variants of a key frame", font=large, fill=_INK)
    note = f"{CROP_SIZE} x {CROP_SIZE} pixels of {FRAME_SIZE} x {FRAME_SIZE}; outlined: used for testing"
    draw.text((_MARGIN, 56), note, font=small, fill=_QUIET)
    for column, offset in enumerate(OFFSETS):
        caption = f"{offset:+d} grey levels" if offset else "unchanged"
        x = _LEFT + column * step + _CELL // 2
        draw.text((x, _TOP - 12), caption, font=text, fill=_INK, anchor="ms")
    for line, (name, (row, col)) in enumerate(CROPS.items()):
        y = _TOP + line * step
        _draw_position(draw, _MARGIN, y, row, col)
        draw.text((_MARGIN, y + 76), name, font=text, fill=_INK)
        draw.text((_MARGIN, y + 102), f"from row {row}", font=small, fill=_QUIET)
        draw.text((_MARGIN, y + 122), f"column {col}", font=small, fill=_QUIET)
        for column, offset in enumerate(OFFSETS):
            variant = apply_variant(frame, Variant(row, col, offset))
            cell = cv2.resize(variant, (_CELL, _CELL), interpolation=cv2.INTER_AREA)
            sheet.paste(Image.fromarray(cell), (_LEFT + column * step, y))
    line, column = divmod(CENTRE, len(OFFSETS))
    x, y = _LEFT + column * step, _TOP + line * step
    draw.rectangle((x - 4, y - 4, x + _CELL + 3, y + _CELL + 3), outline=_ACCENT, width=4)
    return np.asarray(sheet)


@dataclass(frozen=True)
class Example:
    """One image of the training, and its twin: both uint8 (rows, cols)."""

    image: np.ndarray = field(repr=False)
    captions: tuple[str, ...]  # what was done to the frame, a line each
    # with a synthetic narrowing; None where there is no twin
    twin: np.ndarray | None = field(default=None, repr=False)
    # row and column of the narrowing in the twin; None where no vessel was found
    place: tuple[float, float] | None = None


def draw_training(seen: Sequence[Example], title: str, notes: Sequence[str]) -> np.ndarray:
    """A key frame in several epochs of a training, in their order, five a line, each above its twin.

    `notes` are lines under the title. RGB, uint8 (rows, cols, 3). A ring marks the narrowing of a twin.
    """
    columns, text_height = 5, 26 + 18 * max(len(one.captions) for one in seen)
    twins = any(one.twin is not None for one in seen)
    band = (_CELL + text_height) + (_CELL + 30 if twins else 0) + _GAP
    lines = -(-len(seen) // columns)
    top = 62 + 20 * len(notes) + 14
    sheet = Image.new("RGB", (2 * _MARGIN + columns * (_CELL + _GAP) - _GAP, top + lines * band), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(26), ImageFont.load_default(15)
    draw.text((_MARGIN, 22), title, font=large, fill=_INK)
    for line, note in enumerate(notes):
        draw.text((_MARGIN, 60 + 20 * line), note, font=small, fill=_QUIET)
    for epoch, one in enumerate(seen):
        line, column = divmod(epoch, columns)
        x, y = _MARGIN + column * (_CELL + _GAP), top + line * band
        for text_line, caption in enumerate((f"epoch {epoch + 1}", *one.captions)):
            draw.text((x, y + 18 * text_line), caption, font=small, fill=_QUIET if text_line else _INK)
        y += text_height
        sheet.paste(_cell(one.image), (x, y))
        if one.twin is None:
            continue
        y += _CELL + 6
        sheet.paste(_cell(one.twin), (x, y))
        factor = _CELL / one.twin.shape[0]
        caption = "twin: no vessel to narrow was found"
        if one.place is not None:
            row, col = y + (one.place[0] + 0.5) * factor, x + (one.place[1] + 0.5) * factor
            shown = x <= col < x + _CELL and y <= row < y + _CELL
            caption = "twin, abnormal: narrowed " + ("in the ring" if shown else "outside the image")
            if shown:
                draw.ellipse((col - 14, row - 14, col + 14, row + 14), outline=_ACCENT, width=2)
        draw.text((x, y + _CELL + 2), caption, font=small, fill=_INK)
    return np.asarray(sheet)


def _cell(image: np.ndarray) -> Image.Image:
    return Image.fromarray(cv2.resize(image, (_CELL, _CELL), interpolation=cv2.INTER_AREA))


def _draw_position(draw: ImageDraw.ImageDraw, x: int, y: int, row: int, col: int) -> None:
    """A small frame with the crop's place in it; its margin is drawn wider than true, to be seen."""
    size, crop = 64, 48
    last = FRAME_SIZE - CROP_SIZE
    left = x + round((size - crop) * col / last)
    top = y + round((size - crop) * row / last)
    draw.rectangle((x, y, x + size, y + size), outline=_QUIET)
    draw.rectangle((left, top, left + crop, top + crop), fill=(214, 219, 226), outline=_INK)
