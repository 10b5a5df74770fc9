"""What all figures share: the paper they are drawn on, and the files they become.

Figures are made without pyplot, so nothing global is touched and the same data give the same bytes.
"""

import functools
import io
from collections.abc import Callable

from matplotlib import rc_context
from matplotlib.figure import Figure

LIGHT = {"paper": "#ffffff", "ink": "#22252b", "quiet": "#646b78", "line": "#d9dce2"}
DARK = {"paper": "#17191e", "ink": "#e8eaee", "quiet": "#969ca8", "line": "#363a43"}
CLIP, FRAME, NORMAL, ABNORMAL = "#e07b39", "#4a90d9", "#4a90d9", "#e07b39"

VECTOR_KINDS = ("svg", "pdf")
"""What a figure is written as beside PNG."""

_NO_DATES = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata that make the same figure the same file."""

REPRODUCIBLE = {
    "svg.hashsalt": "stenoscope",  # ids in the file would be random
    "pdf.fonttype": 42,  # TrueType, which journals ask for
}
"""Matplotlib's settings for the files of all figures."""


class Plot(bytes):
    """A figure as PNG, which can also be had as SVG or PDF.

    `save` makes the bytes of a file from its kind: 'png' or one of `VECTOR_KINDS`.
    """

    def __new__(cls, save: Callable[[str], bytes]) -> "Plot":
        """Draw it as PNG."""
        plot = super().__new__(cls, save("png"))
        plot.save = save
        return plot


def plot(width: float, height: float) -> Callable[[Callable[..., None]], Callable[..., Plot]]:
    """Decorator: a function that draws on an empty figure of `width` x `height` inches makes a `Plot`.

    The function takes the figure, its theme (`LIGHT` or `DARK`), and what is to be drawn. Decorated, it takes
    what is to be drawn, and `dark` for dark paper.
    """

    def decorate(draw: Callable[..., None]) -> Callable[..., Plot]:
        @functools.wraps(draw)
        def drawn(*what, dark: bool = False, **options) -> Plot:
            theme = DARK if dark else LIGHT

            def save(kind: str) -> bytes:
                with rc_context(_style(theme)):
                    figure = Figure(figsize=(width, height), layout="constrained", facecolor=theme["paper"])
                    draw(figure, theme, *what, **options)
                    return file_of(figure, kind)

            return Plot(save)

        return drawn

    return decorate


def file_of(figure: Figure, kind: str) -> bytes:
    """A figure as a file of a kind, 'png' or one of `VECTOR_KINDS`."""
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=160, metadata=_NO_DATES[kind])
    return stream.getvalue()


def _style(theme: dict) -> dict:
    return {
        "font.size": 10.5,
        "text.color": theme["ink"],
        "axes.labelcolor": theme["ink"],
        "axes.edgecolor": theme["line"],
        "axes.facecolor": theme["paper"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": theme["quiet"],
        "ytick.color": theme["quiet"],
        "legend.labelcolor": theme["ink"],
        **REPRODUCIBLE,
    }
