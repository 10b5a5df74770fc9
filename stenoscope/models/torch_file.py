"""Read a PyTorch state dict as plain NumPy arrays, without PyTorch and without running anything in the file.

A ``.pth`` file of the legacy format (PyTorch before 1.6) is a sequence of five pickles (magic number,
protocol version, system information, the state dict, the storage keys) followed by the storages: for each
key, in that order, its number of elements as a little-endian int64 and then its bytes. A tensor in the state
dict is a view of a storage: offset, shape and strides, in elements.

The unpickler admits exactly what such a file needs (`collections.OrderedDict`, the tensor rebuilder and the
storage types) and maps even these to its own harmless stand-ins, so a prepared file can't run code. The
stand-ins are immutable, so pickle's BUILD can't change one, and elements are taken by checked indices.
"""

import math
import os
import pickle
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from stenoscope.errors import WeightsError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_STORAGE_TYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
}
_EXPECTED = "a state dict of tensors in PyTorch's legacy format"
_FIX = "take the file as it was published, or save it again with _use_new_zipfile_serialization=False."


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a legacy ``.pth`` state dict, as contiguous arrays in the order of the file.

    A WeightsError if the file is missing, damaged, of another format, or asks for anything but tensors.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            tensors = _read_header(stream, path)
            keys = _load(stream)
            storages = _read_storages(stream, keys, tensors)
        return {name: _view(name, tensor, storages) for name, tensor in tensors.items()}
    except FileNotFoundError:
        raise WeightsError(f"There is no file {path}.", _EXPECTED, "check the path.") from None
    except _RefusedError as problem:
        raise WeightsError(f"{path} was refused: {problem}.", _EXPECTED, _FIX) from None
    except (pickle.UnpicklingError, ValueError, TypeError, IndexError, AttributeError, OSError) as problem:
        raise WeightsError(f"{path} can't be read: {problem}.", _EXPECTED, _FIX) from problem
    except (EOFError, KeyError, MemoryError, OverflowError) as problem:
        raise WeightsError(f"{path} is damaged ({type(problem).__name__}).", _EXPECTED, _FIX) from problem


class _RefusedError(Exception):
    """Content that is well-formed but not admitted."""


class _Storage(NamedTuple):
    key: str
    kind: str
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _PlainDict(dict):
    """Stands in for `OrderedDict`; drops the attributes (module versions) that a state dict carries."""

    def __setstate__(self, state):
        """Ignore the state."""


class _TensorRebuilder:
    """Stands in for `torch._utils._rebuild_tensor_v2`; no function, whose defaults BUILD could set."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *_):
        if not isinstance(storage, _Storage):
            raise _RefusedError("a tensor without a storage")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return _PlainDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _TensorRebuilder()
        if module == "torch" and name in _STORAGE_TYPES:
            return name
        raise _RefusedError(f"it asks for {module}.{name}")

    def persistent_load(self, pid):
        tag, kind, key, _location, size, view = pid
        if tag != "storage" or kind not in _STORAGE_TYPES or view is not None:
            raise _RefusedError(f"the persistent id {pid!r}")
        if type(key) is not str or type(size) is not int or size < 0:
            raise _RefusedError(f"the persistent id {pid!r}")
        return _Storage(key, kind, size)


def _load(stream: BinaryIO):
    return _Unpickler(stream).load()


def _read_header(stream: BinaryIO, path: Path) -> dict[str, _Tensor]:
    start = stream.read(2)
    stream.seek(0)
    if start == b"PK":
        raise _RefusedError("it is a zip archive, the format of PyTorch 1.6 and later")
    if _load(stream) != _MAGIC_NUMBER or _load(stream) != _PROTOCOL_VERSION:
        raise _RefusedError("its magic number or protocol version is another")
    if _load(stream).get("little_endian") is not True:
        raise _RefusedError("it is not little-endian")
    tensors = _load(stream)
    if not isinstance(tensors, dict) or not all(
        type(name) is str and isinstance(tensor, _Tensor) for name, tensor in tensors.items()
    ):
        raise _RefusedError("it holds something other than named tensors")
    return tensors


def _read_storages(stream: BinaryIO, keys, tensors: dict[str, _Tensor]) -> dict[str, np.ndarray]:
    wanted = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    arrays = {}
    for key in keys:
        storage = wanted[key]
        size = int.from_bytes(stream.read(8), "little", signed=True)
        if size != storage.size:
            raise _RefusedError(f"storage {key} has {size} elements where {storage.size} were announced")
        dtype = _STORAGE_TYPES[storage.kind]
        num_bytes = size * dtype.itemsize
        left -= 8 + num_bytes
        if left < 0:
            raise EOFError  # before a damaged size makes us allocate memory for it
        arrays[key] = np.frombuffer(stream.read(num_bytes), dtype)
    return arrays


def _view(name: str, tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    values, (_, offset, shape, strides) = storages[tensor.storage.key], tensor
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(number) is int and number >= 0 for number in numbers):
        raise _RefusedError(f"tensor {name} has the shape {shape}, strides {strides}, offset {offset}")
    if 0 in shape:
        return np.empty(shape, values.dtype)
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if last >= values.size or math.prod(shape) > values.size:
        raise _RefusedError(f"tensor {name} reaches beyond its storage")
    index = np.full((), offset)
    for length, stride in zip(shape, strides, strict=True):
        index = index[..., None] + stride * np.arange(length)
    return np.take(values, index)
