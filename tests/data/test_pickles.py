"""Plain pickles: the same bytes every time, and files that were made to harm do none."""

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

from stenoscope.data import pickles
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


def reference(data: bytes) -> object:
    """What `data` holds for a program that trusts it."""
    return pickle.loads(data)


PLAIN = {
    "atoms": [None, True, 1, -(1 << 80), 2.5, "é", b"", b"\x00\xff", ""],
    "nested": ({"a": [1, (2, [])]}, ()),
    3: "key",
    "c": np.arange(6, dtype=np.int16).reshape(2, 3),
    "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "axes": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "strided": np.arange(10, dtype=np.float32)[::3],
    "bool": np.array([True, False]),
    "big endian": np.arange(3, dtype=">i4"),
    "text": np.array(["ab", "c"]),
    "bytes": np.array([b"ab", b"c"]),
    "empty": np.zeros((0, 3), np.uint8),
    "scalar array": np.array(5),
    "large": np.zeros(200_000, np.uint8),
}


def test_dump_and_load(tmp_path):
    path = tmp_path / "deep" / "a.pickle"
    pickles.dump({**PLAIN, "number": np.float64(2.5), "flag": np.bool_(True)}, path)
    assert same({**PLAIN, "number": 2.5, "flag": True}, pickles.load(path))
    assert same({**PLAIN, "number": 2.5, "flag": True}, reference(path.read_bytes()))
    assert [item.name for item in path.parent.iterdir()] == ["a.pickle"]


def test_numpy_1_names_are_read():
    # NumPy 1 calls the same function numpy.core.*; a shorter name, so the lengths before it change too
    data = pickles.dumps({"a": np.arange(4.0).reshape(2, 2)})
    new, old = b"numpy._core.numeric", b"numpy.core.numeric"
    data = data.replace(bytes([len(new)]) + new, bytes([len(old)]) + old)
    data = data[:3] + struct.pack("<Q", len(data) - 11) + data[11:]
    assert old in data and new not in data
    np.testing.assert_array_equal(loads(data)["a"], [[0, 1], [2, 3]])


def test_equal_content_gives_equal_bytes():
    text, array = "shared", np.arange(3, dtype=np.float32)
    array.flags.writeable = False
    shared = {"a": [text, text], "b": [array, array], "c": np.array(["x"])}
    apart = {
        "a": [text, "".join(["sha", "red"])],
        "b": [array.copy(), np.arange(6, dtype=np.float32)[:3]],
        "c": np.array(["x"]),
    }
    assert len({pickles.dumps(content) for content in (shared, apart, reference(pickle.dumps(apart)))}) == 1


@pytest.mark.parametrize(
    "value",
    [{1}, 1j, object(), print, np.array([None]), np.zeros(1, "i4,f4"), datetime.date(2020, 1, 1), Path()],
)
def test_dump_refuses_what_is_not_plain(tmp_path, value):
    with pytest.raises(TypeError, match="not plain data"):
        pickles.dump({"a": [value]}, tmp_path / "a.pickle")
    assert not list(tmp_path.iterdir())


def test_one_array_outside():
    frames = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    frames.flags.writeable = False
    content = {"frames": frames, "same": frames.copy()}
    data = pickles.dumps(content, frames)
    assert data.count(frames.tobytes()) == 1
    for read in (pickle.loads, functools.partial(pickles.loads, path="a", fix="")):
        found = read(data, buffers=[frames.ravel()])
        assert same(content, found) and np.shares_memory(found["frames"], frames)
        assert not found["frames"].flags.writeable
    for buffers in ([], [frames.ravel()[:-1]], [np.zeros(25, np.uint8)]):
        with pytest.raises(DatasetError, match="damaged"):
            pickles.loads(data, "a", "", buffers)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(plain_values)
def test_any_plain_value_survives(value):
    data = pickles.dumps(value)
    assert same(value, loads(data)) and same(value, reference(data))


def loads(data: bytes):
    return pickles.loads(data, "a.pickle", "make it again.")


class Foreign:
    """Pickles to another program's class."""


def foreign() -> dict[str, tuple[bytes, str]]:
    archive, array = io.BytesIO(), io.BytesIO()
    np.savez(archive, a=np.zeros(3))
    np.save(array, np.zeros(3))
    good = pickles.dumps({"a": [1, 2.5, "text"], "b": np.arange(3)})
    memo = pickle.dumps({"a": ["b"]}, 5)
    return {
        "empty": (b"", "it is empty"),
        "text": (b"clip_id,patient_id,label\na,b,1\n", "begins with b'clip_id,'"),
        **{f"protocol {n}": (pickle.dumps([1, 2], n), "begins with") for n in range(5)},
        "protocol 6": (b"\x80\x06].", "begins with"),
        "zip": (archive.getvalue(), r"begins with b'PK"),
        "npy": (array.getvalue(), "begins with .*NUMPY"),
        "gzip": (gzip.compress(good), "begins with"),
        "HDF5": (b"\x89HDF\r\n\x1a\n", "begins with .*HDF"),
        "DICOM": (bytes(128) + b"DICM", "begins with"),
        "noise": (b"\x13\x37" * 40, "begins with"),
        "truncated": (good[:-20], "damaged: it stops making sense after"),
        "truncated in its frame": (good[:15], "damaged"),
        "longer": (good + b"x", "continues for 1 bytes"),
        "an earlier version": (memo, "the opcode MEMOIZE"),
        "another program's class": (unmemoized(Foreign()), r"the opcode NEWOBJ"),
        "a data frame": (unmemoized(pd.DataFrame({"a": [1]})), r"names pandas\.|the opcode"),
        "Python 2": (b"\x80\x05}U\x01aK\x01s.", "the opcode SHORT_BINSTRING"),
        "a set": (unmemoized({1, 2}), "the opcode EMPTY_SET"),
        "a bytearray": (unmemoized(bytearray(b"a")), "a bytearray outside of an array"),
        "out-of-band arrays": (unmemoized(np.zeros(3), buffer_callback=lambda _: False), "not enough out-of-band buffers"),
    }  # fmt: skip


def unmemoized(value, **options) -> bytes:
    """`value` pickled as `pickles` does, but without a look at what it is."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, 5, **options)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()


@pytest.mark.parametrize("name", foreign())
def test_foreign_and_damaged_files_are_named_as_such(tmp_path, name):
    data, text = foreign()[name]
    path = tmp_path / "a.pickle"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=text) as caught:
        pickles.load(path)
    assert str(path) in caught.value.received and "make it again" in caught.value.fix


def test_missing_and_too_large_files(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="can't be read"):
        pickles.load(tmp_path / "a.pickle")
    pickles.dump([1, 2, 3], tmp_path / "a.pickle")
    monkeypatch.setattr(pickles, "MAX_BYTES", 10)
    with pytest.raises(DatasetError, match="at most 10"):
        pickles.load(tmp_path / "a.pickle")


# Code that would run

MARKER = "the-exploit-ran"


class Reduces:
    """Pickles to a call of what it is given."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def exploits(marker) -> dict[str, bytes]:
    command = f"touch {marker}"
    text = command.encode()
    short = bytes([0x8C, len(text)]) + text
    system = Reduces(os.system, (command,))
    objects = np.empty(1, object)
    objects[0] = system
    rebuild = np._core.multiarray._reconstruct
    state = (1, (1,), np.dtype("O"), False, [system])
    by_getattr = b"cbuiltins\ngetattr\n(cos\nsystem\nX\x08\0\0\0__call__tR"
    dumps = functools.partial(pickle.dumps, protocol=4)
    own = b"\x80\x05\x8c\x13numpy._core.numeric\x8c\x0b_frombuffer\x93"
    dtype = b"\x8c\x05numpy\x8c\x05dtype\x93"
    return {
        "os.system": dumps(system),
        "os.system, protocol 5": unmemoized(system),
        "os.system, protocol 0": b"cos\nsystem\n(S'" + text + b"'\ntR.",
        "os.system, GLOBAL": b"\x80\x05cos\nsystem\n" + short + b"\x85R.",
        "os.system, INST": b"\x80\x05(S'" + text + b"'\nios\nsystem\n.",
        "os.system, OBJ": b"\x80\x05(cos\nsystem\nS'" + text + b"'\no.",
        "nested": unmemoized({"a": [({"b": system},)]}),
        "as a key": unmemoized({system: 1}),
        "eval": unmemoized(Reduces(eval, (f"__import__('os').system('{command}')",))),
        "getattr": b"\x80\x05" + by_getattr + b"(S'" + text + b"'\ntR.",
        "functools.partial": dumps(functools.partial(os.system, command)),
        "copyreg": b"\x80\x05ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
        "reduce_ex": unmemoized(Reduces(pickle.loads, (dumps(system),))),
        "object array": unmemoized(objects),
        "object array, protocol 2": pickle.dumps(objects, 2),
        "object array by state": unmemoized(Reduces(rebuild, (np.ndarray, (0,), b"b"), state)),
        "object array by _frombuffer": own + b"(Cx" + dtype + b"\x8c\x01O\x89\x88\x87RK\x01\x85\x8c\x01CtR.",
        "dtype with metadata": unmemoized(np.dtype("f4", metadata={"a": system})),
        "record dtype": unmemoized(np.zeros(2, [("a", "O"), ("b", "f4")])),
        "subclass": unmemoized(collections.OrderedDict(a=system)),
        "NumPy's own exec": b"\x80\x05cnumpy.testing._private.utils\nrunstring\n(S'" + text + b"'\n}tR.",
        "attribute of an allowed name": b"\x80\x05\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
        "constructor of an allowed name": b"\x80\x05\x8c\x05numpy\x8c\x0ddtype.__new__\x93.",
        "state for a function": own + b"}\x8c\x08functionNsb.",
        "defaults for a function": own + b"N}\x8c\x0c__defaults__)s\x86b.",
        "class for a function": own + b"N}\x8c\x09__class__" + dtype + b"s\x86b.",
        "call of a function for another class": own + b"\x81.",
        "state for an array": unmemoized(np.zeros(2))[:-1] + b"(K\x01K\x01\x85" + dtype + b"\x89]tb.",
        "state for a list": b"\x80\x05]}\x8c\x01aNsb.",
        "persistent id": b"\x80\x05X\x01\0\0\0aQ.",
        "extension": b"\x80\x05\x82\x01.",
        "out of band": b"\x80\x05\x97.",
    }


@pytest.mark.parametrize("name", exploits("x"))
def test_exploits_do_nothing(tmp_path, name):
    marker = tmp_path / MARKER
    path = tmp_path / "a.pickle"
    data = exploits(marker)[name]
    path.write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        pickles.load(path)
    assert str(path) in caught.value.received
    # Nor where the look at the opcodes would let them pass. Only that look knows of copyreg's cache.
    with pytest.raises(Exception, match="."):
        pickles._check_types(pickles._Unpickler(io.BytesIO(data)).load())
    assert not marker.exists()
    assert pickles._MakeArray.__slots__ == pickles._MakeDtype.__slots__ == ()
    assert same(loads(pickles.dumps(PLAIN)), PLAIN)


def test_the_exploits_are_real(tmp_path):
    for name, data in exploits(tmp_path / MARKER).items():
        if name in (
            "os.system", "os.system, protocol 5", "os.system, GLOBAL", "nested", "eval", "getattr", "reduce_ex",
            "object array", "functools.partial",
        ):  # fmt: skip
            loaded = reference(data)
            if callable(loaded):
                loaded()
            assert (tmp_path / MARKER).exists(), name
            (tmp_path / MARKER).unlink()


def test_stand_ins_take_no_attributes():
    for stand_in in (pickles._MakeArray(), pickles._MakeDtype(), pickles._Dtype("f4")):
        for name in ("__defaults__", "__call__", "__code__", "anything"):
            with pytest.raises(AttributeError):
                setattr(stand_in, name, None)


def test_error_names_the_global():
    with pytest.raises(DatasetError, match=r"names collections\.Counter"):
        loads(unmemoized(collections.Counter()))


# Memory that would be taken


def load_within(data: bytes, limit: int):
    """Load, and hold the memory it took at its peak against a limit."""
    tracemalloc.start()
    try:
        return loads(data)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit


def u8(number: int) -> bytes:
    return struct.pack("<Q", number)


ARRAY = b"\x8c\x13numpy._core.numeric\x8c\x0b_frombuffer\x93(\x96" + u8(0) + b"\x8c\x05numpy\x8c\x05dtype\x93"
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
    "memo index": b"]r\xff\xff\xff\xff.",
    "memo index of four bytes": b"]r\xff\xff\xff\x0f.",
    "memo index as text": b"]p999999999\n.",
    "memo index that was never set": b"j\xff\xff\xff\xff.",
    "empty stack": b"\x86.",
    "stack below a mark": b"K\x01(\x85.",
    "mark that was never set": b"t.",
    "list without an end": b"]" * 1000,
    "shape": ARRAY + b"\x8c\x02f4\x89\x88\x87RK\x00\x8a\x06\0\0\0\0\0\x01\x8a\x06\0\0\0\0\0\x01\x87\x8c\x01CtR.",
    "itemsize": ARRAY + b"\x8c\x07S999999\x89\x88\x87RM\xff\xff\x85\x8c\x01CtR.",
}


@pytest.mark.parametrize("name", PROMISES)
def test_promises_do_not_take_memory(name):
    with pytest.raises(DatasetError, match="damaged|opcode"):
        load_within(b"\x80\x05" + PROMISES[name], 1 << 20)


TUPLES = b"\x80\x05" + b")" + b"\x85" * 300_000
BOMBS = {
    "lists in lists": (b"\x80\x05" + b"]" * 20_000 + b"a" * 19_999 + b".", "nested more than"),
    "lists in marked lists": (b"\x80\x05" + b"](" * 20_000 + b"e" * 20_000 + b".", "nested more than"),
    "dicts in dicts": (b"\x80\x05" + b"}N" * 20_000 + b"N" + b"s" * 20_000 + b".", "nested more than"),
    "tuples in tuples": (TUPLES + b".", "nested more than"),
    "a deep key": (b"\x80\x05}" + TUPLES[2:] + b"Ns.", "nested more than"),
    "a deep dtype": (b"\x80\x05\x8c\x05numpy\x8c\x05dtype\x93" + TUPLES[2:] + b"R.", "nested more than"),
    "a key of 2 ** 60 parts": (b"\x80\x05})" + b"q\0h\0\x86" * 60 + b"Ns.", "opcode BINPUT"),
    "2 ** 60 parts": (b"\x80\x05]" + b"q\0h\0\x86" * 60 + b".", "opcode BINPUT"),
    "2 ** 60 parts, by DUP": (b"\x80\x05]" + b"2\x86" * 60 + b".", "opcode DUP"),
    "itself": (b"\x80\x05]q\0h\0a.", "opcode BINPUT"),
    "itself, MEMOIZE": (b"\x80\x05]\x94h\0a.", "opcode MEMOIZE"),
    "itself, as a value": (b"\x80\x05}q\0K\x01h\0s.", "opcode BINPUT"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name):
    data, text = BOMBS[name]
    with pytest.raises(DatasetError, match=text):
        load_within(data, (1 << 20) + 50 * len(data))


def test_nothing_copies_more_than_the_file_holds():
    for name, arguments in ((b"builtins", b"bytearray"), (b"_codecs", b"encode")):
        call = b"\x8c" + bytes([len(name)]) + name + b"\x8c" + bytes([len(arguments)]) + arguments + b"\x93"
        with pytest.raises(DatasetError, match=r"names \w+\.\w+"):
            load_within(b"\x80\x05" + call + b"\x8e" + u8(50_000) + bytes(50_000) + b"\x85R.", 2 << 20)


def test_stand_ins_and_buffers_do_not_stay(tmp_path):
    make = b"\x8c\x13numpy._core.numeric\x8c\x0b_frombuffer\x93"
    dtype = b"\x8c\x05numpy\x8c\x05dtype\x93"
    for part in (make, dtype, dtype + b"\x8c\x02f4\x89\x88\x87R"):
        for data in (b"](" + part + b"e.", b"}N" + part + b"s.", part + b"\x85."):
            with pytest.raises(DatasetError, match="holds a (make|dtype)"):
                loads(b"\x80\x05" + data)
    with pytest.raises(DatasetError, match="outside of an array"):
        pickles.loads(b"\x80\x05\x97.", "a", "", [memoryview(b"a")])


@pytest.mark.parametrize("part", [b"]", b"}", b"N", b"G" + bytes(8)])
def test_memory_grows_with_the_file_alone(part):
    data = b"\x80\x05](" + part * 20_000 + b"e."
    assert len(load_within(data, 500 * len(data))) == 20_000


def test_every_truncation_and_many_damages_are_errors_or_plain():
    content = {"a": [1, "x", (2.5, None)], "b": np.arange(4, dtype=np.int16)}
    data = pickles.dumps(content)
    rng = np.random.default_rng(0)
    for cut in range(len(data)):
        with pytest.raises(DatasetError):
            loads(data[:cut])
    for _ in range(500):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(256)
        with contextlib.suppress(DatasetError):
            load_within(bytes(damaged), 1 << 20)
