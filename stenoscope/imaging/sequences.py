"""Clips that are not DICOM: folders of numbered images, and videos.

Neither says how its grey levels came about, so they are taken as they are: dark vessels are expected.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image

from stenoscope import access, provenance
from stenoscope.errors import DicomError
from stenoscope.imaging import intensity
from stenoscope.imaging.facts import FRAME_TIMES, MAX_FRAMES, MAX_SIDE, Facts, too_many_pixels
from stenoscope.records import FRAME_SIZE, Clip

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov")

_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>\D*)")
_FORMATS = ("PNG", "JPEG", "BMP")
_GREY_16 = ("I;16", "I;16B", "I")


def is_numbered(path: Path) -> bool:
    """Whether a file name has a frame number and an image suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES and _NUMBERED.fullmatch(path.stem) is not None


def has_frames(folder: Path) -> bool:
    """Whether a folder holds at least two numbered images."""
    try:
        return sum(is_numbered(path) for path in folder.iterdir() if not path.name.startswith(".")) >= 2
    except OSError:
        return False


def frame_files(folder: str | os.PathLike) -> list[Path]:
    """The images of a folder in the order of their numbers (``frame_9`` before ``frame_10``).

    The number is the last run of digits in the name; everything else of the name must be the same.

    Raises
    ------
    DicomError
        If there are fewer than two, two share a number, a number is missing, or names differ otherwise.
    """
    folder = Path(folder)
    found: dict[int, Path] = {}
    patterns = set()
    try:
        files = access.paths_in(folder)
    except OSError as problem:
        raise DicomError(
            f"{folder} can't be listed: {problem.strerror}.", "a folder of frames", access.FIX
        ) from None
    for path in files:
        if path.name.startswith(".") or not is_numbered(path):
            continue
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
            "at least 2 numbered PNG or JPEG frames",
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


def image_facts(folder: str | os.PathLike) -> Facts:
    """Number and size of the frames of an image folder."""
    return frames_facts(frame_files(folder))


def frames_facts(files: Sequence[Path]) -> Facts:
    """Number and size of some frames, by the first of them."""
    with _reading(files[0]), Image.open(files[0], formats=_FORMATS) as image:
        (cols, rows), kind, mode = image.size, image.format, image.mode
    return Facts(
        len(files), rows, cols, transfer_syntax=kind, notes=_notes(rows, cols, mode not in ("L", *_GREY_16))
    )


def read_image_folder(folder: str | os.PathLike, clip_id: str) -> Clip:
    """Read a folder of numbered PNG or JPEG images as a clip.

    Colour becomes grey (ITU-R 601 luma). 16-bit images are shown from the smallest to the largest value of
    the whole clip, which takes a first pass over them.

    Raises
    ------
    DicomError
        If the numbering has gaps, sizes differ, or an image is damaged.
    """
    return read_frames(frame_files(folder), clip_id)


def read_frames(files: Sequence[Path], clip_id: str) -> Clip:
    """Read PNG, JPEG or BMP images as the frames of a clip, as `read_image_folder` does.

    Raises
    ------
    DicomError
        If sizes differ or an image is damaged.
    """
    first = _load_image(files[0])
    if problem := too_many_pixels(files[0].parent, len(files), *first.shape):
        raise problem
    rendering = table = None
    if first.dtype != np.uint8:
        rendering = intensity.Rendering(bits=16)
        ends = [(int(image.min()), int(image.max())) for image in map(_load_image, files)]
        table = rendering.table((min(low for low, _ in ends), max(high for _, high in ends)))
    frames = np.empty((len(files), FRAME_SIZE, FRAME_SIZE), np.uint8)
    digest = hashlib.sha256()
    for index, path in enumerate(files):
        image = _load_image(path)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise DicomError(
                f"{path} has {image.shape[0]} x {image.shape[1]} pixels of {image.dtype}, "
                f"{files[0].name} has {first.shape[0]} x {first.shape[1]} of {first.dtype}.",
                "frames of one size and depth",
                "put each run into a folder of its own.",
            )
        frames[index] = intensity.to_frame(image if table is None else intensity.apply_table(image, table))
        digest.update(os.fsencode(path.name) + f"\0{provenance.sha256_file(path)}\n".encode())
    return Clip(
        clip_id=clip_id,
        frames=frames,
        source_sha256=digest.hexdigest(),
        scale=intensity.frame_scale(*first.shape),
    )


def video_facts(path: str | os.PathLike) -> Facts:
    """Size, codec and frame time of a video; its number of frames is known after reading it only."""
    with contextlib.closing(_video(Path(path))) as stream, _reading(Path(path)):
        return _facts_of(next(stream))


def read_video(path: str | os.PathLike, clip_id: str) -> Clip:
    """Read an AVI, MP4 or MOV file as a clip, in grey.

    Raises
    ------
    DicomError
        If the file is no such video, is damaged, or has fewer than two frames.
    """
    path = Path(path)
    frames = np.empty((0, FRAME_SIZE, FRAME_SIZE), np.uint8)
    count = 0
    with contextlib.closing(_video(path)) as stream, _reading(path):
        facts = _facts_of(next(stream))
        for data in stream:
            if count == MAX_FRAMES:
                raise DicomError(
                    f"{path} has more than {MAX_FRAMES} frames.", "one run of the contrast", "cut the video."
                )
            if problem := too_many_pixels(path, count + 1, facts.rows, facts.cols):
                raise problem
            if count == len(frames):  # in place and in small steps: no second copy of the clip
                frames.resize((count + 16, FRAME_SIZE, FRAME_SIZE), refcheck=False)
            frames[count] = intensity.to_frame(np.frombuffer(data, np.uint8).reshape(facts.rows, facts.cols))
            count += 1
    if count < 2:
        raise DicomError(f"{path} has {count} frames.", "at least 2 frames", "export the whole run.")
    frames.resize((count, FRAME_SIZE, FRAME_SIZE), refcheck=False)
    return Clip(
        clip_id=clip_id,
        frames=frames,
        frame_time_ms=facts.frame_time_ms,
        source_sha256=provenance.sha256_file(path),
        scale=intensity.frame_scale(facts.rows, facts.cols),
    )


def _video(path: Path) -> Iterator:
    """ffmpeg's description of the video, then its frames as bytes of grey levels."""
    with path.open("rb") as stream:
        start = stream.read(12)
    avi = start[:4] == b"RIFF" and start[8:12] == b"AVI "
    quicktime = start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    if not (avi or quicktime):  # ffmpeg would also follow play lists and text files
        raise DicomError(
            f"{path} is not a video, though its name says so.", "an AVI, MP4 or MOV file", "leave it out."
        )
    yield from imageio_ffmpeg.read_frames(
        path.resolve(),
        pix_fmt="gray",
        bits_per_pixel=8,
        input_params=["-protocol_whitelist", "file", "-threads", "1"],
    )


def _facts_of(meta: dict) -> Facts:
    cols, rows = meta["size"]
    if not (0 < rows <= MAX_SIDE and 0 < cols <= MAX_SIDE):
        raise ValueError("frame size out of range")
    rate = float(meta.get("fps") or 0)
    time = 1000.0 / rate if rate > 0 else 0.0
    believed = FRAME_TIMES[0] <= time <= FRAME_TIMES[1]
    return Facts(
        rows=rows,
        cols=cols,
        frame_time_ms=time if believed else None,
        transfer_syntax=str(meta.get("codec") or ""),
        notes=(*(["frame time can't be read"] if time and not believed else ()), *_notes(rows, cols, False)),
    )


def _load_image(path: Path) -> np.ndarray:
    """Grey levels of one image, uint8 or (from 16-bit files) uint16, shape (rows, cols)."""
    with _reading(path), Image.open(path, formats=_FORMATS) as image:
        cols, rows = image.size
        if not (rows <= MAX_SIDE and cols <= MAX_SIDE):
            raise ValueError("frame size out of range")
        if image.mode in _GREY_16:
            return np.asarray(image).astype(np.uint16)
        return np.asarray(image.convert("L"))


def _notes(rows: int, cols: int, colour: bool) -> tuple[str, ...]:
    notes = ["colour converted to grey"] if colour else []
    notes += [f"resampled from {rows} x {cols}"] if (rows, cols) != (FRAME_SIZE, FRAME_SIZE) else []
    return tuple(notes)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what Pillow and ffmpeg raise on damaged files into a DicomError."""
    access.check_file(path)
    try:
        yield
    except DicomError:
        raise
    except (
        OSError, ValueError, SyntaxError, RuntimeError, StopIteration, LookupError, AssertionError,
        MemoryError, Image.DecompressionBombError, cv2.error,
    ) as problem:  # fmt: skip
        raise DicomError(
            f"{path} can't be decoded ({type(problem).__name__}).",
            "a whole PNG, JPEG, BMP, AVI, MP4 or MOV file",
            "copy or export it again.",
        ) from None
