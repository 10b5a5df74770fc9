"""What all figures share: the paper they are drawn on, and the files they become.

Figures are made without pyplot, so nothing global is touched and the same data give the same bytes.
"""

import io
from collections.abc import Callable, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

LIGHT = {"paper": "#ffffff", "ink": "#22252b", "quiet": "#646b78", "line": "#d9dce2"}
DARK = {"paper": "#17191e", "ink": "#e8eaee", "quiet": "#969ca8", "line": "#363a43"}
CLIP, FRAME, NORMAL, ABNORMAL = "#e07b39", "#4a90d9", "#4a90d9", "#e07b39"

VECTOR_KINDS = ("svg", "pdf")
"""What a figure is written as beside PNG."""

_NO_DATES = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
"""Metadata that make the same figure the same file."""


class Plot(bytes):
    """A figure as PNG, which can also be had as SVG or PDF.

    Parameters
    ----------
    save : callable
        From a kind, 'png' or one of `VECTOR_KINDS`, to the bytes of the file.
    """

    def __new__(cls, save: Callable[[str], bytes]) -> "Plot":
        """Draw it as PNG."""
        plot = super().__new__(cls, save("png"))
        plot.save = save
        return plot


def render_plot(draw: Callable[[Figure, dict], None], size: Sequence[float], dark: bool) -> Plot:
    """Draw a figure.

    Parameters
    ----------
    draw : callable
        From an empty figure and its theme, `LIGHT` or `DARK`.
    size : sequence of float
        Width and height, inches.
    dark : bool
        For dark paper.
    """
    theme = DARK if dark else LIGHT
    style = {
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
        "svg.hashsalt": "stenoscope",  # ids in the file would be random
        "pdf.fonttype": 42,  # TrueType, which journals ask for
    }

    def save(kind: str) -> bytes:
        with rc_context(style):
            figure = Figure(figsize=size, layout="constrained", facecolor=theme["paper"])
            draw(figure, theme)
            stream = io.BytesIO()
            figure.savefig(stream, format=kind, dpi=160, metadata=_NO_DATES[kind])
        return stream.getvalue()

    return Plot(save)
