"""What a video file says of itself, read from its container before any decoder sees it.

A container knows how many frames it holds and how long the file is; a copy that broke off still says so.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from stenoscope.imaging.bounded import BoundedReader
from stenoscope.run.access import open_file

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAMS = {b"\0\0\1\xba": "mpeg", b"\0\0\1\xb3": "mpegvideo"}
_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_LIVE = 1  # flag of an ASF file that was broadcast: its sizes are not set


@dataclass
class Container:
    """A container's own statements; None where it makes none."""

    # ffmpeg's name: avi, mov (MP4, M4V), matroska (WebM), asf (WMV), and of streams in DICOM files: mpegts,
    # mpeg, mpegvideo, h264, hevc
    kind: str
    frames: int | None = None  # of the first video stream
    is_cut: bool = False  # the file ends before its container does
    # an edit list: the time stamps, in units of the stream, from which and below which frames are shown
    shown: list[tuple[int, int]] | None = None


def read_container(path: str | os.PathLike) -> Container | None:
    """What a file says of itself; None if it is none of the known containers.

    Raises DicomError if it can't be opened, ValueError or struct.error if its parts do not fit into each
    other.
    """
    with open_file(path) as file:
        end = os.fstat(file.fileno()).st_size
        stream = BoundedReader(file, header=True)
        start = stream.read(16)
        stream.seek(0)
        if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
            return _avi(stream, end)
        if start[4:8] in _QUICKTIME:
            return _quicktime(stream, end)
        if start[:4] == _EBML:
            return _matroska(stream, end)
        if start == _ASF:
            return _asf(stream, end)
        if start[:4] in _STREAMS:
            return Container(_STREAMS[start[:4]])
        if start[:4] == b"\0\0\0\1" or start[:3] == b"\0\0\1":
            unit = start[start.index(1) + 1]
            kind = "h264" if unit & 31 in (7, 9) else "hevc" if unit >> 1 in (32, 35) else ""
            return Container(kind) if kind else None
        if start[:1] == b"G" and end > 376:
            stream.seek(188)
            return Container("mpegts") if stream.read(1) == b"G" else None
    return None


def _avi(stream: BinaryIO, end: int) -> Container:
    """RIFF chunks: the video stream's header states its frames, the index their sizes.

    A frame of no bytes stands for time that passes, not for a frame.
    """
    found = Container("avi")
    streams: list[tuple[bytes, int]] = []
    (size,) = struct.unpack("<4xL", stream.read(8))
    found.is_cut = 0 < size < 0xFFFFFFFF and 8 + size > end  # 0: the writer never learned it
    at, top, index = 12, min(8 + size, end) if size else end, None
    while at + 8 <= top:
        stream.seek(at)
        name, size = struct.unpack("<4sL", stream.read(8))
        kind = stream.read(4) if name == b"LIST" else b""
        if name == b"strh":
            streams.append((stream.read(4), struct.unpack("<28xL", stream.read(32))[0]))
        elif name == b"idx1":
            index = stream.read(min(size, end - at - 8))
        at += 12 if kind in (b"hdrl", b"strl") else 8 + size + size % 2
    number = next((number for number, (kind, _) in enumerate(streams) if kind == b"vids"), None)
    if number is not None and streams[number][1]:
        entries = struct.iter_unpack("<4sLLL", index[: len(index) // 16 * 16]) if index else ()
        ours = (b"%02ddc" % number, b"%02ddb" % number)
        found.frames = streams[number][1] - sum(name in ours and not size for name, _, _, size in entries)
    return found


def _boxes(stream: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content and stated end of each box (ISO/IEC 14496-12 4.2)."""
    while at + 8 <= end:
        stream.seek(at)
        size, name = struct.unpack(">L4s", stream.read(8))
        start = at + 8
        if size == 1:
            (size,) = struct.unpack(">Q", stream.read(8))
            start += 8
        size = size or end - at
        if size < start - at:
            raise ValueError("a box smaller than its header")
        yield name, start, at + size
        at += size


def _quicktime(stream: BinaryIO, end: int) -> Container:
    found, tracks, late = Container("mov"), [], {}
    units = 0
    for name, start, stop in _boxes(stream, 0, end):
        found.is_cut |= stop > end and name in (*_QUICKTIME, b"moof", b"mfra")
        if name not in (b"moov", b"moof"):
            continue
        for inner, at, to in _boxes(stream, start, min(stop, end)):
            if inner == b"mvhd":
                units = _timescale(stream, at)
            elif inner == b"trak":
                tracks.append(_track(stream, at, to))
            elif inner == b"traf":
                identity, count = _fragment(stream, at, to)
                late[identity] = late.get(identity, 0) + count
    video = next((track for track in tracks if track["kind"] == b"vide"), None)
    if video is None:
        found.is_cut = True  # the list of frames lies at the end and is missing
        return found
    found.frames = video["frames"] + late.get(video["id"], 0)
    if units and video["edits"]:
        scale = video["units"] / units
        found.shown = [
            (time, time + round(length * scale) if length else 1 << 62)
            for length, time in video["edits"] if time >= 0
        ]  # fmt: skip
    return found


def _timescale(stream: BinaryIO, at: int) -> int:
    """Units a second of a movie or media header."""
    stream.seek(at)
    version = stream.read(4)[0]
    stream.seek(at + (20 if version else 12))
    return struct.unpack(">L", stream.read(4))[0]


def _track(stream: BinaryIO, at: int, end: int) -> dict:
    track = {"kind": b"", "id": 0, "frames": 0, "units": 0, "edits": []}
    todo = [(at, end)]
    while todo:
        for name, start, stop in _boxes(stream, *todo.pop()):
            stream.seek(start)
            if name in (b"mdia", b"minf", b"stbl", b"edts"):
                todo.append((start, stop))
            elif name == b"tkhd":
                version = stream.read(4)[0]
                stream.seek(start + (20 if version else 12))
                (track["id"],) = struct.unpack(">L", stream.read(4))
            elif name == b"mdhd":
                track["units"] = _timescale(stream, start)
            elif name == b"hdlr":
                kind = struct.unpack(">8x4s", stream.read(12))[0]
                track["kind"] = track["kind"] or kind  # QuickTime has a second one, of the data
            elif name in (b"stsz", b"stz2"):
                (track["frames"],) = struct.unpack(">8xL", stream.read(12))
            elif name == b"elst":
                version, count = struct.unpack(">B3xL", stream.read(8))
                entry = ">Qq4x" if version else ">Ll4x"
                content = stream.read(min(count, 1 << 12) * struct.calcsize(entry))
                track["edits"] = list(struct.iter_unpack(entry, content))
    return track


def _fragment(stream: BinaryIO, at: int, end: int) -> tuple[int, int]:
    """Track and number of frames of a track fragment (ISO/IEC 14496-12 8.8)."""
    identity = count = 0
    for name, start, _ in _boxes(stream, at, end):
        stream.seek(start + 4)
        if name == b"tfhd":
            (identity,) = struct.unpack(">L", stream.read(4))
        elif name == b"trun":
            count += struct.unpack(">L", stream.read(4))[0]
    return identity, count


def _matroska(stream: BinaryIO, end: int) -> Container:
    """EBML elements (RFC 8794): the segment states its size, no element the number of frames."""
    at = 0
    while at < end:
        stream.seek(at)
        name = stream.read(4)
        first = stream.read(1)
        if not first or not first[0]:
            raise ValueError("no size")
        width = 9 - first[0].bit_length()
        size = int.from_bytes(first + stream.read(width - 1), "big") - (1 << 7 * width)
        unknown = size == (1 << 7 * width) - 1
        if name == _SEGMENT:
            return Container("matroska", is_cut=not unknown and at + 4 + width + size > end)
        at += 4 + width + size
    return Container("matroska", is_cut=True)


def _asf(stream: BinaryIO, end: int) -> Container:
    """The header object holds the file's size (ASF specification 3.2)."""
    stream.seek(16)
    (count,) = struct.unpack("<8xL", stream.read(12))
    at = 30
    for _ in range(min(count, 1 << 10)):
        stream.seek(at)
        name, size = struct.unpack("<16sQ", stream.read(24))
        if name == _ASF_FILE:
            (stated,), (flags,) = (
                struct.unpack("<16xQ", stream.read(24)), struct.unpack("<40xL", stream.read(44))
            )  # fmt: skip
            return Container("asf", is_cut=not flags & _LIVE and stated > end)
        at += max(size, 24)
    return Container("asf", is_cut=at > end)
