"""Lesion boxes: as data sets give them, and as annotation programs write them (COCO JSON, CVAT XML, CSV).

Boxes of COCO and CVAT are pixels of the image whose size the file states, and are brought into the 512 x 512
frame. The name of an image says which clip and frame it is; see `ClipNames`. Every box counts as a lesion.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from stenoscope.data.tables import read_table
from stenoscope.errors import DatasetError
from stenoscope.geometry import source_to_frame
from stenoscope.imaging.intake import Source
from stenoscope.imaging.sequences import frame_files
from stenoscope.run.provenance import file_name

CSV_COLUMNS = ("clip_id", "frame", "x0", "y0", "x1", "y1")
_CSV = f"columns {','.join(CSV_COLUMNS)} and, if you like, kind and pixels (frame or source)"
_COCO = "COCO: images with file_name, width and height; annotations with image_id and bbox"
_CVAT = "CVAT for images or CVAT for video: <image> or <track> elements with boxes"
_NUMBER = re.compile(r"[_\-. ]*(?:frame|img|image|f)?[_\-. ]*(\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Mark:
    """One box around a lesion."""

    clip_id: str  # empty where all marks are of one clip
    frame: int | None  # None: the box holds for all frames
    kind: str  # the lesion's class in the data set's words
    box: Sequence[float]  # x0, y0, x1, y1
    severity: float = np.nan  # share of the diameter that is lost, NaN where unknown
    track: str | None = None  # the lesion through a clip that the box belongs to, where the file says
    pixels: str = "frame"  # those that `box` counts, of the frame or of the source


def in_frame(box: Sequence[float], size: tuple[int, int]) -> list[float]:
    """A box of the source, of `size` rows and columns, in pixels of the stored frame."""
    return [round(value, 3) for value in source_to_frame(*size).box(box)]


def is_box(box) -> bool:
    """Whether something is four finite numbers x0 < x1, y0 < y1."""
    numbers = isinstance(box, list | tuple) and len(box) == 4
    numbers = numbers and all(isinstance(x, int | float) and not isinstance(x, bool) for x in box)
    return bool(numbers and np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3])


def check_box(box: Sequence[float], where: str, expected: str) -> Sequence[float]:
    """The box itself; raises DatasetError if it is none (see `is_box`)."""
    if not is_box(box):
        raise DatasetError(f"{where}: the box is {box}.", expected, "unpack the data set again.")
    return box


class ClipNames:
    """Finds the clip and the frame that a file name in an annotation means.

    ``CLIP.png`` is the clip itself, all of its frames. ``CLIP/0012.png``, ``CLIP_0012.png`` and
    ``CLIP_frame_0012.png`` are its frame 12, counted from 0; if the clip is a folder of images, its image of
    that name. Folders in front do not count, and ``/`` in a clip's id may be written as ``_`` or ``__``.
    """

    def __init__(self, sources: Iterable[Source]):
        self._sources = {source.clip_id: source for source in sources}
        self._ids: dict[str, str] = {}
        for clip_id in self._sources:
            for form in (clip_id.replace("/", "_"), file_name(clip_id), clip_id):
                self._ids[_normal(form)] = clip_id
        self._positions: dict[str, dict[str, int]] = {}

    def find(self, name: str) -> tuple[str | None, int | None]:
        """Clip id and frame; (None, None) for the name of no clip."""
        path = PurePosixPath(_normal(name))
        forms = [path.with_suffix("").as_posix()] if path.suffix else []
        for whole in (path.as_posix(), *forms):
            if clip_id := self._tail(whole):
                return clip_id, None
        if clip_id := self._tail(path.parent.as_posix()):
            return clip_id, self._position(clip_id, path)
        stem = (forms or [path.as_posix()])[0]
        number = _NUMBER.search(stem)
        clip_id = self._tail(stem[: number.start()]) if number else None
        return (clip_id, int(number[1])) if clip_id else (None, None)

    def _tail(self, name: str) -> str | None:
        parts = name.split("/")
        return next(
            (self._ids[key] for k in range(len(parts)) if (key := "/".join(parts[k:])) in self._ids), None
        )

    def _position(self, clip_id: str, path: PurePosixPath) -> int:
        """Frame of an image below a clip's name; -1, which no clip has, if it can't be told."""
        source = self._sources[clip_id]
        if source.reader == "images":
            if clip_id not in self._positions:
                files = frame_files(source.path)
                self._positions[clip_id] = {_normal(file.stem): index for index, file in enumerate(files)}
            return self._positions[clip_id].get(path.stem, -1)
        number = _NUMBER.search(path.stem)
        return int(number[1]) if number else -1


def entries_of(marks: Iterable[Mark]) -> dict[str, dict]:
    """Entries of a `truth.json` by clip id.

    Boxes of one track are one lesion. Others are numbered through no clip: the k-th of a kind in one frame is
    taken with the k-th in the others: right for the boxes of any one frame, a guess for their identity.
    """
    entries: dict[str, dict] = {}
    found: dict[tuple, dict] = {}
    ranks: Counter = Counter()
    for mark in marks:
        rank = mark.track
        if rank is None:
            place = (mark.clip_id, mark.frame, mark.kind)
            rank = ranks[place]
            ranks[place] += 1
        key = (mark.clip_id, mark.frame is None, mark.kind, rank)
        entry = entries.setdefault(mark.clip_id, {"lesions": [], "pixels": mark.pixels})
        if key not in found:
            known = {} if np.isnan(mark.severity) else {"severity": mark.severity}
            found[key] = {"kind": mark.kind, **known}
            entry["lesions"].append(found[key])
        if mark.frame is None:
            found[key]["box"] = mark.box
        else:
            found[key].setdefault("boxes", {})[str(mark.frame)] = mark.box
    return entries


def tracks(marks: Iterable[Mark], num_frames: int, size: tuple[int, int]) -> list[dict]:
    """Lesions of one clip with a box for each frame, as in `truth.json`, by their kinds.

    Marks are pixels of the source, whose frames have `size` (rows, columns). A lesion has ``kind``,
    ``severity`` (left out where unknown) and ``boxes``: per frame ``[x0, y0, x1, y1]``, pixels of the 512 x
    512 frame, or None where the lesion is not marked.
    """
    entries = entries_of(sorted(marks, key=lambda mark: mark.frame)).values()
    lesions = sorted((one for entry in entries for one in entry["lesions"]), key=lambda one: one["kind"])
    frames = [str(frame) for frame in range(num_frames)]
    return [
        {**one, "boxes": [in_frame(one["boxes"][k], size) if k in one["boxes"] else None for k in frames]}
        for one in lesions
    ]


def parse_xml(path: Path, expected: str, fix: str) -> ElementTree.Element:
    """The root of an XML file; raises ParseError, or DatasetError if it has a document type."""
    data = path.read_bytes()
    if b"<!" in data.replace(b"<!--", b""):  # entities can be made to grow without bound
        raise DatasetError(f"{path} has a document type.", expected, fix)
    return ElementTree.fromstring(data)


def coco_marks(content: Mapping, path: Path, names: ClipNames) -> Iterator[Mark]:
    """Boxes of a COCO file; clip and frame by `clip_id` and `frame`, by the video, or by `file_name`.

    Raises DatasetError if a part of it is not as COCO says.
    """
    try:
        kinds = {item["id"]: str(item["name"]) for item in content.get("categories", [])}
        videos = {item["id"]: str(item["name"]) for item in content.get("videos", [])}
        images = {item["id"]: item for item in content["images"]}
        for item in content["annotations"]:
            image = images[item["image_id"]]
            frame = next((image[key] for key in ("frame", "frame_id", "frame_index") if key in image), None)
            name = image.get("clip_id") or videos.get(image.get("video_id")) or image["file_name"]
            clip_id, found = names.find(str(name))
            left, top, width, height = (float(value) for value in item["bbox"])
            box = in_frame(
                (left, top, left + width, top + height), (int(image["height"]), int(image["width"]))
            )
            kind = kinds.get(item.get("category_id"), "")
            track = item.get("track_id", item.get("instance_id"))
            frame = found if frame is None else int(frame)
            yield Mark(clip_id or str(name), frame, kind, box, track=None if track is None else str(track))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DatasetError(f"{path} can't be read as COCO ({problem!r}).", _COCO) from problem


def cvat_marks(path: Path, names: ClipNames) -> Iterator[Mark]:
    """Boxes (and those around polygons) of a CVAT XML file, for images or video; DatasetError if it is none.
    """
    try:
        root = parse_xml(path, _CVAT, "export it again.")
        tasks = {task.findtext("id", ""): task for task in (*root.iter("task"), *root.iter("job"))}
        for image in root.iter("image"):
            size = (int(image.get("height", "")), int(image.get("width", "")))
            clip_id, frame = names.find(image.get("name", ""))
            for shape in image:
                if (box := _cvat_box(shape)) is not None:
                    kind = shape.get("label", "")
                    yield Mark(clip_id or image.get("name", ""), frame, kind, in_frame(box, size))
        for number, track in enumerate(root.iter("track")):
            task = tasks.get(track.get("task_id", "")) if track.get("task_id") else next(iter(tasks.values()))
            size = tuple(int(task.findtext(f"original_size/{side}", "")) for side in ("height", "width"))
            names_of = (task.findtext(key) or root.findtext(f"meta/{key}") for key in ("source", "name"))
            called = [name for name in names_of if name]
            clip_id = next((found for name in called if (found := names.find(name)[0])), (called or [""])[0])
            step = re.search(r"step=(\d+)", task.findtext("frame_filter", "") or "")
            first, every = int(task.findtext("start_frame") or 0), int(step[1]) if step else 1
            for shape in track:
                box = _cvat_box(shape)
                if box is not None and shape.get("outside") != "1":
                    frame = first + every * int(shape.get("frame", ""))
                    yield Mark(clip_id, frame, track.get("label", ""), in_frame(box, size), track=f"track {number}")
    except (ElementTree.ParseError, ValueError, AttributeError, StopIteration) as problem:
        raise DatasetError(f"{path} can't be read as CVAT XML ({problem!r}).", _CVAT) from problem


def _cvat_box(shape: ElementTree.Element) -> tuple[float, ...] | None:
    if shape.tag == "box":
        return tuple(float(shape.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr"))
    if shape.tag == "polygon":
        points = [tuple(map(float, point.split(","))) for point in shape.get("points", "").split(";")]
        (xs, ys) = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    return None


def csv_marks(path: Path) -> Iterator[Mark]:
    """Boxes of a table, a line each; an empty frame means all frames of the clip.

    Raises DatasetError with all faulty lines at once.
    """
    table = read_table(path, CSV_COLUMNS)
    places = {name: table.columns(name)[:1] for name in (*CSV_COLUMNS, "kind", "pixels")}
    if missing := [name for name in CSV_COLUMNS if not places[name]]:
        raise DatasetError(f"{path} has no column {', '.join(missing)}.", _CSV, "correct its first line.")
    faults, marks = [], []
    for line, cells in table.rows:
        row = {name: "".join(cells[place] for place in found) for name, found in places.items()}
        try:
            box = [float(row[key]) for key in CSV_COLUMNS[2:]]
            frame = int(row["frame"]) if row["frame"] else None
            pixels = row["pixels"] or "frame"
            if pixels not in ("frame", "source") or not is_box(box):
                raise ValueError
        except ValueError:
            faults.append(f"line {line}: {','.join(row[key] for key in CSV_COLUMNS[1:])}")
        else:
            marks.append(Mark(_normal(row["clip_id"]), frame, row["kind"], box, pixels=pixels))
    if faults:
        raise DatasetError(
            f"{path} has {len(faults)} faulty lines: {'; '.join(faults[:20])}.",
            f"{_CSV}; whole frames from 0, and x0 < x1, y0 < y1",
            "correct these lines.",
        )
    yield from marks


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip()).replace("\\", "/").removeprefix("./")
