"""What all HTML pages share: one self-contained file each, readable on a phone, light and dark."""

import base64
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import quote

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stenoscope import __version__
from stenoscope.errors import DatasetError
from stenoscope.report.panels import panel_name, panel_parts
from stenoscope.report.plots import VECTOR_KINDS, Plot
from stenoscope.report.sections import map_title, provenance_of
from stenoscope.report.tables import in_words, interval_text, mean_text, number_text, percent_text
from stenoscope.results.files import HEATMAPS, REPORT, read_manifest_if_any
from stenoscope.run.commands import train_again
from stenoscope.run.provenance import write_bytes, write_text

FIGURES = "figures"
"""Folder of the figures for light paper, as PNG, SVG and PDF."""

IMAGE_BUDGET = 9_000_000
"""Bytes of pictures in a page, before base64 adds a third: keeps a page under 15 MB."""

_PART_WIDTH = 320
_JPEG = [  # full colour resolution: thin coloured lines would turn grey
    cv2.IMWRITE_JPEG_QUALITY, 74,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip


_FILTERS = {
    "number": number_text,
    "mean": mean_text,
    "interval": interval_text,
    "percent": percent_text,
    "map_title": map_title,
    "in_words": in_words,
    "cell": lambda text: text.replace("|", "/").replace("\n", " "),  # a name that breaks no table
}


@dataclass(frozen=True)
class Drawing:
    """A figure for light and dark paper; `shape` is ``wide``, ``narrow``, ``broad`` or empty."""

    title: str
    caption: str
    light: Plot
    dark: Plot
    shape: str = ""

    @classmethod
    def of(cls, title: str, caption: str, draw: Callable[..., Plot], *what, shape: str = "") -> "Drawing":
        """Draw with a function of `figures` on both papers."""
        return cls(title, caption, draw(*what), draw(*what, dark=True), shape)

    @property
    def page(self) -> dict[str, str]:
        """What the template needs of it."""
        uris = {"light": data_uri(self.light, "png"), "dark": data_uri(self.dark, "png")}
        width, height = struct.unpack(">II", self.light[16:24])  # of the PNG's first chunk
        size = {"width": width, "height": height}
        return {"title": self.title, "caption": self.caption, "shape": self.shape, **size, **uris}


def write_figures(folder: Path, drawings: dict[str, Drawing]) -> None:
    """Write the figures by name to `folder/figures/`."""
    for name, drawing in drawings.items():
        write_bytes(folder / FIGURES / f"{name}.png", drawing.light)
        for kind in VECTOR_KINDS:
            write_bytes(folder / FIGURES / f"{name}.{kind}", drawing.light.save(kind))


class Images:
    """Panels of a results folder as small JPEG data URIs, until the page's budget is used up."""

    def __init__(self, folder: str | PathLike):
        self.folder, self.left, self.omitted = Path(folder), IMAGE_BUDGET, 0

    def panel(self, clip_id: str, method: str) -> dict | None:
        """Entries ``parts`` and ``link`` of a clip's panel, None if there is none or no room for it.

        Each part (key frame, map with its scale, overlay) has ``image``, ``width``, ``height``, ``name``.
        """
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
        parts = []
        for name, part in panel_parts(picture).items():
            height, width = part.shape[:2]
            factor = min(1, _PART_WIDTH / height)
            size = {"width": round(width * factor), "height": round(height * factor)}
            small = cv2.resize(part, tuple(size.values()), interpolation=cv2.INTER_AREA)
            _, data = cv2.imencode(".jpg", small, _JPEG)
            self.left -= len(data)
            parts.append({"name": name, "image": data_uri(data.tobytes(), "jpeg"), **size})
        return {"parts": parts, "link": quote(link)}

    def omitted_note(self) -> str:
        """What to say of panels that found no room."""
        if not self.omitted:
            return ""
        return f"{self.omitted} more pictures, left out to keep this page small, are in {HEATMAPS}/."


def data_uri(data: bytes, kind: str) -> str:
    """A picture as part of the page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def write_page(folder: Path, template: str, **context) -> Path:
    """Write `report.html` of a results folder with a template, and return its path.

    Title (the folder's name, unless given), date and provenance are taken from the folder and its manifest.
    """
    manifest = read_manifest_if_any(folder)
    context = {"title": folder.resolve().name, "provenance": provenance_of(manifest), **context}
    write_text(folder / REPORT, render(template, manifest, **context))
    return folder / REPORT


def simulated_text(simulated: Mapping | None, what: str = "clips") -> str:
    """What a manifest's entry `simulated` says of the clips; empty where none is, or it is not known."""
    if not simulated or not simulated["clips"]:
        return ""
    count, total = simulated["clips"], simulated["of"]
    share = "All" if count == total else f"{count} of the {total}"
    return f"{share} {what} were simulated by this program and show no patient."


def render(template: str, manifest: Mapping | None = None, **context) -> str:
    """Fill a template; values are escaped in HTML, and left as they are in Markdown.

    What heads a page, its date and whether its clips are simulated, is in the manifest of what it shows.
    """
    manifest = manifest or {}
    context = {
        "date": manifest.get("created", ""),
        "simulated": simulated_text(manifest.get("simulated")),
        **context,
    }
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader,
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template(template).render(version=__version__, **context)
