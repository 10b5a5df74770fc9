"""Clips of images: folders of numbered ones, and files of several.

They don't say how their grey levels came about, so they are taken as they are: dark vessels are expected.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from stenoscope.errors import DicomError
from stenoscope.geometry import source_to_frame
from stenoscope.imaging import intensity, pictures
from stenoscope.imaging.dicom_file import has_magic
from stenoscope.imaging.facts import FRAME_TIMES, MAX_FRAMES, Facts, Opened, check_pixel_count
from stenoscope.imaging.video import VIDEO_SUFFIXES
from stenoscope.records import FRAME_SIZE, Clip
from stenoscope.run import access, provenance

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif")
STACK_SUFFIXES = (".tif", ".tiff", ".gif")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")

_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>\D*)")
_PREVIEW = re.compile(r"[\W_]*(?:thumb(?:nail)?s?|preview|icon|poster|snapshot)[\W_]*", re.IGNORECASE)


def is_image(path: Path) -> bool:
    """Whether a file name has an image suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_numbered(path: Path) -> bool:
    """Whether a file name has a frame number and an image suffix."""
    return is_image(path) and _NUMBERED.fullmatch(path.stem) is not None


def is_stack(path: Path) -> bool:
    """Whether a file is a GIF or TIFF of several images, or can't be read as one of a single image."""
    return _num_images(path) != 1


def _num_images(path: Path) -> int:
    """Images in a GIF or TIFF file, 0 if it can't be read; files of other formats hold one."""
    if path.suffix.lower() not in STACK_SUFFIXES:
        return 1
    try:
        return stack_facts(path).num_frames
    except DicomError:
        return 0


def sort_images(folder: Path) -> tuple[list[Path], set[Path]]:
    """Images of a folder that may be the frames of a clip, in the order of their names, and previews.

    Frames are numbered and hold one image each. Previews are no clips but pictures of one beside them: they
    have the name of a DICOM file or a video (``run1.png`` or ``run1.dcm.png`` beside ``run1.dcm``), with or
    without a word like "thumb", or are the only image among DICOM files. Raises OSError if this user may not
    list the folder.
    """
    files = [path for path in access.paths_in(folder) if not path.name.startswith(".")]
    images = [path for path in files if is_image(path)]
    shown = _previews(files, images)
    # a damaged image is a frame all the same, so that the clip says so
    frames = [path for path in images if path not in shown and is_numbered(path) and _num_images(path) < 2]
    return frames, shown


def _previews(files: Sequence[Path], images: Sequence[Path]) -> set[Path]:
    names = {path: {path.stem.lower(), _PREVIEW.sub("", path.stem).lower()} for path in images}
    known = {name for path in images for name in names[path]}
    clips, only = set(), len(images) == 1
    for path in files:
        if path in names or not (only or known & {path.name.lower(), path.stem.lower()}):
            continue
        is_dicom = path.suffix.lower() in DICOM_SUFFIXES or has_magic(path)
        if is_dicom or path.suffix.lower() in VIDEO_SUFFIXES:
            clips |= {path.name.lower(), path.stem.lower()}
        if is_dicom and only:
            return set(images)
    return {path for path in images if names[path] & clips}


def frame_files(folder: str | os.PathLike) -> list[Path]:
    """The images of a folder in the order of their numbers (``frame_9`` before ``frame_10``).

    The number is the last run of digits in the name; everything else of the name must be the same. Raises
    DicomError if there are fewer than two, two share a number, a number is missing, or names differ
    otherwise.
    """
    folder = Path(folder)
    found: dict[int, Path] = {}
    patterns = set()
    try:
        files, _ = sort_images(folder)
    except OSError as problem:
        raise DicomError(
            f"{folder} can't be listed: {problem.strerror}.", "a folder of frames", access.FIX
        ) from None
    for path in files:
        match = _NUMBERED.fullmatch(path.stem)
        patterns.add((match["before"], match["after"]))
        number = int(match["number"])
        if number in found or len(patterns) > 1:
            first = found[number] if number in found else next(iter(found.values()))
            raise DicomError(
                f"{folder} holds more than one series of images: {first.name} and {path.name}.",
                "one series, numbered without repeats",
                "put each series into a folder of its own.",
            )
        found[number] = path
    if len(found) < 2:
        raise DicomError(
            f"{folder} holds {len(found)} numbered images.",
            f"at least 2 numbered frames ({', '.join(IMAGE_SUFFIXES)})",
            "export the whole run.",
        )
    if len(found) > MAX_FRAMES:
        raise DicomError(
            f"{folder} holds {len(found)} frames.", f"at most {MAX_FRAMES}", "split it into several clips."
        )
    low, high = min(found), max(found)
    missing = high - low + 1 - len(found)
    if missing:
        first = next(number for number in range(low, high) if number not in found)
        raise DicomError(
            f"{folder} lacks {missing} of the frames {low} to {high}, the first being {first}.",
            "frames numbered without a gap: the key frames depend on their course in time",
            "copy the missing frames, or renumber them if none is missing.",
        )
    return [found[number] for number in sorted(found)]


def series_files(path: str | os.PathLike) -> list[Path]:
    """The frames of the series that `path` is a frame of, in the order of their numbers.

    They lie in one folder and differ in their last number alone (``14_002_5_0016.bmp``); unlike the frames of
    `frame_files`, numbers may be missing, as where a publisher kept some frames of a run.
    """
    path = Path(path)
    before = _NUMBERED.fullmatch(path.stem)["before"]
    found = {}
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(before)]
    for name in names:
        other = path.parent / name
        match = _NUMBERED.fullmatch(other.stem)
        if match and match["before"] == before and other.suffix.lower() == path.suffix.lower():
            found[int(match["number"])] = other
    return [found[number] for number in sorted(found)]


def frames_facts(files: Sequence[Path], *notes: str) -> Facts:
    """Number and size of some frames, by the first of them, with further notes."""
    with pictures.reading(files[0]), pictures.open_image(files[0]) as image:
        facts = _facts(pictures.look(image), len(files))
    return replace(facts, notes=(*facts.notes, *notes))


def _opened(files: Sequence[Path], *notes: str) -> AbstractContextManager[Opened]:
    facts = frames_facts(files, *notes)
    return nullcontext(Opened(facts, lambda clip_id, pseudonym: read_frames(files, clip_id)))


def open_images(folder: str | os.PathLike) -> AbstractContextManager[Opened]:
    """Open a folder of numbered images as a clip.

    Colour becomes grey (ITU-R 601 luma). 16-bit images are shown from the smallest to the largest value of
    the whole clip, which takes a first pass over them. Raises DicomError as `frame_files` does; when it is
    read, also if sizes or depths differ or an image is damaged.
    """
    return _opened(frame_files(folder))


def open_series(path: Path) -> AbstractContextManager[Opened]:
    """Open the series that an image is a frame of, see `series_files`."""
    return _opened(series_files(path), "selected frames of a run, not its whole course")


def open_still(path: Path) -> AbstractContextManager[Opened]:
    """Open an image as a clip of one frame."""
    return _opened([path], "one frame: all key frames are the same")


def open_stack(path: str | os.PathLike) -> AbstractContextManager[Opened]:
    """Open an animated GIF or a TIFF file of several pages as a clip.

    Raises DicomError if it is damaged; when it is read, also if it has one image only, is cut, or sizes or
    depths differ.
    """
    facts = stack_facts(path)
    return nullcontext(Opened(facts, lambda clip_id, pseudonym: _read_stack(Path(path), clip_id, facts)))


def stack_facts(path: str | os.PathLike) -> Facts:
    """Number and size of the images in a GIF or TIFF file."""
    with pictures.reading(Path(path)), pictures.open_image(Path(path)) as image:
        seen = pictures.look(image)
    return _facts(seen, seen.pages)


def read_frames(files: Sequence[Path], clip_id: str) -> Clip:
    """Read image files as a clip's frames; DicomError if sizes or depths differ or an image is damaged."""
    digest = hashlib.sha256()
    for path in files:
        with access.open_file(path) as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(os.fsencode(path.name) + f"\0{content}\n".encode())
    frames, notes, scale = _render(
        lambda: ((path, *pictures.load_image(path)) for path in files), len(files), files[0].parent
    )
    return Clip(
        clip_id=clip_id, frames=frames, source_sha256=digest.hexdigest(), scale=scale, notes=tuple(notes)
    )


def _read_stack(path: Path, clip_id: str, facts: Facts) -> Clip:
    if facts.num_frames < 2:
        raise DicomError(f"{path} holds 1 image.", "at least 2 frames", "export the whole run.")
    _check_end(path, facts.transfer_syntax)
    times: dict[int, float] = {}
    frames, notes, scale = _render(lambda: _pages(path, times), facts.num_frames, path)
    time = None
    if facts.transfer_syntax == "GIF":
        known = [times[index] for index in range(len(frames) - 1)]  # the last one is shown before the repeat
        mean = sum(known) / len(known)
        time = mean if FRAME_TIMES[0] <= mean <= FRAME_TIMES[1] else None
        if max(known) > min(known):
            notes.append(f"frame times are uneven: {min(known):.3g} to {max(known):.3g} ms")
        if time is None:
            notes.append("frame time can't be read")
    return Clip(
        clip_id=clip_id,
        frames=frames,
        frame_time_ms=time,
        source_sha256=provenance.sha256_file(path),
        scale=scale,
        notes=tuple(notes),
    )


def _pages(path: Path, times: dict[int, float]) -> Iterator[tuple[str, np.ndarray, pictures.Look, bool]]:
    """Name, grey levels, look and transparency of each image in a file; fills in the times they are shown."""
    with pictures.reading(path), pictures.open_image(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            seen = pictures.look(image)
            grey, transparent = pictures.grey_levels(image, seen, path)
            times[index] = float(image.info.get("duration") or 0)
            yield f"image {index}", grey, seen, transparent


def _check_end(path: Path, kind: str) -> None:
    """Refuse a GIF without its last byte: Pillow ends without a word where one was cut between two images."""
    if kind == "GIF":
        with path.open("rb") as stream:
            stream.seek(-min(path.stat().st_size, 1 << 10), os.SEEK_END)
            if not stream.read().rstrip(b"\0").endswith(b";"):
                raise DicomError(
                    f"{path} is truncated.", "a GIF file with its end", "copy or export it again."
                )


def _render(
    images: Callable[[], Iterator[tuple[object, np.ndarray, pictures.Look, bool]]], count: int, name: Path
) -> tuple[np.ndarray, list[str], float]:
    """Frames of images, gone through twice if they have 16 bits; what to know of them; and their scale."""
    found = images()
    source, first, look, _ = start = next(found)
    check_pixel_count(name, count, *first.shape)
    found, table = itertools.chain([start], found), None
    if first.dtype != np.uint8:
        ends = [(int(image.min()), int(image.max())) for _, image, _, _ in found]
        found = images()
        table = intensity.Rendering(bits=16).table(
            (min(low for low, _ in ends), max(high for _, high in ends))
        )
    frames = np.empty((count, FRAME_SIZE, FRAME_SIZE), np.uint8)
    looks, composed = set(), 0
    for index, (path, image, seen, transparent) in enumerate(found):
        if image.shape != first.shape or image.dtype != first.dtype:
            raise DicomError(
                f"{path if isinstance(path, Path) else f'{name}, {path},'} has {image.shape[0]} x "
                f"{image.shape[1]} pixels of {image.dtype}, {getattr(source, 'name', source)} has "
                f"{first.shape[0]} x {first.shape[1]} of {first.dtype}.",
                "frames of one size and depth",
                "put each run into a folder of its own.",
            )
        frames[index] = intensity.to_frame(image if table is None else intensity.apply_table(image, table))
        looks.add(seen)
        composed += transparent
    notes = [f"transparent parts of {composed} frames shown black"] if composed else []
    for what in ("mode", "orientation", "kind"):
        values = sorted({str(getattr(seen, what)) for seen in looks})
        if len(values) > 1 and (what, look.kind) != ("mode", "GIF"):  # whose first image alone has a palette
            notes.append(f"frames differ in {what}: {', '.join(values)}")
    return frames, notes, source_to_frame(*first.shape).scale[0]


def _facts(seen: pictures.Look, count: int) -> Facts:
    rows, cols = seen.size
    notes = ["colour converted to grey"] if seen.is_colour else []
    notes += [f"turned upright (orientation {seen.orientation})"] if seen.orientation != 1 else []
    notes += [f"resampled from {rows} x {cols}"] if (rows, cols) != (FRAME_SIZE, FRAME_SIZE) else []
    return Facts(count, rows, cols, transfer_syntax=seen.kind, notes=tuple(notes))
