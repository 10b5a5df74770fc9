"""The Pixel Data element (PS3.5 7.1, A.4): where its frames lie, before anything is decoded or allocated."""

import itertools
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.encaps import parse_fragments
from pydicom.uid import UID

from stenoscope.errors import DicomError

TAGS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
"""Elements that say where the frames begin, beside the Basic Offset Table (PS3.3 C.7.6.3.1.8)."""

EMPTY_TABLE = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
"""A Basic Offset Table without entries: the frames are told by the order of their fragments (PS3.5 A.4)."""

VIDEO_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
"""Beginnings of the transfer syntaxes of MPEG-2, H.264 and HEVC: all frames in one bit stream."""

_CODESTREAMS = (b"\xff\xd8", b"\xff\x4f", b"\0\0\0\x0cjP")  # JPEG and JPEG-LS, JPEG 2000, and that in a box
_ITEM = 8  # bytes of an item's tag and length


@dataclass(frozen=True)
class PixelData:
    """Where the pixels lie in a file."""

    at: int  # first byte of the element's value
    vr: str  # value representation, empty in implicit transfer syntaxes
    length: int  # bytes of the value as the element states them
    left: int  # bytes of the file from `at`
    # item of the first fragment: byte of the file (encapsulated pixel data only, as all that follows)
    first: int = 0
    # offset of each fragment's item from the first one's, and the fragment's length
    fragments: dict[int, int] | None = None
    offsets: tuple[int, ...] | None = ()  # the Basic Offset Table; None if it is malformed

    def frame_table(self, dataset: Dataset, num_frames: int) -> dict | None:
        """Options that let pydicom find each frame by a table; None if the file's tables are wrong."""
        if self.offsets is None:
            return None
        extended = [dataset.get(name) or b"" for name in TAGS]
        firsts, sizes = (
            struct.unpack(f"<{len(table) // 8}Q", table[: len(table) // 8 * 8]) for table in extended
        )
        stored = [self.fragments.get(first) for first in firsts]
        if self._fits(firsts, num_frames) and stored == [size + size % 2 for size in sizes]:
            return {"extended_offsets": (list(firsts), list(sizes))}
        if self._fits(self.offsets, num_frames):
            return {}
        return None if self.offsets != () or any(extended) else {}

    def count(self, stream: BinaryIO, frame_bytes: int) -> int:
        """Frames that the pixel data holds; of native pixel data, `frame_bytes` each."""
        if self.fragments is None:
            return self.length // frame_bytes
        if self.offsets and self._fits(self.offsets, len(self.offsets)):
            return len(self.offsets)
        starts = 0
        for offset in self.fragments:
            stream.seek(self.first + offset + _ITEM)
            starts += stream.read(6).startswith(_CODESTREAMS)
        return starts or len(self.fragments)  # a frame of RLE is one fragment (PS3.5 A.4.2)

    def contents(self, stream: BinaryIO) -> Iterator[bytes]:
        """The bytes of each fragment."""
        for offset, size in self.fragments.items():
            stream.seek(self.first + offset + _ITEM)
            yield stream.read(size)

    def _fits(self, offsets: tuple[int, ...] | None, num_frames: int) -> bool:
        if not offsets or len(offsets) != num_frames or offsets[0] != 0:
            return False
        return list(offsets) == sorted(set(offsets) & self.fragments.keys())


def find_pixels(path: Path, stream: BinaryIO, syntax: UID) -> PixelData:
    """The pixel data element at which `stream` stands; DicomError if there is none, or none of integers."""
    order = "<" if syntax.is_little_endian else ">"
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    if end - here < 8:
        raise DicomError(f"{path} has no pixel data.", "Pixel Data (7FE0,0010)", "export the run again.")
    if struct.unpack(f"{order}HH", stream.read(4)) != (0x7FE0, 0x0010):
        raise DicomError(
            f"{path} holds floating-point pixels.", "integer Pixel Data (7FE0,0010)", "export the run again."
        )
    vr = "" if syntax.is_implicit_VR else stream.read(4)[:2].decode("latin-1")
    if vr not in ("", "OB", "OW", "UN"):
        raise DicomError(
            f"{path} is not written as its transfer syntax says: its elements have no value representations.",
            "explicit value representations (PS3.5 7.1.2)",
            "repair it with `gdcmconv IN OUT`, or export it again.",
        )
    (length,) = struct.unpack(f"{order}L", stream.read(4))
    at = stream.tell()
    if not syntax.is_encapsulated:
        return PixelData(at, vr, length, end - at)
    _, items = parse_fragments(stream)
    sizes = [after - before - _ITEM for before, after in itertools.pairwise(items)]
    if items:
        stream.seek(items[-1] + 4)
        sizes += struct.unpack("<L", stream.read(4))
    first = items[1] if len(items) > 1 else end
    offsets = None
    if items and sizes[0] % 4 == 0:
        stream.seek(items[0] + _ITEM)
        offsets = struct.unpack(f"<{sizes[0] // 4}L", stream.read(sizes[0]))
    fragments = {item - first: size for item, size in zip(items[1:], sizes[1:], strict=True)}
    return PixelData(at, vr, length, end - at, first, fragments, offsets)


def check_pixels(path: Path, pixels: PixelData, num_frames: int, frame_bytes: int) -> None:
    """Raise DicomError for pixel data that is truncated or has not the header's number of frames.

    Native pixel data must have the very length that the header implies, encapsulated pixel data at least one
    whole fragment a frame.
    """
    truncated = DicomError(
        f"{path} is truncated: its pixel data ends before frame {num_frames - 1}.",
        f"{num_frames} whole frames, as the header says",
        "copy or export the file again.",
    )
    if pixels.fragments is None:
        expected = frame_bytes * num_frames
        if min(pixels.length, pixels.left) < expected <= pixels.length:
            raise truncated
        if not expected <= pixels.length < expected + frame_bytes:
            raise wrong_count(path, num_frames, str(pixels.length // frame_bytes))
        return
    if any(
        pixels.first + offset + _ITEM + size > pixels.at + pixels.left
        for offset, size in pixels.fragments.items()
    ):
        raise truncated
    if len(pixels.fragments) < num_frames:
        raise wrong_count(path, num_frames, f"at most {len(pixels.fragments)}")


def wrong_count(path: Path, stated: int, found: str) -> DicomError:
    """Error for pixel data with another number of frames than the header's."""
    return DicomError(
        f"{path} states {stated} frames, but its pixel data holds {found}.",
        "as many frames as NumberOfFrames (0028,0008) says",
        "the file is truncated or its header was edited: copy or export it again.",
    )
