"""The reader of legacy .pth files, on files assembled opcode by opcode."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from stenoscope.errors import WeightsError
from stenoscope.models.torch_file import read_state_dict
from stenoscope.models.weights import bundled_weights_path

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _numbers(values) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def _tensor(key, size, offset, shape, strides, storage="torch\nFloatStorage") -> bytes:
    persistent = b"(" + _text("storage") + f"c{storage}\n".encode() + _text(key) + _text("cpu")
    persistent += b"J" + struct.pack("<i", size) + b"NtQ"
    arguments = b"(" + persistent + b"J" + struct.pack("<i", offset) + _numbers(shape) + _numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"\x89ccollections\nOrderedDict\n)RtR"


def _write(path, tensors: dict[str, bytes], storages: dict[str, np.ndarray], magic=MAGIC):
    state = b"\x80\x02ccollections\nOrderedDict\n)R("
    state += b"".join(_text(name) + tensor for name, tensor in tensors.items()) + b"u."
    info = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    data = magic + pickle.dumps(1001, 2) + info + state + pickle.dumps(list(storages), 2)
    for values in storages.values():
        data += struct.pack("<q", values.size) + values.tobytes()
    path.write_bytes(data)
    return path


def test_strided_views_of_one_storage(tmp_path):
    storage = np.arange(12, dtype="<f4")
    tensors = {
        "rows": _tensor("7", 12, 0, (3, 4), (4, 1)),
        "transposed": _tensor("7", 12, 0, (4, 3), (1, 4)),
        "part": _tensor("7", 12, 5, (2, 2), (4, 2)),
        "scalar": _tensor("8", 1, 0, (), (), "torch\nLongStorage"),
    }
    path = _write(tmp_path / "a.pth", tensors, {"7": storage, "8": np.array([41], "<i8")})
    state = read_state_dict(path)
    assert list(state) == list(tensors)
    np.testing.assert_array_equal(state["rows"], storage.reshape(3, 4))
    np.testing.assert_array_equal(state["transposed"], storage.reshape(3, 4).T)
    np.testing.assert_array_equal(state["part"], [[5, 7], [9, 11]])
    assert state["scalar"] == 41 and state["scalar"].shape == () and state["scalar"].dtype == np.int64
    assert all(array.flags.c_contiguous for array in state.values())


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(1, (3, 4), (4, 1)), (0, (3, 4), (5, 1)), (-1, (2,), (1,)), (3, (2,), (-1,)), (0, (2, 2), (1,))],
)
def test_a_view_beyond_its_storage_is_refused(tmp_path, offset, shape, strides):
    tensors = {"x": _tensor("7", 12, offset, shape, strides)}
    path = _write(tmp_path / "a.pth", tensors, {"7": np.zeros(12, "<f4")})
    with pytest.raises(WeightsError, match="was refused"):
        read_state_dict(path)


FIELDS = _text("strides") + _numbers([-1000, -1000])
STATES = {"attributes": b"}(" + FIELDS + b"u", "slots": b"N}(" + FIELDS + b"u\x86"}


@pytest.mark.parametrize("state", STATES)
def test_strides_rewritten_after_the_tensor_was_made_are_refused(tmp_path, state):
    """Strides below zero would read what lies before the storage in memory."""
    tensor = _tensor("7", 12, 0, (3, 4), (4, 1)) + STATES[state] + b"b"  # BUILD
    path = _write(tmp_path / "a.pth", {"x": tensor}, {"7": np.zeros(12, "<f4")})
    with pytest.raises(WeightsError, match=r"a\.pth"):
        read_state_dict(path)


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    """Strides of 0 repeat one element: a file of some bytes would fill the memory."""
    tensors = {"x": _tensor("7", 1, 0, (100_000, 100_000), (0, 0))}
    path = _write(tmp_path / "a.pth", tensors, {"7": np.zeros(1, "<f4")})
    with pytest.raises(WeightsError, match="was refused"):
        read_state_dict(path)


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    target = tmp_path / "was_run"
    attack = b"cposix\nmkdir\n(" + _text(str(target)) + b"tR"
    path = _write(tmp_path / "a.pth", {"x": attack}, {})
    with pytest.raises(WeightsError, match=r"posix\.mkdir"):
        read_state_dict(path)
    assert not target.exists()


@pytest.mark.parametrize("storage", ["torch\nload", "builtins\nprint", "collections\nOrderedDict"])
def test_an_unknown_storage_is_refused(tmp_path, storage):
    path = _write(
        tmp_path / "a.pth", {"x": _tensor("7", 1, 0, (1,), (1,), storage)}, {"7": np.zeros(1, "<f4")}
    )
    with pytest.raises(WeightsError):
        read_state_dict(path)


def test_damaged_and_foreign_files_name_themselves(tmp_path):
    tensors = {"x": _tensor("7", 12, 0, (12,), (1,))}
    good = _write(tmp_path / "good.pth", tensors, {"7": np.ones(12, "<f4")}).read_bytes()
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    (tmp_path / "text.pth").write_text("weights?")
    (tmp_path / "empty.pth").write_bytes(b"")
    _write(tmp_path / "magic.pth", tensors, {"7": np.ones(12, "<f4")}, magic=pickle.dumps(5, 2))
    _write(tmp_path / "size.pth", tensors, {"7": np.ones(11, "<f4")})
    _write(tmp_path / "number.pth", {"x": b"K\x01"}, {})
    for name in ("zip", "text", "empty", "magic", "size", "number", "absent"):
        with pytest.raises(WeightsError, match=f"{name}.pth"):
            read_state_dict(tmp_path / f"{name}.pth")
    for length in range(0, len(good), 7):  # cut anywhere
        (tmp_path / "cut.pth").write_bytes(good[:length])
        with pytest.raises(WeightsError, match=r"cut\.pth"):
            read_state_dict(tmp_path / "cut.pth")


def test_the_bundled_file():
    state = read_state_dict(bundled_weights_path())
    assert len(state) == 296
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["_fc.weight"].shape == (1000, 1280)
    assert all((state[name] >= 0).all() for name in state if name.endswith("running_var"))
