import collections
import contextlib
import datetime
import functools
import os
import pickle
import pickletools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stenoscope.dataset import plain_pickle
from stenoscope.errors import DatasetError

MARKER = "the-exploit-ran"


def same(left, right) -> bool:
    if isinstance(left, np.ndarray):
        return type(right) is np.ndarray and left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return left == right and type(left) is type(right)


PLAIN = {
    "atoms": [None, True, 1, -(1 << 80), 2.5, "é", b"", b"\x00\xff", ""],
    "nested": ({"a": [1, (2, [])]}, ()),
    3: "key",
    "c": np.arange(6, dtype=np.int16).reshape(2, 3),
    "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10, dtype=np.float32)[::3],
    "bool": np.array([True, False]),
    "big endian": np.arange(3, dtype=">i4"),
    "text": np.array(["ab", "c"]),
    "bytes": np.array([b"ab", b"c"]),
    "empty": np.zeros((0, 3), np.uint8),
    "scalar array": np.array(5),
    "large": np.zeros(200_000, np.uint8),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_of_any_protocol_are_read(tmp_path, protocol):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    assert same(PLAIN, plain_pickle.load(path))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_1_names_are_read(tmp_path, protocol):
    # NumPy 1 calls the same functions numpy.core.*; shorter names, so the lengths before them change too
    content = {"a": np.arange(4.0).reshape(2, 2), "b": np.float32(1.5)}
    data = pickle.dumps(content, protocol)
    if protocol >= 4:
        for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
            old = name.replace(b"_core", b"core")
            data = data.replace(bytes([len(name)]) + name, bytes([len(old)]) + old)
        frame = data.index(b"\x95") + 1
        data = data[:frame] + struct.pack("<Q", len(data) - frame - 8) + data[frame + 8 :]
    else:
        data = data.replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core." in data and b"_core" not in data
    path = tmp_path / "a.pickle"
    path.write_bytes(data)
    found = plain_pickle.load(path)
    assert same(content["a"], found["a"]) and found["b"] == 1.5 and found["b"].dtype == np.float32


def test_dump_and_load(tmp_path):
    path = tmp_path / "deep" / "a.pickle"
    plain_pickle.dump({**PLAIN, "number": np.float64(2.5), "flag": np.bool_(True)}, path)
    assert same({**PLAIN, "number": 2.5, "flag": True}, plain_pickle.load(path))
    assert same({**PLAIN, "number": 2.5, "flag": True}, pickle.loads(path.read_bytes()))
    assert [item.name for item in path.parent.iterdir()] == ["a.pickle"]


def test_equal_content_gives_equal_bytes(tmp_path):
    text, array = "shared", np.arange(3, dtype=np.float32)
    array.flags.writeable = False
    shared = {"a": [text, text], "b": [array, array], "c": np.array(["x"])}
    apart = {
        "a": [text, "".join(["sha", "red"])],
        "b": [array.copy(), np.arange(6, dtype=np.float32)[:3]],
        "c": np.array(["x"]),
    }
    for number, content in enumerate((shared, apart, pickle.loads(pickle.dumps(apart)))):
        plain_pickle.dump(content, tmp_path / str(number))
    assert len({(tmp_path / str(number)).read_bytes() for number in range(3)}) == 1


@pytest.mark.parametrize(
    "value",
    [{1}, 1j, object(), print, np.array([None]), np.zeros(1, "i4,f4"), datetime.date(2020, 1, 1), Path()],
)
def test_dump_refuses_what_is_not_plain(tmp_path, value):
    with pytest.raises(TypeError, match="not plain data"):
        plain_pickle.dump({"a": [value]}, tmp_path / "a.pickle")
    assert not list(tmp_path.iterdir())


class Reduces:
    """Pickles to a call of what it is given."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def touch(path) -> str:
    return f"touch {path}"


def exploits(marker) -> dict[str, bytes]:
    command = touch(marker)
    text = command.encode()
    system = Reduces(os.system, (command,))
    objects = np.empty(1, object)
    objects[0] = system
    rebuild = np._core.multiarray._reconstruct
    state = (1, (1,), np.dtype("O"), False, [system])
    by_getattr = b"cbuiltins\ngetattr\n(cos\nsystem\nX\x08\0\0\0__call__tR"
    dumps = functools.partial(pickle.dumps, protocol=4)
    return {
        "os.system": dumps(system),
        "os.system, protocol 0": b"cos\nsystem\n(S'" + text + b"'\ntR.",
        "os.system, INST": b"(S'" + text + b"'\nios\nsystem\n.",
        "os.system, OBJ": b"(cos\nsystem\nS'" + text + b"'\no.",
        "nested": dumps({"a": [({"b": system},)]}),
        "as a key": dumps({system: 1}),
        "eval": dumps(Reduces(eval, (f"__import__('os').system('{command}')",))),
        "getattr": b"\x80\x04" + by_getattr + b"(S'" + text + b"'\ntR.",
        "functools.partial": dumps(functools.partial(os.system, command)),
        "copyreg": b"\x80\x02ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
        "reduce_ex": dumps(Reduces(pickle.loads, (dumps(system),))),
        "object array": dumps(objects),
        "object array, protocol 2": pickle.dumps(objects, 2),
        "object array by state": dumps(Reduces(rebuild, (np.ndarray, (0,), b"b"), state)),
        "dtype with metadata": dumps(np.dtype("f4", metadata={"a": system})),
        "record dtype": dumps(np.zeros(2, [("a", "O"), ("b", "f4")])),
        "subclass": dumps(collections.OrderedDict(a=system)),
        "NumPy's own exec": b"cnumpy.testing._private.utils\nrunstring\n(S'" + text + b"'\n}tR.",
        "attribute of an allowed name": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        "constructor of an allowed name": b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__new__\x93.",
        "state for a function": b"\x80\x04cnumpy\ndtype\n}X\x08\0\0\0functionNsb.",
        "call of ndarray": b"\x80\x02cnumpy\nndarray\n(K\x01tR.",
        "persistent id": b"\x80\x02X\x01\0\0\0aQ.",
        "extension": b"\x80\x02\x82\x01.",
        "out of band": b"\x80\x05\x97.",
    }


@pytest.mark.parametrize("name", exploits("x"))
def test_exploits_do_nothing(tmp_path, name):
    marker = tmp_path / MARKER
    path = tmp_path / "a.pickle"
    path.write_bytes(exploits(marker)[name])
    with pytest.raises(DatasetError) as caught:
        plain_pickle.load(path)
    assert not marker.exists()
    assert str(path) in caught.value.received


def test_the_exploits_are_real(tmp_path):
    for name, data in exploits(tmp_path / MARKER).items():
        if name in (
            "os.system",
            "nested",
            "eval",
            "getattr",
            "reduce_ex",
            "object array",
            "functools.partial",
        ):
            loaded = pickle.loads(data)
            if callable(loaded):
                loaded()
            assert (tmp_path / MARKER).exists(), name
            (tmp_path / MARKER).unlink()


def test_error_names_the_global(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(collections.Counter()))
    with pytest.raises(DatasetError, match=r"names collections\.Counter"):
        plain_pickle.load(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x05", b"text\n", b"PK\x03\x04zip", b"{}", pickle.dumps([1]) + b"x", b"\x80\x05]\x94h\x00a."],
)
def test_foreign_files_are_named_as_such(tmp_path, data):
    path = tmp_path / "a.pickle"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"a\.pickle"):
        plain_pickle.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError, match="can't be read"):
        plain_pickle.load(tmp_path / "a.pickle")


def test_promised_lengths_do_not_take_memory(tmp_path):
    path = tmp_path / "a.pickle"
    for opcode in (b"\x8e", b"\x8d", b"\x96"):  # BINBYTES8, BINUNICODE8, BYTEARRAY8
        path.write_bytes(b"\x80\x05" + opcode + struct.pack("<Q", 1 << 36) + b"abc.")
        with pytest.raises(DatasetError, match="damaged"):
            plain_pickle.load(path)


def test_shared_containers_are_visited_once(tmp_path):
    bomb: list = [0]
    for _ in range(100):  # 2**100 paths through it
        bomb = [bomb, bomb]
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(bomb))
    assert len(plain_pickle.load(path)) == 2


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_truncation_and_many_damages_are_errors_or_plain(tmp_path, protocol):
    content = {"a": [1, "x", (2.5, None)], "b": np.arange(4, dtype=np.int16)}
    data = pickle.dumps(content, protocol)
    path = tmp_path / "a.pickle"
    rng = np.random.default_rng(0)
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(DatasetError):
            plain_pickle.load(path)
    for _ in range(100):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(damaged)
        if any(op.name == "LONG_BINPUT" for op in _opcodes(damaged)):  # asks the unpickler for a huge memo
            continue
        with contextlib.suppress(DatasetError):
            plain_pickle.load(path)


def _opcodes(data):
    try:
        return [op for op, _, _ in pickletools.genops(bytes(data))]
    except (ValueError, LookupError, IndexError):
        return []


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(plain_values, st.integers(2, 5))
def test_any_plain_value_survives(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp() / "any.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    assert same(value, plain_pickle.load(path))
    plain_pickle.dump(value, path)
    assert same(value, plain_pickle.load(path))


def test_around_a_large_buffer():
    array = np.arange(100_000, dtype=np.uint32)
    head, tail = plain_pickle.dump_around({"a": "x", "big": array, "b": [1]}, array.nbytes)
    content = pickle.loads(head + array.tobytes() + tail)
    assert same({"a": "x", "big": array, "b": [1]}, content)
    longer = np.arange(200_000, dtype=np.uint32)
    assert len(plain_pickle.dump_around({"a": "x", "big": longer, "b": [1]}, longer.nbytes)[0]) == len(head)
