"""One picture that explains a choice: the curve, what was read from it, and the key frames."""

import functools

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stenoscope.keyframes.published import CORRECTED
from stenoscope.records import KeyframeChoice

WIDTH = 1600
_MARGIN, _GAP = 24, 16
_TITLE, _PLOT, _CAPTION = 64, 330, 34
_AXIS_LEFT, _AXIS_BOTTOM, _AXIS_TOP = 64, 54, 18
_COLUMNS = 10  # key frames in a line

_INK, _FAINT, _GRID = (33, 37, 41), (108, 117, 125), (226, 230, 234)
_CURVE, _FIT, _CHOSEN, _APEX, _BOUND = (
    (24, 100, 171),
    (134, 142, 150),
    (232, 89, 12),
    (201, 42, 42),
    (43, 138, 62),
)
_MASK = (92, 124, 250)


def draw_sheet(frames: np.ndarray, choice: KeyframeChoice, clip_id: str) -> np.ndarray:
    """Draw the key-frame sheet of one clip, RGB, uint8 (height, 1600, 3).

    `frames` is uint8 (num_frames, rows, cols). The sheet does not name the label, so that it is judged
    without it.
    """
    count = min(len(choice.keyframes), _COLUMNS)
    size = (WIDTH - 2 * _MARGIN - (count - 1) * _GAP) // count
    tile_rows = max(1, round(size * frames.shape[1] / frames.shape[2]))
    first_top, line = _TITLE + _PLOT + _CAPTION, _CAPTION + tile_rows
    lines = -(-len(choice.keyframes) // count)
    sheet = np.full((_TITLE + _PLOT + lines * line + _MARGIN, WIDTH, 3), 255, np.uint8)
    texts = _title(choice, clip_id, len(frames))
    texts += _plot(sheet, choice, len(frames))
    for k, index in enumerate(choice.keyframes):
        left, tiles_top = _MARGIN + k % count * (size + _GAP), first_top + k // count * line
        sheet[tiles_top : tiles_top + tile_rows, left : left + size] = _tile(
            frames[index], choice.masked, size, tile_rows
        )
        is_apex = index == choice.apex
        colour = _APEX if is_apex else _CHOSEN
        cv2.rectangle(sheet, (left, tiles_top - 5), (left + size - 1, tiles_top - 3), colour, -1)
        texts.append(
            (left, tiles_top - 10, f"frame {index}" + (" (apex)" if is_apex else ""), 17, colour, "ls")
        )
    return _write(sheet, texts)


def _title(choice: KeyframeChoice, clip_id: str, num_frames: int) -> list:
    texts = [(_MARGIN, 40, clip_id if len(clip_id) <= 70 else "..." + clip_id[-67:], 26, _INK, "ls")]
    facts = [f"{num_frames} frames"]
    if choice.method == CORRECTED:
        facts.append("corrected by hand")
    else:
        facts.append(f"method {choice.method}")
        if not choice.contrast:
            facts.append("NO CONTRAST FOUND")
        elif choice.fit is not None:
            facts.append(f"confidence {choice.confidence:.2f}")
    texts.append((WIDTH - _MARGIN, 40, "   |   ".join(facts), 18, _FAINT if choice.contrast else _APEX, "rs"))
    return texts


def _plot(sheet: np.ndarray, choice: KeyframeChoice, num_frames: int) -> list:
    """Draw the curve with its axes into the sheet; return the texts to write."""
    left, right = _MARGIN + _AXIS_LEFT, WIDTH - _MARGIN - 8
    top, bottom = _TITLE + _AXIS_TOP, _TITLE + _PLOT - _AXIS_BOTTOM
    curve = np.asarray(choice.curve, np.float64)
    unit = choice.method == "opacification"
    low, high = (0.0, 1.0) if unit else (float(curve.min()), float(curve.max()))
    high = high if high > low else low + 1.0

    def x_of(index):
        return round(left + (right - left) * (index + 0.5) / num_frames)

    def y_of(value):
        return round(bottom - (bottom - top) * (np.clip(value, low, high) - low) / (high - low))

    texts = []
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + fraction * (high - low)
        cv2.line(sheet, (left, y_of(value)), (right, y_of(value)), _GRID, 1)
        texts.append((left - 10, y_of(value), f"{value:.4g}", 15, _FAINT, "rm"))
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if num_frames / s <= 25)
    for index in range(0, num_frames, step):
        cv2.line(sheet, (x_of(index), bottom), (x_of(index), bottom + 5), _FAINT, 1)
        texts.append((x_of(index), bottom + 9, str(index), 15, _FAINT, "ma"))
    axis = "opacification (0 to 1)" if unit else "score"
    texts.append((left, top - 16, axis, 15, _FAINT, "ls"))
    texts.append(((left + right) // 2, bottom + 30, "frame", 15, _FAINT, "ma"))

    if choice.start is not None or choice.end is not None:
        first = choice.start if choice.start is not None else 0
        last = choice.end if choice.end is not None else num_frames - 1
        span = sheet[top:bottom, x_of(first) : x_of(last) + 1]
        span[...] = cv2.addWeighted(span, 0.9, np.full_like(span, _BOUND), 0.1, 0)
    for index, name, anchor in ((choice.start, "start", "rs"), (choice.end, "end", "ls")):
        if index is not None:
            cv2.line(sheet, (x_of(index), top), (x_of(index), bottom), _BOUND, 2)
            shift = -6 if anchor == "rs" else 6
            texts.append(
                (max(x_of(index) + shift, left + 60), top + 14, f"{name} {index}", 15, _BOUND, anchor)
            )
    cv2.line(sheet, (x_of(choice.apex), top), (x_of(choice.apex), bottom), _APEX, 2)
    texts.append((x_of(choice.apex), top - 9, f"apex {choice.apex}", 16, _APEX, "ms"))

    if choice.fit is not None:
        texts.append((right, top - 16, "smoothed", 15, _FIT, "rs"))
        texts.append((right - 90, top - 16, "measured", 15, _CURVE, "rs"))
        _line(sheet, [(x_of(i), y_of(v)) for i, v in enumerate(choice.fit)], _FIT, 2)
    points = [(x_of(i), y_of(v)) for i, v in enumerate(curve)]
    _line(sheet, points, _CURVE, 2)
    for index in set(choice.keyframes):
        cv2.circle(sheet, points[index], 7, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(sheet, points[index], 6, _APEX if index == choice.apex else _CHOSEN, -1, cv2.LINE_AA)
    cv2.line(sheet, (left, bottom), (right, bottom), _FAINT, 1)
    return texts


def _tile(frame: np.ndarray, masked: np.ndarray | None, cols: int, rows: int) -> np.ndarray:
    grey = cv2.resize(frame, (cols, rows), interpolation=cv2.INTER_AREA)
    tile = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    if masked is not None and masked.any():
        small = cv2.resize(masked.astype(np.uint8), (cols, rows), interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(tile, outlines, -1, _MASK, 1)
    return tile


def _line(sheet: np.ndarray, points: list, colour: tuple, thickness: int) -> None:
    cv2.polylines(sheet, [np.array(points, np.int32)], False, colour, thickness, cv2.LINE_AA)


def _write(sheet: np.ndarray, texts: list) -> np.ndarray:
    image = Image.fromarray(sheet)
    draw = ImageDraw.Draw(image)
    for x, y, text, size, colour, anchor in texts:
        draw.text((x, y), text, fill=colour, font=_font(size), anchor=anchor)
    return np.asarray(image)


@functools.cache
def _font(size: int):
    return ImageFont.load_default(size)
