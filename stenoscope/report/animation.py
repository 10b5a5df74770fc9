"""A whole clip under the map of one of its key frames, as a GIF that explains itself."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from stenoscope.records import FRAME_SIZE
from stenoscope.report.colours import overlay
from stenoscope.report.panels import NO_RING, Case, draw_ring, font, ring_of, shorten

_HEAD, _FOOT, _MARGIN = 30, 58, 10  # pixels
_PAPER, _INK, _QUIET = ((level, level, level) for level in (18, 239, 154))  # grey: few colours for the text
_LEAST_TIME = 20  # ms: browsers show shorter ones as 100 ms


def encode_gif(
    frames: np.ndarray,
    case: Case,
    scale: float,
    method: str,
    keyframes: Sequence[int],
    shown: int,
    frame_time_ms: float | None = None,
) -> bytes:
    """Encode a whole clip, uint8 (num_frames, 512, 512), with the overlay as an endless GIF, 512 pixels wide.

    The case's map is laid over every frame, `scale` ends its colours, and the legend names `method`. Above
    the picture stand the clip id and the frame's number, below it a time line on which `keyframes` (from 0)
    are ticks, and what the marks mean. The map is of the key frame `shown`: the ring marks its maximum there.
    A GIF knows steps of 10 ms, at least 20: a time between frames that lies in between is met on average; 100
    ms if unknown. One palette serves all frames.
    """
    ring = ring_of(case)
    legend = _legend(keyframes, shown, method, bool(ring))
    pictures = []
    for number, frame in enumerate(frames):
        picture = overlay(frame, case.heatmap, scale)
        if ring and number == shown:
            draw_ring(picture, ring)
        pictures.append(_page(picture, case.clip_id, number, len(frames), keyframes, legend))
    few = np.concatenate([pictures[i] for i in sorted({0, shown, len(pictures) - 1})])
    palette = Image.fromarray(few).quantize()
    pictures = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=_durations(frame_time_ms or 100, len(frames)),
        loop=0,
        optimize=False,
    )
    return stream.getvalue()


def _durations(frame_time_ms: float, count: int) -> list[int]:
    """Time of each frame, ms: multiples of 10 whose sum stays within 5 ms of the clip's."""
    ends = np.rint(np.arange(count + 1) * max(frame_time_ms, _LEAST_TIME) / 10).astype(int) * 10
    return np.diff(ends).tolist()


def _legend(keyframes: Sequence[int], shown: int, method: str, ring: bool) -> tuple[str, str]:
    numbers = " ".join(str(frame) for frame in dict.fromkeys(keyframes))
    mark = "ring: its maximum" if ring else NO_RING
    return (
        f"ticks and white border: key frames {numbers}",
        f"colours: {method} of frame {shown}, fixed over all frames; {mark}",
    )


def _page(
    picture: np.ndarray, clip_id: str, number: int, total: int, keyframes: Sequence[int], legend: tuple
) -> Image.Image:
    """One frame with its head and foot, RGB."""
    page = Image.new("RGB", (FRAME_SIZE, _HEAD + FRAME_SIZE + _FOOT), _PAPER)
    page.paste(Image.fromarray(picture), (0, _HEAD))
    draw = ImageDraw.Draw(page)
    count = f"frame {number} of 0 to {total - 1}"
    right = FRAME_SIZE - _MARGIN
    draw.text((right, 7), count, font=font(14), fill=_INK, anchor="ra")
    room = int(right - draw.textlength(count, font=font(14))) - 2 * _MARGIN
    draw.text((_MARGIN, 7), shorten(clip_id, room, 14), font=font(14), fill=_INK)
    bottom = _HEAD + FRAME_SIZE
    if number in keyframes:
        draw.rectangle((0, _HEAD, FRAME_SIZE - 1, bottom - 1), outline=_INK, width=3)
        draw.text(
            (_MARGIN, _HEAD + 8), "key frame", font=font(14), fill=_INK, stroke_width=2, stroke_fill=_PAPER
        )
    place = lambda frame: round(FRAME_SIZE * frame / total)  # noqa: E731
    draw.rectangle((0, bottom + 8, FRAME_SIZE, bottom + 11), fill=(52, 52, 52))
    draw.rectangle((0, bottom + 8, place(number + 1) - 1, bottom + 11), fill=_QUIET)
    for frame in keyframes:
        draw.rectangle(
            (place(frame), bottom + 3, max(place(frame) + 1, place(frame + 1) - 2), bottom + 15), fill=_INK
        )
    for line, text in enumerate(legend):
        draw.text((_MARGIN, bottom + 21 + 17 * line), text, font=font(12), fill=_QUIET)
    return page
