"""A test that needs permissions to hold, also where root runs the tests."""

import contextlib
import ctypes
import struct
import sys
from collections.abc import Iterator

import pytest

_VERSION_3 = 0x20080522
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextlib.contextmanager
def permissions_hold() -> Iterator[None]:
    """Take the right to pass over permissions from this thread, and give it back."""
    if not sys.platform.startswith("linux"):
        pytest.skip("capabilities are Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = struct.pack("Ii", _VERSION_3, 0), ctypes.create_string_buffer(24)
    assert libc.capget(header, before) == 0
    effective, *others = struct.unpack("6I", before.raw)
    assert libc.capset(header, struct.pack("6I", effective & ~_OVERRIDES, *others)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before.raw) == 0
