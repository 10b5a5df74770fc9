"""A file that gives no more than it holds, and no more than a header needs."""

import os
from typing import BinaryIO

MAX_READS = 500_000
MAX_HEADER = 16 << 20


class BoundedReader:
    """Reads a file whose lengths can't be trusted.

    Python sets aside what a read asks for before it looks whether the file has it, and a length in a damaged
    file can promise 4 GiB. A parser of headers takes microseconds for an element, and a hostile file can hold
    millions of empty ones. As a `header` it allows `MAX_READS` reads (a header takes hundreds, the fragments
    of a long run some 100,000) and `MAX_HEADER` bytes in all (the functional groups of 8,192 frames take 12
    MiB).
    """

    def __init__(self, stream: BinaryIO, header: bool = False):
        self._stream = stream
        self._end = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        self._reads, self._bytes = (MAX_READS, MAX_HEADER) if header else (None, None)
        self.seek, self.tell = stream.seek, stream.tell

    def as_header(self) -> "BoundedReader":
        """The same file from its beginning, with the limits of a header."""
        return BoundedReader(self._stream, header=True)

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, or what is left; raises ValueError if a header would be larger than any."""
        left = max(0, self._end - self.tell())
        size = left if size is None or not 0 <= size <= left else size
        if self._reads is not None:
            self._reads -= 1
            self._bytes -= size
            if self._reads < 0 or self._bytes < 0:
                raise ValueError("larger than any header")
        return self._stream.read(size)
