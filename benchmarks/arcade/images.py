"""Frames of ARCADE with the masks of their vessels, which step 1 does not read.

ROOT/syntax/SPLIT/images/*.png, ROOT/syntax/SPLIT/annotations/SPLIT.json   (or SPLIT/SPLIT.json)
ROOT/syntax/SPLIT/masks/*.png     (the vessels as masks; no annotations needed)
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stenoscope.data.arcade import STENOSIS, existing, number_of, polygons_of, read_coco
from stenoscope.errors import DatasetError
from stenoscope.run.access import is_file


@dataclass(frozen=True)
class VesselImage:
    """A key frame with its vessels: `mask` is bool, of the image's shape."""

    name: str
    path: Path
    mask: np.ndarray


def read_grey(path: Path) -> np.ndarray:
    """Read an image as uint8 grey levels, shape (rows, cols).

    Raises
    ------
    DatasetError
        If it is missing or not an image.
    """
    data = np.fromfile(path, np.uint8) if is_file(path) else np.zeros(0, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
    if image is None:
        raise DatasetError(f"{path} is missing or not an image.", "a PNG file", "unpack ARCADE again.")
    return image


def read_vessels(root: str | Path, split: str) -> list[VesselImage]:
    """Frames of the syntax task with the union of their vessel segments, in the order of their numbers.

    Parameters and errors are those of `read_lesions`.
    """
    folder = Path(root) / "syntax" / split
    masks = sorted((folder / "masks").glob("*.png"), key=number_of)
    if masks:
        pairs = [(folder / "images" / mask.name, read_grey(mask) > 0) for mask in masks]
        return [VesselImage(f"{split}/{path.name}", existing(path), mask) for path, mask in pairs]
    source, images, annotations, categories = read_coco(folder, split)
    found = []
    for number, path in images.items():
        mask = np.zeros(read_grey(path).shape, np.uint8)
        for item in annotations.get(number, []):
            if categories.get(item["category_id"]) != STENOSIS:
                fill(mask, polygons_of(item, source))
        found.append(VesselImage(f"{split}/{path.name}", path, mask > 0))
    return sorted(found, key=lambda item: number_of(item.path))


def fill(mask: np.ndarray, polygons: tuple[np.ndarray, ...]) -> None:
    """Set the pixels inside any of the polygons, and on their outlines, to 1, in place."""
    for polygon in polygons:
        cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
