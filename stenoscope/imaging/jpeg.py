"""The marker segments of a JPEG frame, checked before a native decoder sees them.

GDCM, which decodes JPEG Lossless, aborts the process where libjpeg would skip bytes between two segments.
"""

import struct

_START, _SCAN, _FILL = 0xD8, 0xDA, 0xFF
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG, DAC


def check_segments(data: bytes, rows: int, cols: int, samples: int) -> None:
    """Walk from the start of the image to its first scan (ITU-T T.81 B.1.1.4, B.2.2).

    Raises ValueError if a segment does not begin where the one before it ends, or the frame header has
    another size or number of components.
    """
    if data[:2] != bytes((_FILL, _START)):
        raise ValueError("no start of image")
    at, framed = 2, False
    while True:
        if data[at : at + 1] != b"\xff":
            raise ValueError("bytes between two segments")
        while data[at : at + 1] == b"\xff":  # a marker may be preceded by any number of these
            at += 1
        if at + 3 > len(data):
            raise ValueError("no scan")
        kind, (length,) = data[at], struct.unpack(">H", data[at + 1 : at + 3])
        if kind in _FRAME_HEADERS:
            framed = True
            if data[at + 4 : at + 9] != struct.pack(">HHB", rows, cols, samples):
                raise ValueError("another size than the header's")
        if length < 2 or (kind == _SCAN and not framed):
            raise ValueError("a segment out of place")
        at += 1 + length
        if kind == _SCAN:
            return
