"""Pictures of single clips: the heatmap panel and the montage.

Drawn with OpenCV and pillow, about 30 ms a panel, because an experiment has hundreds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stenoscope.evaluation.localisation import peak_pixels
from stenoscope.records import FRAME_SIZE
from stenoscope.report.colours import colour_map, overlay, signed_colours
from stenoscope.run.provenance import file_name

CLASS_NAMES = ("normal", "abnormal")

PAPER, INK, QUIET = (17, 18, 22), (238, 239, 242), (150, 154, 163)
_RIGHT, _WRONG, _LESION, _PEAK = (88, 190, 120), (235, 98, 84), (64, 224, 208), (255, 255, 255)
_GAP, _BAR, _TOP, _BOTTOM = 10, 74, 58, 34  # pixels between and beside the pictures of a panel


NO_RING = "no ring: no evidence for abnormal"


@dataclass(frozen=True)
class Case:
    """One clip with its prediction; frame, map and field of view are (512, 512)."""

    clip_id: str
    frame: np.ndarray = field(repr=False)  # uint8
    heatmap: np.ndarray = field(repr=False)  # float32, signed evidence for "abnormal"
    probability: float  # of "abnormal", 0 to 1
    decision: int  # what the clip was called: 0 normal, 1 abnormal
    label: int | None = None  # the truth, None if unknown
    # known lesions in `frame`, float (k, 4): ``[x0, y0, x1, y1]`` pixels; empty if none is known
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)), repr=False)
    # bool: where the map's maximum is looked for (see `vesselness.overlays.clear_field`); None for everywhere
    inside: np.ndarray | None = field(default=None, repr=False)


def panel_name(clip_id: str, method: str, suffix: str = "png") -> str:
    """File name of a clip's panel (see `provenance.file_name`)."""
    return f"{file_name(clip_id)}.{method}.{suffix}"


def draw_panel(case: Case, scale: float, method: str, size: int = 400) -> np.ndarray:
    """Draw a clip as original, heatmap with colour bar, and overlay, `size` pixels each, under a title line.

    `scale` is the end of the colour scale, the same for the whole experiment; `method` is for the caption.
    RGB, uint8 (rows, cols, 3). The lesion boxes are turquoise, the map's maximum a white ring; the caption
    says why there is none.
    """
    gap, bar, top, bottom = _GAP, _BAR, _TOP, _BOTTOM
    width, height = 3 * size + 2 * gap + bar + 2 * gap, top + size + bottom
    canvas = np.full((height, width, 3), PAPER, dtype=np.uint8)
    original = np.repeat(case.frame[..., None], 3, axis=2)
    pictures = (
        original,
        colour_map(case.heatmap, scale),
        overlay(case.frame, case.heatmap, scale),
    )
    lefts = (gap, 2 * gap + size, 2 * gap + 2 * size + bar)
    for picture, left in zip(pictures, lefts, strict=True):
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        _mark(small, case, peak=left != lefts[0])
        canvas[top : top + size, left : left + size] = small
    bar_left = lefts[1] + size + gap
    ramp = signed_colours()[::-1][np.linspace(0, 510, size).astype(int)]
    canvas[top : top + size, bar_left : bar_left + 14] = ramp[:, None]

    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    _draw_title(draw, case, width, gap)
    captions = (
        "key frame" + (" and lesion" if len(case.boxes) else ""),
        f"evidence, {method}",
        "overlay (ring: maximum in the field of view)" if ring_of(case) else f"overlay ({NO_RING})",
    )
    for caption, left in zip(captions, lefts, strict=True):
        draw.text((left, top + size + 9), caption, font=font(14), fill=QUIET)
    for value, y in ((scale, top), (0.0, top + size // 2 - 7), (-scale, top + size - 16)):
        text = f"{value:+.2g}" if value else "0"
        draw.text((bar_left + 19, y), text, font=font(12), fill=QUIET)
    draw.text((bar_left + 19, top + 17), "abn.", font=font(12), fill=QUIET)
    draw.text((bar_left + 19, top + size - 33), "norm.", font=font(12), fill=QUIET)
    return np.asarray(picture)


def panel_parts(panel: np.ndarray) -> dict[str, np.ndarray]:
    """The pictures of a panel with their captions, without its title: ``key frame``, ``map``, ``overlay``.

    From `draw_panel`: uint8 (rows, cols, 3).
    """
    size = len(panel) - _TOP - _BOTTOM
    edges = [0, _GAP + size + _GAP // 2, 2 * size + _BAR + 3 * _GAP // 2, panel.shape[1]]
    bounds = zip(("key frame", "map", "overlay"), edges, edges[1:], strict=False)
    return {name: panel[_TOP - _GAP :, left:right] for name, left, right in bounds}


def draw_montage(
    clip_ids: Sequence[str],
    case_of: Callable[[str], Case],
    scale: float,
    method: str,
    limit: int = 120,
    tile: int = 190,
) -> np.ndarray:
    """Draw the overlays of many clips on one sheet, in their order: uint8 RGB (rows, cols, 3).

    Under each tile, `tile` pixels wide, stand its clip id and probability, with a green line if the decision
    was right, a red one if not. `case_of` is asked only for the clips that are drawn; scale and method are as
    in `draw_panel`. Of more than `limit` clips every n-th of the order is drawn, from its first to its last,
    so that errors keep about their share; the title says so.
    """
    total, shown = len(clip_ids), min(len(clip_ids), limit)
    columns = max(1, min(10, int(np.ceil(np.sqrt(shown * 1.3)))))
    gap, top, foot = 8, 62, 40
    lines = -(-shown // columns)
    width = max(columns * (tile + gap) + gap, 640)
    sheet = Image.new("RGB", (width, top + lines * (tile + foot) + gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    places = np.linspace(0, total - 1, shown).round().astype(int)
    count = f"{total} clips" if shown == total else f"{shown} of {total} clips, evenly spread over all"
    draw.text((gap, 10), f"Evidence for abnormal by {method}, {count}", font=font(18), fill=INK)
    legend = (
        "line: green = decision right, red = wrong; turquoise box: lesion; "
        "ring: maximum of the map, none without evidence for abnormal"
    )
    draw.text((gap, 36), legend, font=font(12), fill=QUIET)
    for number, place in enumerate(places):
        case = case_of(clip_ids[place])
        line, column = divmod(number, columns)
        x, y = gap + column * (tile + gap), top + line * (tile + foot)
        small = cv2.resize(
            overlay(case.frame, case.heatmap, scale), (tile, tile), interpolation=cv2.INTER_AREA
        )
        _mark(small, case, peak=True)
        sheet.paste(Image.fromarray(small), (x, y))
        draw.rectangle((x, y + tile + 2, x + tile - 1, y + tile + 4), fill=_verdict_colour(case))
        said = f"{case.probability:.2f}"
        draw.text((x, y + tile + 9), shorten(case.clip_id, tile - 42, 13), font=font(13), fill=INK)
        draw.text((x + tile, y + tile + 9), said, font=font(13), fill=INK, anchor="ra")
        if case.label is not None:
            draw.text((x, y + tile + 24), CLASS_NAMES[case.label], font=font(11), fill=QUIET)
    return np.asarray(sheet)


def encode_png(picture: np.ndarray) -> bytes:
    """Encode an RGB picture as PNG; same picture, same bytes."""
    _, data = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return data.tobytes()


def _mark(picture: np.ndarray, case: Case, peak: bool) -> None:
    """Draw lesion boxes and the map's maximum into a picture of the whole frame, hiding neither."""
    factor = picture.shape[0] / FRAME_SIZE
    for box in np.asarray(case.boxes):
        start = np.floor(box[:2] * factor).astype(int) - 4
        end = np.ceil(box[2:] * factor).astype(int) + 3
        cv2.rectangle(picture, (start - 2).tolist(), (end + 2).tolist(), (0, 0, 0), 1)
        cv2.rectangle(picture, start.tolist(), end.tolist(), _LESION, 1)
        cv2.rectangle(picture, (start - 1).tolist(), (end + 1).tolist(), _LESION, 1)
    if peak and (ring := ring_of(case)):
        draw_ring(picture, ring)


def ring_of(case: Case) -> tuple[int, int] | None:
    """Row and column of the map's maximum inside the field of view; None if nothing there is positive."""
    row, col = np.argwhere(peak_pixels(case.heatmap, case.inside))[0]
    return (int(row), int(col)) if case.heatmap[row, col] > 0 else None


def draw_ring(picture: np.ndarray, place: tuple[int, int], radius: int = 6) -> None:
    """Draw a ring into a picture of the whole frame, uint8 (rows, cols, 3), around a pixel of the frame."""
    factor = picture.shape[0] / FRAME_SIZE
    centre = round((place[1] + 0.5) * factor), round((place[0] + 0.5) * factor)
    cv2.circle(picture, centre, radius, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.circle(picture, centre, radius, _PEAK, 1, cv2.LINE_AA)


def _draw_title(draw: ImageDraw.ImageDraw, case: Case, width: int, left: int) -> None:
    draw.text((left, 16), shorten(case.clip_id, width // 2, 20), font=font(20), fill=INK)
    parts = [] if case.label is None else [("truth ", QUIET), (CLASS_NAMES[case.label], INK), ("    ", INK)]
    parts += [
        ("called ", QUIET),
        (CLASS_NAMES[case.decision], _verdict_colour(case)),
        ("    probability ", QUIET),
        (f"{case.probability:.2f}", INK),
    ]
    x = width - left - sum(draw.textlength(text, font=font(17)) for text, _ in parts)
    for text, colour in parts:
        draw.text((x, 18), text, font=font(17), fill=colour)
        x += draw.textlength(text, font=font(17))


def _verdict_colour(case: Case) -> tuple[int, int, int]:
    if case.label is None:
        return INK
    return _RIGHT if case.label == case.decision else _WRONG


def shorten(text: str, width: int, size: int) -> str:
    """Cut a text from the left until it is at most `width` pixels wide: the end of a path tells more."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength("…" + text) > width:
        text = text[1:]
    return "…" + text


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font of all pictures, `size` pixels high."""
    import matplotlib  # brings a font that covers the letters clip ids are made of

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
