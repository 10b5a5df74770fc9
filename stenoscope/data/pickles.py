"""Plain pickles: containers, numbers, strings and arrays, in the same bytes every time and safe to read.

A pickle is a program: `pickle.load` imports what it names and calls it. Files of this module need two names,
NumPy's `dtype` and `_frombuffer`, and anyone can read them with `pickle.load`.

`dumps` writes without the pickler's memo, so no object is a reference to one that came before: equal content
gives equal bytes, whatever is shared in memory.

`loads` first lists the opcodes, which runs nothing [1]_. Only those that plain data takes are admitted; every
length lies within the file, nesting is bounded, and nothing is referred to twice. Memory therefore stays
within a fixed multiple of the file's size. Then Python's own unpickler runs them, with stand-ins for the two
names: a pickle can neither call NumPy's functions nor set attributes on anything.

References
----------
.. [1] The opcodes are documented in Python's `pickletools`.
"""

import io
import os
import pickle
import pickletools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stenoscope.errors import DatasetError
from stenoscope.run import provenance

PROTOCOL = 5
MAX_BYTES = 1 << 30
"""Largest file read; 100,000 clips take some 300 MB."""
MAX_DEPTH = 200
"""Deepest nesting read; Stenoscope's own files have less than 20, with the parts of arrays."""

_ATOMS: tuple[type, ...] = (type(None), bool, int, float, str, bytes)
_DTYPES = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU][1-9]\d{0,5})")
_OPCODES = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES",
    "BINBYTES8", "BYTEARRAY8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND",
    "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "STACK_GLOBAL", "REDUCE", "BUILD", "NEXT_BUFFER",
    "READONLY_BUFFER",
}  # fmt: skip
_START = bytes([0x80, PROTOCOL])
_FILLING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"}


class _NotPlainError(Exception):
    """Something in a pickle that is not plain data."""


class _DamagedError(Exception):
    """Opcodes that do not fit each other, or that end too early."""


def dumps(obj, outside: np.ndarray | None = None) -> bytes:
    """Pickle `obj` plainly.

    Parameters ---------- obj : dict, list, tuple, str, bytes, int, float, bool, None or ndarray, nested NumPy
    numbers become Python numbers; arrays must be boolean, integer, float or string. outside : ndarray,
    optional An array in `obj` whose data is left out (PEP 574): readers give it to `pickle.load` as the one
    buffer.

    Raises ------ TypeError If something else is in it.
    """
    stream = io.BytesIO()
    pickler = pickle.Pickler(
        stream, PROTOCOL, buffer_callback=lambda buffer: memoryview(buffer).obj is not outside
    )
    pickler.fast = True  # no memo
    pickler.dump(_plain(obj, outside))
    return stream.getvalue()


def dump(obj, path: str | os.PathLike) -> None:
    """Write `dumps(obj)` to `path`, atomically."""
    provenance.write_bytes(path, dumps(obj))


def load(path: str | os.PathLike, fix: str = "", buffers: Sequence = ()) -> Any:
    """Read a file that `dump` wrote; parameters, result and errors as of `loads`."""
    path = Path(path)
    fix = fix or "make it again with the step that writes it."
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DatasetError(f"{path} has {size} bytes.", f"a plain pickle of at most {MAX_BYTES}", fix)
        data = path.read_bytes()
    except OSError as problem:
        raise DatasetError(
            f"{path} can't be read: {problem.strerror}.", "a pickle that Stenoscope wrote", fix
        ) from problem
    return loads(data, path, fix, buffers)


def loads(data: bytes, path: str | os.PathLike, fix: str, buffers: Sequence = ()) -> Any:
    """Read what `dumps` wrote; nothing that it names is imported or called.

    Parameters
    ----------
    data : bytes
    path : path
        Where it was, for the error.
    fix : str
        How to get a good file, for the error.
    buffers : sequence of ndarray, uint8
        Data of the arrays that were left out.

    Returns
    -------
    dict, list, tuple, str, bytes, int, float, bool, None or ndarray, nested

    Raises
    ------
    DatasetError
        If it is damaged, no pickle of protocol 5, or anything but plain data.
    """
    try:
        if not data.startswith(_START):
            begins = f"it begins with {data[:8]!r}" if data else "it is empty"
            raise _NotPlainError(f"{begins}, not with {_START!r} as a pickle of protocol {PROTOCOL}")
        _check_opcodes(data)
        value = _Unpickler(io.BytesIO(data), buffers=buffers).load()
        _check_types(value)
    except _NotPlainError as problem:
        raise DatasetError(
            f"{path} is not plain data: {problem}. It was not executed.",
            "dict, list, tuple, str, bytes, numbers and numeric arrays, as this version writes them",
            fix,
        ) from None
    except Exception as problem:
        what = str(problem) if isinstance(problem, _DamagedError) else f"it makes no sense ({problem!r:.200})"
        raise DatasetError(f"{path} is damaged: {what}.", "a whole pickle that Stenoscope wrote", fix) from None
    return value


def _plain(value, outside: np.ndarray | None):
    """Copy of `value` of plain types and contiguous, writable arrays: read-only ones pickle differently."""
    kind = type(value)
    if value is outside or kind in _ATOMS:
        return value
    if kind is dict:
        return {_plain(key, outside): _plain(item, outside) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind([_plain(item, outside) for item in value])
    if isinstance(value, np.ndarray) and _DTYPES.fullmatch(value.dtype.str):
        array = np.ascontiguousarray(value).reshape(value.shape).view(np.ndarray)
        return array if array.flags.writeable else array.copy()
    if isinstance(value, np.bool_ | np.integer | np.floating | np.str_):
        return value.item()
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} is not plain data")


def _check_opcodes(data: bytes) -> None:
    """Go through the opcodes without running them, with the depth of nesting of each object on the stack."""
    depths: list[int] = []
    marks: list[int] = []
    position = 0
    try:
        for opcode, _, position in pickletools.genops(data):
            name, taken = opcode.name, len(opcode.stack_before)
            if name not in _OPCODES:
                raise _NotPlainError(f"it holds the opcode {name}")
            if name == "MARK":
                marks.append(len(depths))
                continue
            first = len(depths) - taken
            if pickletools.stackslice in opcode.stack_before:  # mark and all above it, as two of `taken`
                first = marks.pop() - (taken - 2)
            if first < (marks[-1] if marks else 0):
                raise _DamagedError(f"the opcode {name} finds too little on the stack")
            parts = depths[first:]
            del depths[first:]
            if opcode.stack_after:
                target = parts.pop(0) if name in _FILLING else 0
                depths.append(max(target, 1 + max(parts)) if parts else target)
                if depths[-1] > MAX_DEPTH:
                    raise _NotPlainError(f"it is nested more than {MAX_DEPTH} deep")
    except (ValueError, IndexError) as problem:
        raise _DamagedError(f"it stops making sense after {position} bytes: {problem}") from None
    if depths or marks:
        raise _DamagedError("its opcodes do not fit each other")
    if position + 1 != len(data):
        raise _DamagedError(f"it continues for {len(data) - position - 1} bytes after its end")


def _check_types(value) -> None:
    """Refuse stand-ins and buffers that are left in the value."""
    kind = type(value)
    if kind is dict or kind is list or kind is tuple:
        for item in value:
            _check_types(item)
        for item in value.values() if kind is dict else ():
            _check_types(item)
    elif kind not in _ATOMS and kind is not np.ndarray:
        raise _NotPlainError(f"it holds a {kind.__name__.strip('_').lower()} outside of an array")


class _Unpickler(pickle.Unpickler):
    """Python's unpickler with the stand-ins for the names that arrays take."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "numpy", "dtype":
                return _MakeDtype()
            case ("numpy._core.numeric" | "numpy.core.numeric"), "_frombuffer":  # NumPy 2, NumPy 1
                return _MakeArray()
        raise _NotPlainError(f"it names {f'{module}.{name}'[:120]}")


class _MakeDtype:
    """Stands for `numpy.dtype`. Without attributes, so that the opcode BUILD can set none."""

    __slots__ = ()

    def __call__(self, spec, align, copy) -> "_Dtype":
        if type(spec) is not str or not _DTYPES.fullmatch(spec):
            raise _NotPlainError("it holds an array of Python objects or records")
        return _Dtype(spec)


class _Dtype:
    """A dtype while it is being rebuilt."""

    __slots__ = ("spec",)

    def __init__(self, spec: str):
        self.spec = spec

    def __setstate__(self, state) -> None:
        # (version, byte order, subarray, names, fields, itemsize, alignment, flags[, metadata])
        if type(state) is not tuple or len(state) != 8 or state[1] not in ("<", ">", "=", "|"):
            raise _NotPlainError("it holds an unusual dtype")
        if any(part is not None for part in state[2:5]):
            raise _NotPlainError("it holds an array of records")
        self.spec = state[1] + self.spec.lstrip("<>|=")


class _MakeArray:
    """Stands for `numpy._core.numeric._frombuffer`."""

    __slots__ = ()

    def __call__(self, data, dtype, shape, order) -> np.ndarray:
        if type(dtype) is not _Dtype or not isinstance(data, bytes | bytearray | memoryview | np.ndarray):
            raise _NotPlainError("it holds an array of Python objects")
        if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape) or order != "C":
            raise _NotPlainError("it holds an unusual array")
        return np.frombuffer(data, dtype.spec).reshape(shape)
