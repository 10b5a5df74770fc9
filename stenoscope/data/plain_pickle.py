"""Pickles of plain containers, numbers, strings and arrays, and a reader that admits nothing else.

A pickle is a program: `pickle.load` runs whatever it names. `load` here never does: it interprets the few
opcodes that plain data takes (see `pickle_reader`). Arrays written by NumPy 1 and 2 with protocols 2 to 5 are
understood.

Files are byte-deterministic: equal content gives equal bytes, whatever objects happen to be shared in memory.
"""

import os
import pickle
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stenoscope.run import provenance
from stenoscope.data import pickle_reader
from stenoscope.errors import DatasetError

PROTOCOL = 5


def dump(obj, path: str | os.PathLike) -> None:
    """Write `obj` to `path` as a plain protocol-5 pickle, atomically.

    Parameters
    ----------
    obj : dict, list, tuple, str, bytes, int, float, bool, None or ndarray, nested
        NumPy numbers become Python numbers; arrays must be boolean, integer, float or string.
    path : path

    Raises
    ------
    TypeError
        If something else is in it.
    """
    with provenance.atomic_path(path) as temporary, temporary.open("wb") as stream:
        pickle.Pickler(stream, PROTOCOL).dump(plain(obj))


def dump_around(obj, num_bytes: int) -> tuple[bytes, bytes]:
    """What the pickle of `obj` holds before and after the data of the array in it that has `num_bytes` bytes.

    The data itself is neither copied nor returned. With at least 64 KiB it is in one piece, and the length of
    the part before it does not depend on `num_bytes`: that part ends with a length of 8 bytes.
    """
    stream = _Around(num_bytes)
    pickle.Pickler(stream, PROTOCOL).dump(plain(obj))
    head, tail = (b"".join(part) for part in stream.parts)
    return head, tail


class _Around:
    """Keeps what a pickler writes before and after one large buffer."""

    def __init__(self, num_bytes: int):
        self._num_bytes = num_bytes
        self.parts: list[list[bytes]] = [[]]

    def write(self, data) -> int:
        size = memoryview(data).nbytes
        if size == self._num_bytes and len(self.parts) == 1:
            self.parts.append([])
        else:
            self.parts[-1].append(bytes(data))
        return size


def plain(obj):
    """Copy of `obj` that pickles to the same bytes as any equal object.

    The pickler writes an object it has met before as a reference, so bytes would depend on which strings and
    dtypes are shared. Here equal strings and bytes are one object, and containers and arrays are all new.
    Array data is not copied, unless it is read-only or not contiguous.
    """
    return _Plain().copy(obj)


class _Plain:
    def __init__(self):
        self._shared: dict = {}

    def copy(self, value):
        kind = type(value)
        if kind in (str, bytes):
            return self._shared.setdefault((kind, value), value)
        if kind in pickle_reader.ATOMS:
            return value
        if kind is dict:
            return {self.copy(key): self.copy(item) for key, item in value.items()}
        if kind is list:
            return [self.copy(item) for item in value]
        if kind is tuple:
            return tuple([self.copy(item) for item in value])
        if isinstance(value, np.ndarray) and pickle_reader.DTYPES.fullmatch(value.dtype.str):
            if not (value.flags.c_contiguous and value.flags.writeable):  # read-only data pickles differently
                value = np.array(value, order="C")
            dtype = self._shared.setdefault(value.dtype.str, np.dtype(value.dtype.str))
            return value.view(dtype, np.ndarray)
        if isinstance(value, np.bool_ | np.integer | np.floating | np.str_):
            return self.copy(value.item())
        raise TypeError(f"{kind.__module__}.{kind.__qualname__} is not plain data")


def load(path: str | os.PathLike):
    """Read a plain pickle safely.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict, list, tuple, str, bytes, int, float, bool, None, NumPy number or ndarray, nested

    Raises
    ------
    DatasetError
        If the file is missing, damaged, no pickle, or names anything that is not plain data.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return load_stream(stream, path)
    except OSError as problem:
        raise DatasetError(
            f"{path} can't be read: {problem.strerror}.", "a pickle that Stenoscope wrote", "check the path."
        ) from problem


def load_stream(stream: BinaryIO, path: str | os.PathLike, missing_data: bool = False):
    """Like `load`, from an open stream; `path` is for the error text.

    Parameters
    ----------
    missing_data : bool
        Accept an array whose data is empty although its shape is not, and give it as an empty array: how
        `clipset` reads everything but the frames.
    """
    start = stream.tell()
    head = stream.read(512)
    stream.seek(start)
    other = _other_format(head)
    if other:
        raise DatasetError(
            f"{path} {other}.",
            "a pickle that Stenoscope wrote (protocols 2 to 5 are read)",
            "check the path, or make it again with the step that writes it.",
        )
    try:
        return pickle_reader.read(stream, missing_data)
    except pickle_reader.NotPlainError as problem:
        raise DatasetError(
            f"{path} is not plain data: {problem}. It was not executed.",
            "dict, list, tuple, str, bytes, numbers and numeric arrays only",
            "do not open it with pickle.load unless you trust its maker; make it again with Stenoscope.",
        ) from None
    except pickle_reader.DamagedError as problem:
        raise DatasetError(
            f"{path} is damaged: {problem}.",
            "a whole pickle that Stenoscope wrote",
            "copy it again, or make it again with the step that writes it.",
        ) from None


_FORMATS = {
    b"PK": "a zip archive (an .npz, a .keras or a PyTorch file is one, too)",
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8": "a JPEG image",
    b"SQLite": "an SQLite database",
}


def _other_format(head: bytes) -> str:
    """What a file is that begins with `head`, if it is no pickle of protocol 2 to 5; else an empty string."""
    if not head:
        return "is empty"
    if head[:1] == b"\x80" and len(head) > 1:
        return "" if 2 <= head[1] <= 5 else f"is not a pickle, or one of the unknown protocol {head[1]}"
    if head[128:132] == b"DICM":
        return "is a DICOM file, not a pickle"
    for magic, name in _FORMATS.items():
        if head.startswith(magic):
            return f"is {name}, not a pickle"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "is text, not a pickle (or one of protocol 0)"
    return "is not a pickle, or one of protocol 0 or 1"
