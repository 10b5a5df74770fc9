"""Interpreter of the opcodes that a pickle of plain data takes; it calls nothing that a pickle names.

A pickle is a program for a stack machine [1]_. `pickle.load` imports what it names and calls it. This machine
has the 40 opcodes of containers, numbers, strings and bytes, and 8 names, of NumPy's and of Python's own
functions that rebuild arrays and bytes, for which it does the work itself: arrays of numbers, booleans and
strings only. Memory stays within a fixed multiple of the file's size, whatever lengths, memo indices or
shared references a pickle promises.

References
----------
.. [1] The opcodes are documented in Python's `pickletools`, which takes the pickle apart here.
"""

import pickletools
import re
from typing import Any, BinaryIO

import numpy as np

MAX_DEPTH = 200
"""Deepest nesting of containers read; Stenoscope's own files have less than 10."""

DTYPES = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU]\d{1,6})")
"""Type strings of the arrays that are plain data."""

ATOMS: tuple[type, ...] = (type(None), bool, int, float, str, bytes)

_PUSHED = frozenset({
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NAMES = {
    "numpy dtype": "dtype",
    "numpy ndarray": "ndarray",
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy.core.multiarray scalar": "scalar",
    "numpy._core.multiarray scalar": "scalar",
    "numpy.core.numeric _frombuffer": "frombuffer",
    "numpy._core.numeric _frombuffer": "frombuffer",
    "_codecs encode": "encode",
    "builtins bytes": "bytes",
    "__builtin__ bytes": "bytes",
    "builtins bytearray": "bytearray",
    "__builtin__ bytearray": "bytearray",
}
"""What plain data names, "module name": NumPy 1 and 2 differ in the modules; bytes below protocol 3."""

_REFUSED = {
    "STRING": "it was written by Python 2",
    "BINSTRING": "it was written by Python 2",
    "SHORT_BINSTRING": "it was written by Python 2",
    "PERSID": "it refers to something outside itself",
    "BINPERSID": "it refers to something outside itself",
    "EXT1": "it refers to a registry of functions",
    "EXT2": "it refers to a registry of functions",
    "EXT4": "it refers to a registry of functions",
    "NEXT_BUFFER": "its arrays are not in the file",
    "EMPTY_SET": "it holds a set",
    "FROZENSET": "it holds a set",
}


class NotPlainError(Exception):
    """Something in a pickle that is not plain data."""


class DamagedError(Exception):
    """Opcodes that do not fit each other, or that end too early."""


def read(stream: BinaryIO, missing_data: bool = False) -> Any:
    """Value of the pickle in `stream`, from its present position to its end.

    Parameters
    ----------
    missing_data : bool
        Accept an array whose data is empty although its shape is not, and give it as an empty array.

    Returns
    -------
    dict, list, tuple, str, bytes, int, float, bool, None, NumPy number or ndarray, nested

    Raises
    ------
    NotPlainError, DamagedError
        The text says what was found.
    """
    source = _Source(stream)
    machine = _Machine(source.left, missing_data)
    try:
        for opcode, argument, _ in pickletools.genops(source):
            machine.step(opcode.name, argument)
    except (ValueError, LookupError, TypeError, OverflowError) as problem:
        where = "too early" if source.left <= 0 else f"{source.left} bytes before its end"
        raise DamagedError(f"it stops making sense {where}: {type(problem).__name__}") from None
    if source.left:
        raise DamagedError(f"it continues for {source.left} bytes after its end")
    return machine.value()


class _Source:
    """The stream for `genops`: no more is asked of it than it holds."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        here = stream.tell()
        self.left = stream.seek(0, 2) - here
        stream.seek(here)

    def read(self, size: int) -> bytes:
        """The next `size` bytes, or what is left."""
        data = self._stream.read(max(0, min(size, self.left)))
        self.left -= size
        return data

    def readline(self) -> bytes:
        """The rest of the line."""
        data = self._stream.readline()
        self.left -= len(data)
        return data


class _Name:
    """A function that plain data may name."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


class _Dtype:
    """A dtype while it is being rebuilt."""

    __slots__ = ("spec",)

    def __init__(self, spec: str):
        self.spec = spec

    def set_state(self, state) -> None:
        # (version, byte order, subarray, names, fields, itemsize, alignment, flags[, metadata])
        if not isinstance(state, tuple) or len(state) < 8 or any(part is not None for part in state[2:5]):
            raise NotPlainError("it holds an array of records")
        if state[1] not in ("<", ">", "=", "|") or any(part is not None for part in state[8:]):
            raise NotPlainError("it holds an unusual dtype")
        self.spec = state[1] + self.spec.lstrip("<>|=")


class _Array:
    """An array while it is being rebuilt; protocols 2 to 4 give its data after making it."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray | None = None):
        self.value = value

    def set_state(self, state) -> None:
        # (version, shape, dtype, is_fortran, data)
        if self.value is not None or not isinstance(state, tuple) or len(state) != 5:
            raise NotPlainError("it changes an array after making it")
        _, shape, dtype, fortran, data = state
        self.value = _filled(data, dtype, shape, "F" if fortran else "C")


def _filled(data, dtype, shape, order, missing_data: bool = False) -> np.ndarray:
    """Array over `data`, which must have exactly the bytes that shape and dtype ask for."""
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise NotPlainError("it holds an array of Python objects")
    if (
        order not in ("C", "F")
        or type(shape) is not tuple
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        raise NotPlainError("it holds an unusual array")
    kind = np.dtype(dtype.spec)
    if not data and (0 in shape or missing_data):
        return np.empty(shape if 0 in shape else 0, kind, order)
    return np.frombuffer(data, kind).reshape(shape, order=order)


class _Machine:
    """The stack machine. Errors of Python in it (IndexError, KeyError ...) mean a damaged pickle.

    Parameters
    ----------
    size : int
        Bytes of the pickle: as many may be made by calls, which could otherwise copy one string many times.
    """

    def __init__(self, size: int, missing_data: bool):
        self._spare = size
        self._missing_data = missing_data
        self._stack: list = []
        self._marked: list[list] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0

    def step(self, name: str, argument) -> None:
        """Carry out one opcode."""
        self._steps += 1
        stack = self._stack
        if name in _PUSHED:
            stack.append(argument)
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count] = tuple(stack[-count:])
            del stack[len(stack) - count + 1 :]
        elif name == "MARK":
            self._marked.append(stack)
            self._stack = []
        elif name == "TUPLE":
            items = self._since_mark()
            self._stack.append(tuple(items))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "APPEND":
            self._extend([stack.pop()])
        elif name == "APPENDS":
            self._extend(self._since_mark())
        elif name == "SETITEM":
            item = stack.pop()
            self._update([stack.pop(), item])
        elif name == "SETITEMS":
            self._update(self._since_mark())
        elif name == "REDUCE":
            arguments = stack.pop()
            self._stack[-1] = self._call(stack[-1], arguments)
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Array | _Dtype):
                raise NotPlainError("it changes what is no array")
            stack[-1].set_state(state)
        elif name == "GLOBAL":
            stack.append(self._named(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            if type(attribute) is not str or type(module) is not str:
                raise ValueError("a name that is no string")
            stack.append(self._named(f"{module} {attribute}"))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise NotPlainError(_REFUSED.get(name, f"it holds what the opcode {name} makes"))

    def value(self) -> Any:
        """What the pickle holds, after its last opcode."""
        if len(self._stack) != 1 or self._marked:
            raise DamagedError("its opcodes do not fit each other")
        finish = _Finish(limit=1_000_000 + 10 * self._steps)
        return finish(self._stack[0])

    def _since_mark(self) -> list:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _extend(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise NotPlainError("it appends to what is no list")
        target.extend(items)

    def _update(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise NotPlainError("it sets items of what is no dict")
        keys = items[0::2]
        if not all(type(key) in ATOMS for key in keys):  # before hashing: a nested tuple's hash may never end
            raise NotPlainError("it has a key that is not a string or a number")
        target.update(zip(keys, items[1::2], strict=True))

    def _named(self, name: str) -> _Name:
        if name not in _NAMES:
            raise NotPlainError(f"it names {name.replace(' ', '.')[:120]}")
        return _Name(_NAMES[name])

    def _call(self, function, arguments) -> Any:
        if not isinstance(function, _Name) or type(arguments) is not tuple:
            raise NotPlainError("it calls what is no function of plain data")
        match function.name, arguments:
            case "dtype", (str(spec), *_):
                if not DTYPES.fullmatch(spec):
                    raise NotPlainError("it holds an array of Python objects or records")
                return _Dtype(spec)
            case "reconstruct", (_Name(name="ndarray"), _, _):
                return _Array()
            case "frombuffer", (data, dtype, shape, order):
                return _Array(_filled(data, dtype, shape, order, self._missing_data))
            case "frombuffer", (data, dtype, shape, "K", (*axes,)):
                return _Array(_filled(data, dtype, shape, "C", self._missing_data).transpose(axes))
            case "scalar", (dtype, data):
                value = _filled(self._copied(data), dtype, (1,), "C")
                return value[0]
            case "encode", (str(text), "latin1" | "latin-1"):
                return self._copied(text).encode("latin-1")
            case "bytes", ():
                return b""
            case "bytearray", ():
                return bytearray()
            case "bytearray", (bytes(data),):
                return bytearray(self._copied(data))
        raise NotPlainError(f"it calls {function.name} in an unusual way")

    def _copied(self, data):
        """`data`, whose copy is charged."""
        self._spare -= len(data)
        if self._spare < 0:
            raise NotPlainError("it copies the same data again and again")
        return data


class _Finish:
    """Puts the finished arrays into the containers, and refuses those that nobody could walk through.

    Parameters
    ----------
    limit : int
        Most objects that a walk through the value may meet; with shared references it can be exponential.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._done: dict[int, tuple[Any, int, Any]] = {}

    def __call__(self, value) -> Any:
        return self._finished(value, 0)[0]

    def _finished(self, value, depth: int) -> tuple[Any, int]:
        """The value without stand-ins, and how many objects it has."""
        kind = type(value)
        if kind in ATOMS or isinstance(value, np.generic):
            return value, 1
        if kind is _Array:
            if value.value is None:
                raise NotPlainError("it holds an array without data")
            return value.value, 1
        if id(value) in self._done:
            result, size, _ = self._done[id(value)]
            if size == 0:
                raise NotPlainError("it contains itself")
            return result, size
        if depth >= MAX_DEPTH:
            raise NotPlainError(f"it is nested more than {MAX_DEPTH} deep")
        self._done[id(value)] = value, 0, value  # kept, so that its id stays its own
        if kind is dict:
            items = [self._finished(item, depth + 1) for item in value.values()]
            result = value
            result.update(zip(value, [item for item, _ in items], strict=True))
        elif kind is list or kind is tuple:
            items = [self._finished(item, depth + 1) for item in value]
            result = kind([item for item, _ in items])
            if kind is list:
                value[:] = result
                result = value
        elif kind is bytearray:
            result, items = bytes(value), []
        else:
            raise NotPlainError(f"it holds a {kind.__name__.strip('_').lower()}")
        size = 1 + sum(size for _, size in items)
        if size > self._limit:
            raise NotPlainError("its parts refer to each other without end")
        self._done[id(value)] = result, size, value
        return result, size
