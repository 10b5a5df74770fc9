import datetime
import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stenoscope.data import plain_pickle
from stenoscope.errors import DatasetError

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st


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
        "protocol 0": (pickle.dumps([1, 2], 0), "text, not a pickle .or one of protocol 0"),
        "protocol 1": (pickle.dumps([1, 2], 1), "protocol 0 or 1"),
        "protocol 6": (b"\x80\x06].", "unknown protocol 6"),
        "zip": (archive.getvalue(), "zip archive"),
        "npy": (array.getvalue(), r"\.npy file"),
        "gzip": (gzip.compress(good), "gzip"),
        "HDF5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
        "DICOM": (bytes(128) + b"DICM", "DICOM"),
        "noise": (b"\x13\x37" * 40, "is not a pickle"),
        "truncated": (good[:-20], "damaged: it stops making sense too early"),
        "truncated in its frame": (good[:15], "damaged"),
        "longer": (good + b"x", "continues for 1 bytes"),
        "another program's class": (pickle.dumps(Foreign()), r"names tests\.data\.\w+\.Foreign"),
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
