"""Pickles of plain containers, numbers, strings and arrays, and a reader that admits nothing else.

A pickle is a program: `pickle.load` runs whatever it names. `load` here never does. Every global of a pickle
is looked up in a short list, and what it finds there is not NumPy's own function but a stand-in of this
module, which checks its arguments and knows numeric dtypes only. Arrays written by NumPy 1 and 2 with
protocols 2 to 5 are understood.

Files are byte-deterministic: equal content gives equal bytes, whatever objects happen to be shared in memory.
"""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stenoscope import provenance
from stenoscope.errors import DatasetError

PROTOCOL = 5

_ATOMS: tuple[type, ...] = (type(None), bool, int, float, str, bytes)
_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU]\d{1,6})")
_READING_ERRORS = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, ImportError,
    MemoryError, OverflowError, RecursionError,
)  # fmt: skip


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
        if kind in _ATOMS:
            return value
        if kind is dict:
            return {self.copy(key): self.copy(item) for key, item in value.items()}
        if kind is list:
            return [self.copy(item) for item in value]
        if kind is tuple:
            return tuple([self.copy(item) for item in value])
        if isinstance(value, np.ndarray) and _DTYPE.fullmatch(value.dtype.str):
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
    try:
        value = _Unpickler(_Bounded(stream), missing_data).load()
        if stream.read(1):
            raise pickle.UnpicklingError("it goes on after its end")
        return _resolve(value, {})
    except _NotPlainError as problem:
        raise DatasetError(
            f"{path} is not plain data: {problem}. It was not executed.",
            "dict, list, tuple, str, bytes, numbers and numeric arrays only",
            "do not open it with pickle.load unless you trust its maker; make it again with Stenoscope.",
        ) from None
    except _READING_ERRORS as problem:
        raise DatasetError(
            f"{path} is damaged or no pickle ({type(problem).__name__}: {str(problem)[:200]}).",
            "a pickle that Stenoscope wrote",
            "make it again with the step that writes it.",
        ) from None


class _NotPlainError(Exception):
    """Something in a pickle that is not plain data."""


class _Bounded:
    """The stream, but a read past its end fails at once: a length in a damaged pickle can be anything."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        here = stream.tell()
        self._end = stream.seek(0, os.SEEK_END)
        stream.seek(here)
        self.readline = stream.readline

    def read(self, size: int) -> bytes:
        if size > self._end - self._stream.tell():
            raise EOFError("it ends too early")
        return self._stream.read(size)


class _Dtype:
    """Stand-in for a numeric dtype while a pickle is being read."""

    __slots__ = ("spec",)

    def __init__(self, spec: str):
        self.spec = spec

    def __setstate__(self, state):
        # (version, byte order, subarray, names, fields, itemsize, alignment, flags[, metadata])
        if not isinstance(state, tuple) or len(state) < 8 or any(part is not None for part in state[2:5]):
            raise _NotPlainError("it holds an array of records")
        order = state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[8:]):
            raise _NotPlainError("it holds an unusual dtype")
        if self.spec[0] in "<>|=":
            self.spec = self.spec[1:]
        self.spec = order + self.spec

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.spec)


class _Array:
    """Stand-in for an array while a pickle is being read."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray | None = None):
        self.value = value

    def __setstate__(self, state):
        # (version, shape, dtype, is_fortran, data), after _reconstruct only
        if self.value is not None or not isinstance(state, tuple) or len(state) != 5:
            raise _NotPlainError("it changes an array after making it")
        _, shape, dtype, fortran, data = state
        self.value = _filled(data, dtype, shape, "F" if fortran else "C", missing_data=False)


def _filled(data, dtype, shape, order, missing_data: bool) -> np.ndarray:
    """Array over `data`, which must have exactly the bytes that shape and dtype ask for."""
    if not isinstance(dtype, _Dtype):
        raise _NotPlainError("it holds an array of Python objects")
    if not isinstance(data, bytes | bytearray):
        raise _NotPlainError("it holds an array of Python objects")
    if order not in ("C", "F") or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
        raise _NotPlainError("it holds an unusual array")
    if 0 in shape and not data:
        return np.empty(shape, dtype.dtype, order)
    if missing_data and not data:
        return np.empty(0, dtype.dtype)
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


class _Allowed:
    """A callable that a pickle may name; it takes no state, so a pickle can't change it."""

    __slots__ = ("function",)

    def __init__(self, function: Callable):
        self.function = function

    def __call__(self, *arguments):
        return self.function(*arguments)

    def __setstate__(self, state):
        raise _NotPlainError("it changes a function")


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: _Bounded, missing_data: bool):
        super().__init__(stream)
        allowed = {
            "dtype": _Allowed(_dtype),
            "ndarray": _Allowed(_not_called),
            "_reconstruct": _Allowed(_reconstruct),
            "_frombuffer": _Allowed(lambda *arguments: _Array(_filled(*arguments, missing_data))),
            "scalar": _Allowed(_scalar),
            "encode": _Allowed(_encode),
            "bytes": _Allowed(_no_bytes),
            "bytearray": _Allowed(_bytearray),
        }
        self._allowed = {name: allowed[name.split()[1]] for name in _GLOBALS}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global that a pickle names; refuses all but those of plain data."""
        found = self._allowed.get(f"{module} {name}")
        if found is None:
            raise _NotPlainError(f"it names {module[:60]}.{name[:60]}")
        return found

    def persistent_load(self, pid) -> Any:
        """Refuses: plain data has no persistent ids."""
        raise _NotPlainError("it refers to something outside itself")


_GLOBALS = (
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "numpy.core.numeric _frombuffer",
    "numpy._core.numeric _frombuffer",
    "_codecs encode",
    "builtins bytes",
    "__builtin__ bytes",
    "builtins bytearray",
    "__builtin__ bytearray",
)
"""What plain data names, as "module name": arrays, and bytes below protocol 3."""


def _dtype(spec, align=False, copy=False) -> _Dtype:
    if not isinstance(spec, str) or not _DTYPE.fullmatch(spec):
        raise _NotPlainError("it holds an array of Python objects or records")
    return _Dtype(spec)


def _reconstruct(kind, shape, code) -> _Array:
    if not isinstance(kind, _Allowed) or kind.function is not _not_called:
        raise _NotPlainError("it holds an unusual array")
    return _Array()


def _scalar(dtype, data) -> np.generic:
    return _filled(data, dtype, (1,), "C", missing_data=False)[0]


def _encode(text, encoding) -> bytes:
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise _NotPlainError("it encodes text")
    return text.encode("latin-1")


def _no_bytes(*arguments) -> bytes:
    if arguments:
        raise _NotPlainError("it builds bytes")
    return b""


def _bytearray(*arguments) -> bytearray:
    if len(arguments) > 1 or not all(isinstance(item, bytes) for item in arguments):
        raise _NotPlainError("it builds bytes")
    return bytearray(*arguments)


def _not_called(*arguments):
    raise _NotPlainError("it builds an unusual array")


def _resolve(value, done: dict):
    """Replace the stand-ins in `value` by arrays, in place where possible; `done`: what was seen, by id."""
    if type(value) in _ATOMS or isinstance(value, np.generic):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, _Array):
        if value.value is None:
            raise _NotPlainError("it holds an array without data")
        return value.value
    if id(value) in done:
        result, _ = done[id(value)]
        if result is None:
            raise _NotPlainError("it contains itself")
        return result
    done[id(value)] = None, value  # keeps `value` alive, so that its id stays its own
    if type(value) is dict:
        result = value
        for key, item in value.items():
            if type(key) not in _ATOMS:
                raise _NotPlainError("it has a key that is not a string or a number")
            value[key] = _resolve(item, done)
    elif type(value) is list:
        result = value
        value[:] = [_resolve(item, done) for item in value]
    elif type(value) is tuple:
        result = tuple([_resolve(item, done) for item in value])
    else:
        raise _NotPlainError(f"it holds a {type(value).__name__.strip('_').lower()}")
    done[id(value)] = result, value
    return result
