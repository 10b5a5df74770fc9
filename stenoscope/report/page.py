"""What all HTML pages share: one self-contained file each, readable on a phone, light and dark."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import quote

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stenoscope import __version__
from stenoscope.commands import train_again
from stenoscope.errors import DatasetError
from stenoscope.provenance import write_bytes
from stenoscope.report.panels import panel_name
from stenoscope.report.results import HEATMAPS

REPORT = "report.html"

FIGURES = "figures"
"""Folder of the figures, as PNG for light paper."""

IMAGE_BUDGET = 9_000_000
"""Bytes of pictures in a page, before base64 adds a third: keeps a page under 15 MB."""

_PANEL_WIDTH = 920
_JPEG = [  # full colour resolution: thin coloured lines would turn grey
    cv2.IMWRITE_JPEG_QUALITY, 74,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A figure for light and dark paper, PNG; `shape` is ``wide``, ``narrow`` or empty."""

    title: str
    caption: str
    light: bytes
    dark: bytes
    shape: str = ""

    @classmethod
    def of(cls, title: str, caption: str, draw: Callable[..., bytes], *what, shape: str = "") -> "Drawing":
        """Draw with a function of `figures` on both papers."""
        return cls(title, caption, draw(*what, dark=False), draw(*what, dark=True), shape)

    @property
    def page(self) -> dict[str, str]:
        """What the template needs of it."""
        uris = {"light": data_uri(self.light, "png"), "dark": data_uri(self.dark, "png")}
        return {"title": self.title, "caption": self.caption, "shape": self.shape, **uris}


def write_figures(folder: Path, drawings: dict[str, Drawing]) -> None:
    """Write the figures by name to `folder/figures/`."""
    for name, drawing in drawings.items():
        write_bytes(folder / FIGURES / f"{name}.png", drawing.light)


class Images:
    """Panels of a results folder as small JPEG data URIs, until the page's budget is used up."""

    def __init__(self, folder: str | PathLike):
        self.folder, self.left, self.omitted = Path(folder), IMAGE_BUDGET, 0

    def panel(self, clip_id: str, method: str) -> dict | None:
        """Entries ``image`` and ``link`` of a clip's panel, None if there is none or no room for it."""
        link = f"{HEATMAPS}/{panel_name(clip_id, method)}"
        path = self.folder / link
        if not path.is_file():
            return None
        if self.left <= 0:
            self.omitted += 1
            return None
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise DatasetError(
                f"{path} can't be read as a picture.",
                "a PNG",
                f"run `{train_again(self.folder, overwrite=True)}`.",
            )
        height = round(picture.shape[0] * _PANEL_WIDTH / picture.shape[1])
        small = cv2.resize(picture, (_PANEL_WIDTH, height), interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".jpg", small, _JPEG)
        self.left -= len(data)
        return {"image": data_uri(data.tobytes(), "jpeg"), "link": quote(link)}

    def omitted_note(self) -> str:
        """What to say of panels that found no room."""
        if not self.omitted:
            return ""
        return f"{self.omitted} more pictures, left out to keep this page small, are in {HEATMAPS}/."


def data_uri(data: bytes, kind: str) -> str:
    """A picture as part of the page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def render(template: str, **context) -> str:
    """Fill a template; values are escaped in HTML, and left as they are in Markdown."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader,
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(version=__version__, **context)
