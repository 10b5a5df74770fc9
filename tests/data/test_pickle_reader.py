"""Files that were made to harm: code that would run, memory that would be taken, damage."""

import collections
import contextlib
import functools
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from stenoscope.data import plain_pickle
from stenoscope.errors import DatasetError

MARKER = "the-exploit-ran"


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
