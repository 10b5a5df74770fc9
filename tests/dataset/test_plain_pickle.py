import collections
import contextlib
import datetime
import functools
import gzip
import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
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


class Foreign:
    """Pickles to another program's class."""


def foreign() -> dict[str, tuple[bytes, str]]:
    archive = io.BytesIO()
    np.savez(archive, a=np.zeros(3))
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    good = pickle.dumps({"a": [1, 2.5, "text"], "b": np.arange(3)}, 4)
    return {
        "empty": (b"", "is empty"),
        "text": (b"clip_id,patient_id,label\na,b,1\n", "is text"),
        "protocol 0": (pickle.dumps([1, 2], 0), "text, no pickle .or one of protocol 0"),
        "protocol 1": (pickle.dumps([1, 2], 1), "protocol 0 or 1"),
        "protocol 6": (b"\x80\x06].", "unknown protocol 6"),
        "zip": (archive.getvalue(), "zip archive"),
        "npy": (array.getvalue(), r"\.npy file"),
        "gzip": (gzip.compress(good), "gzip"),
        "HDF5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
        "DICOM": (bytes(128) + b"DICM", "DICOM"),
        "noise": (b"\x13\x37" * 40, "is no pickle"),
        "truncated": (good[:-20], "damaged: it stops making sense too early"),
        "truncated in its frame": (good[:15], "damaged"),
        "longer": (good + b"x", "goes on for 1 bytes"),
        "another program's class": (pickle.dumps(Foreign()), r"names tests\.dataset\.\w+\.Foreign"),
        "a data frame": (pickle.dumps(pd.DataFrame({"a": [1]})), r"names pandas\."),
        "Python 2": (b"\x80\x02}q\x00U\x01aq\x01K\x01s.", "written by Python 2"),
        "a set": (pickle.dumps({1, 2}, 4), "holds a set"),
        "out-of-band arrays": (
            pickle.dumps(np.zeros(3), 5, buffer_callback=lambda _: False), "not in the file"
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", foreign())
def test_foreign_and_damaged_files_are_named_as_such(tmp_path, name):
    data, text = foreign()[name]
    path = tmp_path / "a.pickle"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=text) as caught:
        plain_pickle.load(path)
    assert str(path) in caught.value.received and caught.value.fix


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError, match="can't be read"):
        plain_pickle.load(tmp_path / "a.pickle")


def u8(number: int) -> bytes:
    return struct.pack("<Q", number)


PROMISES = {
    "BINBYTES8": b"\x8e" + u8(1 << 40) + b"abc.",
    "BINUNICODE8": b"\x8d" + u8(1 << 40) + b"abc.",
    "BYTEARRAY8": b"\x96" + u8(1 << 40) + b"abc.",
    "BINBYTES": b"B\xff\xff\xff\xffabc.",
    "BINUNICODE": b"X\xff\xff\xff\xffabc.",
    "more than a signed number": b"\x8e" + u8((1 << 64) - 1) + b"abc.",
    "LONG4": b"\x8b\xff\xff\xff\x7fabc.",
    "LONG4, negative": b"\x8b\xff\xff\xff\xffabc.",
    "FRAME": b"\x95" + u8(1 << 40) + b"(.",
    "memo index": b"]r\xff\xff\xff\xffa.",
    "memo index that was never set": b"j\xff\xff\xff\xff.",
    "empty stack": b"\x86.",
    "list without an end": b"]" * 1000,
}


@pytest.mark.parametrize("name", PROMISES)
def test_promises_do_not_take_memory(tmp_path, name):
    path = tmp_path / "a.pickle"
    path.write_bytes(b"\x80\x05" + PROMISES[name])
    with pytest.raises(DatasetError, match="damaged"):
        load_within(path, 1 << 20)


def load_within(path, limit: int):
    """Load, and hold the memory it took at its peak against a limit."""
    tracemalloc.start()
    try:
        return plain_pickle.load(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit


def test_a_memo_index_is_not_a_promise(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(b"\x80\x02]r\xff\xff\xff\xff.")
    assert load_within(path, 1 << 20) == []


TUPLES = b"\x80\x02" + b")" + b"\x85" * 300_000
BOMBS = {
    "lists in lists": (b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".", "nested more than"),
    "tuples in tuples": (TUPLES + b".", "nested more than"),
    "a deep key": (b"\x80\x02}" + TUPLES[2:] + b"Ns.", "a key"),
    "a key of 2 ** 60 parts": (b"\x80\x02})" + b"q\0h\0\x86" * 60 + b"Ns.", "a key"),
    "2 ** 60 parts": (b"\x80\x02]" + b"q\0h\0\x86" * 60 + b".", "without end"),
    "itself": (b"\x80\x02]q\0h\0a.", "contains itself"),
    "itself, as a value": (b"\x80\x02}q\0K\x01h\0s.", "contains itself"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(tmp_path, name):
    data, text = BOMBS[name]
    path = tmp_path / "a.pickle"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=text):
        plain_pickle.load(path)


@pytest.mark.parametrize(
    "name, setup, call",
    [
        ("bytearray", b"cbuiltins\nbytearray\nq\0", b"h\0h\2\x85R"),
        ("scalar", b"cnumpy._core.multiarray\nscalar\nq\0", b"h\0h\1h\2\x86R"),
        ("encode", b"c_codecs\nencode\nq\0", b"h\0h\3h\4\x86R"),
    ],
)
def test_calls_can_not_copy_more_than_the_file_holds(tmp_path, name, setup, call):
    size = 50_000
    spec = f"S{size}".encode()
    memo = (
        b"(" + setup
        + b"cnumpy\ndtype\nX" + struct.pack("<I", len(spec)) + spec + b"\x85Rq\1"
        + b"B" + struct.pack("<I", size) + b"a" * size + b"q\2"
        + b"X" + struct.pack("<I", size) + b"a" * size + b"q\3"
        + b"X\6\0\0\0latin1q\4"
    )  # fmt: skip
    path = tmp_path / "a.pickle"
    for times, refused in ((1, False), (1000, True)):
        path.write_bytes(b"\x80\x03(" + memo + b"t" + call * times + b"t.")
        if refused:
            with pytest.raises(DatasetError, match="again and again"):
                load_within(path, 2 << 20)
        else:
            with pytest.raises(DatasetError, match=r"holds a (name|dtype)"):  # what the memo was filled with
                load_within(path, 2 << 20)


def test_shared_data_is_copied_once(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(b"\x80\x05](\x96" + u8(100_000) + bytes(100_000) + b"\x94" + b"h\0" * 10_000 + b"e.")
    assert len(load_within(path, 3 << 20)) == 10_001


def test_memory_grows_with_the_file_alone(tmp_path):
    path = tmp_path / "a.pickle"
    data = b"\x80\x05](" + b"]" * 20_000 + b"e."
    path.write_bytes(data)
    assert len(load_within(path, 500 * len(data))) == 20_000


def test_shared_containers_are_kept(tmp_path):
    shared = [1, "a"]
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"a": shared, "b": (shared, shared), "c": [(2.0,)] * 3}))
    assert same({"a": shared, "b": (shared, shared), "c": [(2.0,)] * 3}, plain_pickle.load(path))


def test_arrays_of_other_axis_order(tmp_path):
    array = np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)
    path = tmp_path / "a.pickle"
    for protocol in (2, 5):
        path.write_bytes(pickle.dumps(array, protocol))
        np.testing.assert_array_equal(plain_pickle.load(path), array)


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
        with contextlib.suppress(DatasetError):
            plain_pickle.load(path)


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
