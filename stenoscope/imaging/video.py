"""Videos, decoded by ffmpeg: every coded frame once, in the order in which it is shown.

Frames are never dropped or repeated to fit a frame rate. Nothing of ffmpeg's messages is passed on, as they
quote a file's title and its author.
"""

import contextlib
import itertools
import os
import re
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np

from stenoscope.errors import DicomError
from stenoscope.geometry import source_to_frame
from stenoscope.imaging import intensity
from stenoscope.imaging.containers import Container, read_container
from stenoscope.imaging.facts import FRAME_TIMES, MAX_FRAMES, MAX_SIDE, Facts, Opened, check_pixel_count
from stenoscope.records import FRAME_SIZE, Clip
from stenoscope.run import provenance

KINDS = {
    ".avi": "avi", ".mp4": "mov", ".mov": "mov", ".m4v": "mov", ".mkv": "matroska", ".webm": "matroska",
    ".wmv": "asf", ".asf": "asf",
}  # fmt: skip
"""Containers by suffix; any of them is read under any of these suffixes."""

VIDEO_SUFFIXES = tuple(KINDS)

CONVERT = "convert it with `ffmpeg -i IN -fps_mode passthrough -c:v ffv1 OUT.mkv`"

_SECONDS = 1800  # of processor time; 2^32 pixels take some minutes
_FAULT = re.compile(rb"\[(?:error|fatal|panic)\]|\[warning\].*corrupt|concealing \d+ DC")
_FRAME = re.compile(rb"\] n: *\d+ pts: *(-?\d+|NOPTS) ")
_TIME_BASE = re.compile(rb"config in time_base: (\d+)/(\d+)")
_STREAM = re.compile(rb"\[info\]   Stream #0:\d+.*?: Video: (\w+)(?!.*\(attached pic\))")
_DURATION = re.compile(rb"\[info\]   Duration: (\d+):(\d+):([\d.]+),")
_RATE = re.compile(rb", ([\d.]+) fps,")
_PACKETS = re.compile(rb"\(video\): (\d+) packets read .* (\d+) decode errors")
_HIDING = frozenset((b"vp8", b"vp9", b"av1"))  # codecs with packets that are never shown


@dataclass
class _Log:
    """What ffmpeg says of a video."""

    codecs: list[bytes] = field(default_factory=list)
    times: list[bytes] = field(default_factory=list)
    time_base: Fraction = Fraction(0)
    faults: int = 0
    packets: int | None = None
    seconds: float = 0.0
    rate: float = 0.0
    described: threading.Event = field(default_factory=threading.Event)  # the streams of the input are known

    def follow(self, stream: BinaryIO) -> None:
        """Take in lines until the stream ends."""
        try:
            while line := stream.readline(1 << 14):
                if match := _FRAME.search(line):
                    self.times.append(match[1])
                elif match := _TIME_BASE.search(line):
                    self.time_base = Fraction(int(match[1]), int(match[2]) or 1)
                elif line.startswith(b"[info] Stream mapping"):
                    self.described.set()  # the streams that follow are those of the output
                elif not self.described.is_set() and (match := _STREAM.match(line)):
                    self.codecs.append(match[1])
                    if not self.rate and (match := _RATE.search(line)):
                        self.rate = float(match[1])
                elif not self.described.is_set() and (match := _DURATION.match(line)):
                    self.seconds = 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
                elif match := _PACKETS.search(line):
                    self.packets = int(match[1])
                    self.faults += int(match[2])
                elif _FAULT.search(line):
                    self.faults += 1
        finally:
            self.described.set()


@contextlib.contextmanager
def open_video(path: str | os.PathLike) -> Iterator[Opened]:
    """Open a video and decode its first frame, which has its size; the container states how many there are.

    Raises DicomError if it is no video, or its first frame can't be decoded; when it is read, also if it is
    damaged or cut, holds another number of frames than it says, or has fewer than two.
    """
    path = Path(path)
    container, log = _container(path), _Log()
    with contextlib.closing(_decode(path, container, log)) as frames:
        first = next(frames, None)
        if first is None:
            raise _damaged(path, 0, container, log)
        log.described.wait()
        rows, cols = first.shape
        resampled = (f"resampled from {rows} x {cols}",) if first.shape != (FRAME_SIZE, FRAME_SIZE) else ()
        codec = log.codecs[0].decode() if log.codecs else ""
        frames_of = itertools.chain([first], frames)
        yield Opened(
            Facts(container.frames, rows, cols, transfer_syntax=codec, notes=resampled),
            lambda clip_id, pseudonym: _read(path, clip_id, frames_of, container, log),
        )


def _read(path: Path, clip_id: str, stream: Iterator[np.ndarray], container: Container, log: _Log) -> Clip:
    """The clip, in grey; its time stamps give the frame time."""
    frames = np.empty((0, FRAME_SIZE, FRAME_SIZE), np.uint8)
    count, shape = 0, (0, 0)
    for count, frame in enumerate(stream, 1):
        shape = frame.shape
        if count > len(frames):  # in place and in small steps: no second copy of the clip
            frames.resize((count + 15, FRAME_SIZE, FRAME_SIZE), refcheck=False)
        frames[count - 1] = intensity.to_frame(frame)
    _check(path, count, container, log)
    if count < 2:
        raise DicomError(f"{path} has {count} frames.", "at least 2 frames", "export the whole run.")
    frames.resize((count, FRAME_SIZE, FRAME_SIZE), refcheck=False)
    frame_time_ms, notes = _timing(log, container.shown)
    if len(log.codecs) > 1:
        notes += (f"{len(log.codecs)} video streams, the first one read",)
    return Clip(
        clip_id=clip_id,
        frames=frames,
        frame_time_ms=frame_time_ms,
        source_sha256=provenance.sha256_file(path),
        scale=source_to_frame(*shape).scale[0],
        notes=notes,
    )


def iter_video(path: Path, container: Container, name: Path) -> Iterator[np.ndarray]:
    """Grey levels, uint8 (rows, cols), of each frame of a video in `path`, which errors call `name`.

    Raises DicomError if it is damaged or cut; when its frames so far have been given.
    """
    log, count = _Log(), 0
    with contextlib.closing(_decode(path, container, log, name)) as frames:
        for frame in frames:
            count += 1
            yield frame
    _check(name, count, container, log)


def known_container(path: Path) -> Container | None:
    """The container of a file; None if it has none, or a damaged one, which ffmpeg would guess at."""
    try:
        return read_container(path)
    except (ValueError, LookupError, ArithmeticError, struct.error):
        return None


def _container(path: Path) -> Container:
    container = known_container(path)
    if container is None or container.kind not in KINDS.values():
        raise DicomError(  # ffmpeg would also follow play lists and text files
            f"{path} can't be decoded: it does not begin as a whole video file does.",
            f"a video file ({', '.join(VIDEO_SUFFIXES)})",
            f"copy or export it again; {CONVERT} if it is a video of another kind.",
        )
    return container


def _decode(path: Path, container: Container, log: _Log, name: Path | None = None) -> Iterator[np.ndarray]:
    """Grey levels of each coded frame; `log` is complete once all of them are taken.

    Raises DicomError if a frame is too large, or of another size than the first, or they are too many.
    """
    name = name or path
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "repeat+level+verbose",
        "-timelimit", str(_SECONDS), "-protocol_whitelist", "file,pipe", "-threads", "1",
        "-max_pixels", str(MAX_SIDE**2), "-f", container.kind,
        *(("-ignore_editlist", "1") if container.kind == "mov" else ()),
        "-err_detect", "crccheck+bitstream+buffer", "-copyts", "-i", os.fspath(path.resolve()),
        "-map", "0:V:0", "-vf", "showinfo=checksum=0,setpts=N",
        "-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "pgm", "-pix_fmt", "gray", "-",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1 << 20
    )
    listener = threading.Thread(target=log.follow, args=(process.stderr,), daemon=True)
    listener.start()
    try:
        first, count = None, 0
        while (frame := _read_pgm(process.stdout)) is not None:
            first, count = first or frame.shape, count + 1
            if frame.shape != first:
                raise DicomError(
                    f"{name} changes from {first[0]} x {first[1]} to {frame.shape[0]} x {frame.shape[1]} "
                    f"pixels at frame {count - 1}.",
                    "frames of one size",
                    "cut the video where its size changes.",
                )
            if count > MAX_FRAMES:
                raise DicomError(
                    f"{name} has more than {MAX_FRAMES} frames.", "one run of the contrast", "cut the video."
                )
            check_pixel_count(name, count, *first)
            yield frame
        if process.wait():
            log.faults += 1
    finally:
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
        process.stderr.close()


def _read_pgm(stream: BinaryIO) -> np.ndarray | None:
    """The next image of a binary grey map, None at the end or where it breaks off."""
    if stream.readline(64) != b"P5\n":
        return None
    cols, rows = map(int, stream.readline(64).split())
    stream.readline(64)
    data = stream.read(rows * cols)
    return np.frombuffer(data, np.uint8).reshape(rows, cols) if len(data) == rows * cols else None


def _check(path: Path, count: int, container: Container, log: _Log) -> None:
    """Refuse a video of which not every frame was read as it was coded."""
    expected = container.frames
    if expected is None and not _HIDING.intersection(log.codecs[:1]):
        expected = log.packets
    if container.is_cut or log.faults or (expected is not None and count != expected):
        raise _damaged(path, count, container, log)


def _damaged(path: Path, count: int, container: Container, log: _Log) -> DicomError:
    about = round(log.seconds * log.rate)
    of = f" of {container.frames}" if container.frames else f" of about {about}" if about else ""
    what = "truncated" if container.is_cut else "damaged"
    faults = ", and the decoder reports errors" if log.faults else ""
    return DicomError(
        f"{path} is {what}: {count}{of} frames could be read{faults}.",
        "a video whose frames are all there and undamaged",
        "copy or export it again.",
    )


def _timing(log: _Log, shown: list[tuple[int, int]] | None) -> tuple[float | None, tuple[str, ...]]:
    """Milliseconds between frames by their time stamps (the mean), and what is to be known of them."""
    if b"NOPTS" in log.times or len(log.times) < 2 or not log.time_base:
        return None, ("frame time can't be read",)
    notes = []
    times = np.array([int(time) for time in log.times])
    if shown is not None:
        hidden = len(times) - sum(bool(start <= time < stop) for time in times for start, stop in shown)
        notes += [f"{hidden} frames that its edit list hides are read"] if hidden > 0 else []
    steps = np.diff(times)
    tick, mean = float(1000 * log.time_base), float(steps.mean())
    time = tick * mean
    if np.abs(steps - mean).max() > max(1.0, 0.02 * mean):  # 1: what time stamps are rounded to
        notes.append(f"frame times are uneven: {tick * steps.min():.3g} to {tick * steps.max():.3g} ms")
    if not FRAME_TIMES[0] <= time <= FRAME_TIMES[1]:
        return None, (*notes, "frame time can't be read")
    return time, tuple(notes)
