"""Reader of ARCADE: real coronary key frames with lesion polygons.

The data set [1]_ is two COCO data sets of 512 x 512 PNG frames. Both forms in which it travels are read::

    ROOT/stenosis/SPLIT/images/*.png, ROOT/stenosis/SPLIT/annotations/SPLIT.json    (as published)
    ROOT/syntax/SPLIT/images/*.png,  ROOT/syntax/SPLIT/annotations/SPLIT.json
    ROOT/TASK/SPLIT/SPLIT.json        (the annotations beside the folder of images)

It names no patients, and every frame of `stenosis` has at least one lesion: as clips of one frame they serve
to measure localisation, and can't be split into folds.

References
----------
.. [1] Popov M et al. Dataset for Automatic Region-based Coronary Artery Disease Diagnostics Using X-Ray
   Angiography Images. Sci Data 11 (2024) 20, doi 10.1038/s41597-023-02871-z. Data: Zenodo,
   doi 10.5281/zenodo.10390295.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stenoscope.run.access import is_file
from stenoscope.data.boxes import Mark, tracks
from stenoscope.data.data_set import DataSet, Entry, image_size
from stenoscope.errors import DatasetError
from stenoscope.imaging.intake import IntakeRow, Source

SPLITS = ("train", "val", "test")
STENOSIS = "stenosis"
"""Name of the lesions' category; all others are segments of vessels."""

_LAYOUT = "the folder of ARCADE that holds stenosis/ and syntax/ (see stenoscope/data/arcade.py)"


@dataclass(frozen=True)
class LesionImage:
    """A key frame with its lesions."""

    name: str  # `SPLIT/FILE`, unique within a task
    path: Path
    boxes: np.ndarray  # float32 (num_lesions, 4): x0, y0, x1, y1, pixels, half-open
    polygons: tuple[tuple[np.ndarray, ...], ...]  # each lesion's outlines, float32 (n, 2): x and y, pixels


def read_lesions(root: str | Path, split: str) -> list[LesionImage]:
    """Frames of the stenosis task that have a lesion, in the order of their numbers.

    `root` holds ``stenosis``; `split` is ``train``, ``val`` or ``test``. Raises DatasetError if the folder,
    its annotations or an image is missing, or the annotations are not COCO polygons.
    """
    folder = Path(root) / "stenosis" / split
    source, images, annotations, categories = read_coco(folder, split)
    wanted = {number for number, name in categories.items() if name == STENOSIS}
    if not wanted:
        raise DatasetError(
            f"{source} has no category {STENOSIS!r}.", f"one of: {sorted(categories.values())}"
        )
    found = []
    for number, path in images.items():
        lesions = [item for item in annotations.get(number, []) if item["category_id"] in wanted]
        if lesions:
            polygons = tuple(polygons_of(item, source) for item in lesions)
            boxes = [_box(item, source) for item in lesions]
            found.append(LesionImage(f"{split}/{path.name}", path, np.array(boxes, np.float32), polygons))
    return sorted(found, key=lambda item: number_of(item.path))


def is_arcade(root: Path) -> bool:
    """Whether a folder has the layout of the stenosis task."""
    return any(_annotations(root / "stenosis" / split) for split in SPLITS)


def read_arcade(root: Path) -> DataSet:
    """The frames of the stenosis task as clips of one frame, with their boxes; raises as `read_lesions` does.
    """
    entries, rows = [], []
    for split in SPLITS:
        folder = root / "stenosis" / split
        if not _annotations(folder):
            continue
        known = read_lesions(root, split)
        for item in known:
            relative = item.path.relative_to(root).as_posix()
            source = Source(item.path, f"{split}/{item.path.stem}", "still", relative)
            marks = [Mark("", 0, STENOSIS, box) for box in item.boxes.tolist()]
            entries.append(Entry(source, "", 1.0, (0,), tracks(marks, 1, image_size(item.path))))
        unmarked = sorted(set((folder / "images").glob("*.png")) - {item.path for item in known})
        reason = "No stenosis is marked in this frame; the data set has no normal ones."
        rows += [IntakeRow(path.relative_to(root).as_posix(), "", "ignored", reason) for path in unmarked]
    return DataSet.of(entries, rows, stills=True)


def read_coco(folder: Path, split: str):
    """Source, image paths by id, annotations by image id, category names by id."""
    source = _annotations(folder)
    if source is None:
        raise DatasetError(
            f"There is neither {folder}/annotations/{split}.json nor {folder}/{split}.json.",
            _LAYOUT,
            "give that folder.",
        )
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        images = {item["id"]: folder / "images" / item["file_name"] for item in content["images"]}
        categories = {item["id"]: item["name"] for item in content["categories"]}
        annotations: dict[int, list[dict]] = {}
        for item in content["annotations"]:
            wanted = {key: item[key] for key in ("category_id", "segmentation", "bbox")}
            annotations.setdefault(item["image_id"], []).append({"id": item.get("id"), **wanted})
    except (ValueError, TypeError, KeyError) as problem:
        raise DatasetError(
            f"{source} can't be read: {problem!r}.", "COCO: images, annotations and categories"
        ) from problem
    strange = sorted(set(annotations) - set(images))
    if strange:
        raise DatasetError(f"{source} has annotations of image {strange[0]}, which it does not list.")
    for path in images.values():
        existing(path)
    return source, images, annotations, categories


def _annotations(folder: Path) -> Path | None:
    """The annotations of a split; the data set's description writes their suffix in capitals."""
    places = [(place, suffix) for place in (folder / "annotations", folder) for suffix in ("json", "JSON")]
    candidates = (place / f"{folder.name}.{suffix}" for place, suffix in places)
    return next((path for path in candidates if is_file(path)), None)


def existing(path: Path) -> Path:
    if not is_file(path):
        raise DatasetError(f"{path} is missing.", _LAYOUT, "unpack ARCADE again.")
    return path


def polygons_of(item: dict, source: Path) -> tuple[np.ndarray, ...]:
    where = f"{source}, annotation {item.get('id')}"
    parts = item["segmentation"]
    try:
        found = tuple(np.array(part, np.float32).reshape(-1, 2) for part in parts)
    except (ValueError, TypeError) as problem:
        raise DatasetError(
            f"{where}: its segmentation is not a list of polygons.", "x, y, x, y ..."
        ) from problem
    if not found or any(len(part) < 3 or not np.isfinite(part).all() for part in found):
        raise DatasetError(f"{where}: a polygon of fewer than three points.", "x, y, x, y ...")
    return found


def _box(item: dict, source: Path) -> tuple[float, float, float, float]:
    box = item["bbox"]
    if len(box) != 4 or not (box[2] > 0 and box[3] > 0):
        raise DatasetError(f"{source}, annotation {item.get('id')}: the box is {box}.", "x, y, width, height")
    x, y, width, height = box
    return x, y, x + width, y + height


def number_of(path: Path) -> tuple[int, str]:
    """Files are numbered without leading zeros."""
    return (int(path.stem) if path.stem.isdigit() else 0, path.name)
