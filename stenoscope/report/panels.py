"""Pictures of single clips: the heatmap panel, the montage, the animated overlay.

Drawn with OpenCV and pillow, about 30 ms a panel, because an experiment has hundreds.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stenoscope.provenance import file_name
from stenoscope.records import FRAME_SIZE
from stenoscope.report.colours import colour_map, overlay, overlay_colours, signed_colours

CLASS_NAMES = ("normal", "abnormal")

_PAPER, _INK, _QUIET = (17, 18, 22), (238, 239, 242), (150, 154, 163)
_GIF_PLAIN, _GIF_STRENGTHS, _GIF_GREYS = 64, 12, 16  # 64 + 12 * 16 = 256 colours
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], dtype=np.float32) / 16
_RIGHT, _WRONG, _LESION, _PEAK = (88, 190, 120), (235, 98, 84), (64, 224, 208), (255, 255, 255)
_GAP, _BAR, _TOP, _BOTTOM = 10, 74, 58, 34  # pixels between and beside the pictures of a panel


@dataclass(frozen=True)
class Case:
    """One clip and what was said of it.

    Attributes
    ----------
    clip_id : str
    frame : ndarray, uint8, shape (512, 512)
    heatmap : ndarray, float32, shape (512, 512)
        Signed evidence for "abnormal".
    probability : float
        Of "abnormal", 0 to 1.
    decision : int
        What the clip was called: 0 normal, 1 abnormal.
    label : int or None
        The truth, None if unknown.
    boxes : ndarray, float, shape (k, 4)
        Known lesions in `frame`, ``[x0, y0, x1, y1]`` pixels; empty if none is known.
    """

    clip_id: str
    frame: np.ndarray = field(repr=False)
    heatmap: np.ndarray = field(repr=False)
    probability: float
    decision: int
    label: int | None = None
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)), repr=False)


def panel_name(clip_id: str, method: str, suffix: str = "png") -> str:
    """File name of a clip's panel (see `provenance.file_name`)."""
    return f"{file_name(clip_id)}.{method}.{suffix}"


def draw_panel(case: Case, scale: float, method: str, size: int = 400) -> np.ndarray:
    """Draw a clip as original, heatmap with colour bar, and overlay, under a title line.

    Parameters
    ----------
    case : Case
    scale : float
        End of the colour scale, the same for the whole experiment.
    method : str
        Heatmap method (and layer), for the caption.
    size : int
        Rows and columns of each of the three pictures, pixels.

    Returns
    -------
    ndarray, uint8, shape (rows, cols, 3)
        RGB. The lesion boxes are turquoise, the map's maximum a white ring.
    """
    gap, bar, top, bottom = _GAP, _BAR, _TOP, _BOTTOM
    width, height = 3 * size + 2 * gap + bar + 2 * gap, top + size + bottom
    canvas = np.full((height, width, 3), _PAPER, dtype=np.uint8)
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
        "overlay (ring: maximum)",
    )
    for caption, left in zip(captions, lefts, strict=True):
        draw.text((left, top + size + 9), caption, font=_font(14), fill=_QUIET)
    for value, y in ((scale, top), (0.0, top + size // 2 - 7), (-scale, top + size - 16)):
        text = f"{value:+.2g}" if value else "0"
        draw.text((bar_left + 19, y), text, font=_font(12), fill=_QUIET)
    draw.text((bar_left + 19, top + 17), "abn.", font=_font(12), fill=_QUIET)
    draw.text((bar_left + 19, top + size - 33), "norm.", font=_font(12), fill=_QUIET)
    return np.asarray(picture)


def panel_parts(panel: np.ndarray) -> dict[str, np.ndarray]:
    """The pictures of a panel with their captions, without its title: ``key frame``, ``map``, ``overlay``.

    Parameters
    ----------
    panel : ndarray, uint8, shape (rows, cols, 3)
        As from `draw_panel`.
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
    """Draw the overlays of many clips on one sheet.

    Parameters
    ----------
    clip_ids : sequence of str
        In the order to draw.
    case_of : callable
        Makes the case of a clip; asked only for those that are drawn.
    scale, method
        As in `draw_panel`.
    limit : int
        Most tiles on the sheet. Of more clips every n-th of the order is drawn, from its first to its last,
        so that errors keep about their share; the title says so.
    tile : int
        Rows and columns of a tile, pixels.

    Returns
    -------
    ndarray, uint8, shape (rows, cols, 3)
        RGB. Under each tile its clip id and probability, with a green line if the decision was right, a red
        one if not.
    """
    total, shown = len(clip_ids), min(len(clip_ids), limit)
    columns = max(1, min(10, int(np.ceil(np.sqrt(shown * 1.3)))))
    gap, top, foot = 8, 62, 40
    lines = -(-shown // columns)
    width = max(columns * (tile + gap) + gap, 640)
    sheet = Image.new("RGB", (width, top + lines * (tile + foot) + gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    places = np.linspace(0, total - 1, shown).round().astype(int)
    count = f"{total} clips" if shown == total else f"{shown} of {total} clips, evenly spread over all"
    draw.text((gap, 10), f"Evidence for abnormal by {method}, {count}", font=_font(18), fill=_INK)
    legend = "line: green = decision right, red = wrong; turquoise box: lesion; ring: maximum of the map"
    draw.text((gap, 36), legend, font=_font(12), fill=_QUIET)
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
        draw.text((x, y + tile + 9), _shorten(case.clip_id, tile - 42, 13), font=_font(13), fill=_INK)
        draw.text((x + tile, y + tile + 9), said, font=_font(13), fill=_INK, anchor="ra")
        if case.label is not None:
            draw.text((x, y + tile + 24), CLASS_NAMES[case.label], font=_font(11), fill=_QUIET)
    return np.asarray(sheet)


def encode_png(picture: np.ndarray) -> bytes:
    """Encode an RGB picture as PNG; same picture, same bytes."""
    _, data = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return data.tobytes()


def encode_gif(
    frames: np.ndarray,
    heatmap: np.ndarray,
    scale: float,
    frame_time_ms: float | None = None,
    keyframes: Sequence[int] = (),
    size: int = 384,
) -> bytes:
    """Encode a whole clip with the overlay as an endless GIF.

    Parameters
    ----------
    frames : ndarray, uint8, shape (num_frames, 512, 512)
    heatmap : ndarray, float, shape (512, 512)
        Laid over every frame.
    scale : float
        End of the colour scale.
    frame_time_ms : float, optional
        Time between frames; 100 ms if unknown. A GIF knows steps of 10 ms, at least 20.
    keyframes : sequence of int
        Frames to mark on the time line under the picture.
    size : int
        Rows and columns of the picture, pixels.

    Returns
    -------
    bytes
        One palette serves all frames: 64 grey levels where there is no evidence, else 12 strengths of
        evidence over 16 grey levels, dithered. So a frame's colours are a sum instead of a search.
    """
    noise = np.tile(_BAYER, (size // 4 + 1, size // 4 + 1))[:size, :size]
    small = cv2.resize(np.float32(heatmap), (size, size), interpolation=cv2.INTER_AREA)
    strength = (np.clip(small / scale, 0, 1) * _GIF_STRENGTHS + noise).astype(np.int64)
    plain = strength == 0
    base = np.where(plain, 0, _GIF_PLAIN + _GIF_GREYS * (strength - 1)).astype(np.float32)
    step = np.where(plain, 256 / _GIF_PLAIN, 256 / _GIF_GREYS).astype(np.float32)
    last = np.where(plain, _GIF_PLAIN - 1, _GIF_GREYS - 1).astype(np.float32)
    noise = np.where(plain, 0.5, noise.T).astype(np.float32)
    palette = _gif_palette().tobytes()
    pictures = []
    for number, frame in enumerate(frames):
        grey = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
        indices = np.empty((size + 10, size), dtype=np.uint8)
        indices[:size] = base + np.clip(np.floor(grey / step - 0.5 + noise), 0, last)
        indices[size:] = _time_line(number, len(frames), keyframes, size)
        picture = Image.frombytes("P", (size, size + 10), indices.tobytes())
        picture.putpalette(palette)
        pictures.append(picture)
    duration = max(20, round((frame_time_ms or 100) / 10) * 10)
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=duration,
        loop=0,
        optimize=False,
    )
    return stream.getvalue()


@cache
def _gif_palette() -> np.ndarray:
    """Colours of the GIF's indices, uint8 (256, 3): plain greys, then the greys under each strength."""

    def levels(count: int) -> np.ndarray:
        return np.repeat(((np.arange(count) + 0.5) * 256 / count)[:, None], 3, axis=1)

    colours, alpha = overlay_colours(np.arange(1, _GIF_STRENGTHS + 1) / _GIF_STRENGTHS)
    alpha = alpha[:, None, None]
    blended = levels(_GIF_GREYS) * (1 - alpha) + colours[:, None] * alpha
    return np.concatenate([levels(_GIF_PLAIN), blended.reshape(-1, 3)]).astype(np.uint8)


def _time_line(number: int, total: int, keyframes: Sequence[int], size: int) -> np.ndarray:
    """Palette indices (10, size): progress in mid grey, key frames as light ticks."""
    line = np.zeros((10, size), dtype=np.uint8)
    line[4:8, : round(size * (number + 1) / total)] = _GIF_PLAIN // 2
    for keyframe in keyframes:
        left = int(size * keyframe / total)
        line[2:, left : left + max(2, size // total - 1)] = _GIF_PLAIN - 1
    return line


def _mark(picture: np.ndarray, case: Case, peak: bool) -> None:
    """Draw lesion boxes and the map's maximum into a picture of the whole frame, hiding neither."""
    factor = picture.shape[0] / FRAME_SIZE
    for box in np.asarray(case.boxes):
        start = np.floor(box[:2] * factor).astype(int) - 4
        end = np.ceil(box[2:] * factor).astype(int) + 3
        cv2.rectangle(picture, (start - 2).tolist(), (end + 2).tolist(), (0, 0, 0), 1)
        cv2.rectangle(picture, start.tolist(), end.tolist(), _LESION, 1)
        cv2.rectangle(picture, (start - 1).tolist(), (end + 1).tolist(), _LESION, 1)
    if peak and case.heatmap.max() > 0:
        row, col = np.unravel_index(np.argmax(case.heatmap), case.heatmap.shape)
        x, y = round((col + 0.5) * factor), round((row + 0.5) * factor)
        cv2.circle(picture, (x, y), 6, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.circle(picture, (x, y), 6, _PEAK, 1, cv2.LINE_AA)


def _draw_title(draw: ImageDraw.ImageDraw, case: Case, width: int, left: int) -> None:
    draw.text((left, 16), _shorten(case.clip_id, width // 2, 20), font=_font(20), fill=_INK)
    parts = (
        [] if case.label is None else [("truth ", _QUIET), (CLASS_NAMES[case.label], _INK), ("    ", _INK)]
    )
    parts += [
        ("called ", _QUIET),
        (CLASS_NAMES[case.decision], _verdict_colour(case)),
        ("    probability ", _QUIET),
        (f"{case.probability:.2f}", _INK),
    ]
    x = width - left - sum(draw.textlength(text, font=_font(17)) for text, _ in parts)
    for text, colour in parts:
        draw.text((x, 18), text, font=_font(17), fill=colour)
        x += draw.textlength(text, font=_font(17))


def _verdict_colour(case: Case) -> tuple[int, int, int]:
    if case.label is None:
        return _INK
    return _RIGHT if case.label == case.decision else _WRONG


def _shorten(text: str, width: int, size: int) -> str:
    """Cut a text from the left until it is at most `width` pixels wide: the end of a path tells more."""
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength("…" + text) > width:
        text = text[1:]
    return "…" + text


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # brings a font that covers the letters clip ids are made of

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
