import hashlib
import pickle
import tracemalloc

import numpy as np
import pytest

from stenoscope.data import pickles
from stenoscope.data.clipset import ClipSet, ClipSetWriter
from stenoscope.errors import DatasetError
from stenoscope.records import KeyframeChoice, Origin
from stenoscope.run import provenance

FILES = ["clips.frames", "clips.pickle", "manifest.json"]
BOXES = np.arange(20, dtype=np.float32).reshape(5, 4)


def choice(seed=0, **changes) -> KeyframeChoice:
    curve = np.random.default_rng(seed).random(9 + seed % 3, np.float32)
    values = {"method": "m", "keyframes": (2, 3, 4, 5, 6), "apex": 4, "start": None, "end": 7, "curve": curve}
    return KeyframeChoice(**{**values, **changes})


def frames(seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (5, 512, 512), np.uint8)


def write(folder, count=3, names=("label", "rca")):
    with ClipSetWriter(folder, "opacification", names) as writer:
        for number in range(count):
            lesions = [{"kind": "focal", "severity": 0.7, "boxes": BOXES + number}] * (number % 2)
            labels = [number % 2, np.nan][: len(names)]
            writer.add(
                f"p{number // 2}/c{number}", f"p{number // 2}", labels, choice(number), frames(number),
                lesions, Origin(*((66.7, (1, -2.5)) if number else (None, None)), f"{number:064d}", 0.5),
            )  # fmt: skip
    provenance.write_manifest(folder, "keyframes", {}, {}, {}, clips=writer.entry)
    return writer.entry


def check(clips, count=3):
    assert len(clips) == count and clips.frames.shape == (count, 5, 512, 512) and clips.num_keyframes == 5
    for number in range(count):
        np.testing.assert_array_equal(clips.frames[number], frames(number))
        np.testing.assert_array_equal(clips.frames[number, 3], frames(number)[3])
        np.testing.assert_array_equal(clips.curves[number], choice(number).curve)
    assert clips.clip_ids == [f"p{number // 2}/c{number}" for number in range(count)]
    assert clips.patient_ids == [f"p{number // 2}" for number in range(count)]
    assert clips.label_names == ["label", "rca"] and clips.labels.dtype == np.float32
    np.testing.assert_array_equal(clips.labels[:, 0], np.arange(count) % 2)
    assert np.isnan(clips.labels[:, 1]).all()
    assert clips.keyframes.tolist() == [[2, 3, 4, 5, 6]] * count and clips.keyframes.dtype == np.int64
    assert clips.apex.tolist() == [4] * count and clips.start == [None] * count and clips.end == [7] * count
    assert clips.num_frames.tolist() == [9 + number % 3 for number in range(count)]
    assert clips.frame_time_ms == [None] + [66.7] * (count - 1)
    assert clips.view == [None] + [(1.0, -2.5)] * (count - 1)
    assert clips.scale.tolist() == [0.5] * count and clips.method == "opacification"
    assert [len(lesions) for lesions in clips.lesions] == [number % 2 for number in range(count)]
    lesion = clips.lesions[1][0]
    assert (lesion["kind"], lesion["severity"]) == ("focal", 0.7)
    np.testing.assert_array_equal(lesion["boxes"], BOXES + 1)
    with pytest.raises(ValueError, match="read-only"):
        clips.frames[0, 0, 0, 0] = 1


def test_written_and_opened_in_place(tmp_path):
    entry = write(tmp_path)
    clips = ClipSet.open(tmp_path)
    check(clips)
    mapped = clips.frames.base
    while isinstance(mapped, memoryview | np.ndarray) and not isinstance(mapped, np.memmap):
        mapped = mapped.obj if isinstance(mapped, memoryview) else mapped.base
    assert isinstance(mapped, np.memmap) and clips.sha256 == entry["sha256"]
    clips.verify()
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_it_is_a_plain_pickle_for_everybody(tmp_path, monkeypatch):
    entry = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    with open("clips.pickle", "rb") as file:
        content = pickle.load(file, buffers=[np.memmap("clips.frames", mode="r")])
    assert (content["schema"], content["version"]) == ("stenoscope/clips", 2)
    np.testing.assert_array_equal(content["frames"].reshape(3, 5, 512, 512)[2], frames(2))
    data = (tmp_path / "clips.frames").read_bytes()
    assert data == b"".join(frames(number).tobytes() for number in range(3))
    assert entry["frames_bytes"] == len(data)
    assert entry["frames_sha256"] == content["frames_sha256"] == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "clips.pickle").stat().st_size < 20_000
    with pytest.raises(pickle.UnpicklingError, match="buffers"):
        pickle.loads((tmp_path / "clips.pickle").read_bytes())
    # By NumPy and pickle alone: the very same file
    assert pickles.dumps(content, content["frames"]) == (tmp_path / "clips.pickle").read_bytes()


def test_same_clips_same_bytes(tmp_path):
    assert write(tmp_path / "a") == write(tmp_path / "b")


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    tracemalloc.start()
    write(tmp_path, 40)
    ClipSet.open(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6  # the frames of 40 clips are 52 MB


def test_without_labels(tmp_path):
    write(tmp_path, names=())
    clips = ClipSet.open(tmp_path)
    assert clips.label_names == [] and clips.labels.shape == (3, 0)


def test_unknown_patient_is_empty(tmp_path):
    with ClipSetWriter(tmp_path, "m", []) as writer:
        writer.add("a", None, [], choice(), frames())
    assert opened(tmp_path, writer.entry).patient_ids == [""]


def opened(folder, entry, **changes):
    provenance.write_manifest(folder, "keyframes", {}, {}, {}, clips={**entry, **changes})
    return ClipSet.open(folder)


def test_interrupt_leaves_nothing_and_keeps_what_was_there(tmp_path, monkeypatch):
    write(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with pytest.raises(KeyboardInterrupt), ClipSetWriter(tmp_path, "m", ["label"]) as writer:
        writer.add("a", "p", [1], choice(), frames())
        raise KeyboardInterrupt
    with pytest.raises(DatasetError, match="No clip"), ClipSetWriter(tmp_path, "m", ["label"]):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(pickles, "dumps", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError), ClipSetWriter(tmp_path, "m", ["label"]) as writer:
            writer.add("a", "p", [1], choice(), frames())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("count", [1, 4, 7])
def test_any_number_of_key_frames(tmp_path, count):
    shown = np.random.default_rng(1).integers(0, 256, (2, count, 512, 512), np.uint8)
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
    with ClipSetWriter(tmp_path, "m", ["label"]) as writer:
        for clip in range(2):
            chosen = choice(keyframes=tuple(range(count)), apex=count // 2)
            writer.add(f"c{clip}", "p", [1], chosen, shown[clip], [{"boxes": boxes}])
        with pytest.raises(ValueError, match=f"not uint8 \\({count}, 512, 512\\)"):
            writer.add("c3", "p", [1], choice(keyframes=(0, 1)), shown[0, :1].repeat(2, axis=0))
    clips = opened(tmp_path, writer.entry)
    np.testing.assert_array_equal(clips.frames, shown)
    np.testing.assert_array_equal(clips.lesions[1][0]["boxes"], boxes)
    assert clips.num_keyframes == count and clips.keyframes.shape == (2, count)


def test_one_id_twice(tmp_path):
    with pytest.raises(DatasetError, match="the id a"), ClipSetWriter(tmp_path, "m", ["label"]) as writer:
        writer.add("a", "p", [1], choice(), frames())
        writer.add("a", "p", [1], choice(), frames())


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": np.zeros((5, 512, 512), np.float32)},
        {"frames": np.zeros((4, 512, 512), np.uint8)},
        {"labels": [1, 0]},
        {"choice": choice(keyframes=(1, 2))},
        {"lesions": [{"boxes": np.zeros((4, 4))}]},
    ],
)
def test_wrong_shapes_are_refused_before_anything_is_written(tmp_path, changes):
    arguments = {"choice": choice(), "frames": frames(), "labels": [1], **changes}
    with ClipSetWriter(tmp_path, "m", ["label"]) as writer:
        with pytest.raises(ValueError, match=r"frames|key frames|boxes"):
            writer.add("a", "p", **arguments)
        writer.add("a", "p", [1], choice(), frames())
    np.testing.assert_array_equal(opened(tmp_path, writer.entry).frames[0], frames())


@pytest.mark.parametrize("name", ["clips.pickle", "clips.frames"])
def test_damage_is_noticed(tmp_path, name):
    entry = write(tmp_path)
    path = tmp_path / name
    good = path.read_bytes()
    for data in (good[:-1], good[: len(good) // 2], good[:50], b"", good + b"x"):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=name.replace(".", r"\.")) as caught:
            ClipSet.open(tmp_path)
        assert "python pickle_generator.py" in caught.value.fix and "--overwrite" in caught.value.fix
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    path.write_bytes(flipped)
    if name == "clips.frames":  # a pixel: seen by the hash only
        with pytest.raises(DatasetError, match=r"clips\.frames.*SHA-256"):
            ClipSet.open(tmp_path).verify()
    path.write_bytes(good)
    for change in ({"frames_bytes": entry["frames_bytes"] + 1}, {"frames_sha256": "ab" * 32}):
        with pytest.raises(DatasetError, match=r"clips\.frames"):
            opened(tmp_path, entry, **change)


def test_cut_frames_are_named_with_both_sizes(tmp_path):
    write(tmp_path)
    with (tmp_path / "clips.frames").open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(DatasetError) as caught:
        ClipSet.open(tmp_path)
    assert caught.value.received == f"{tmp_path / 'clips.frames'} has 1000 bytes."
    assert caught.value.expected == f"{3 * 5 * 512 * 512} bytes"


def test_frames_of_another_run_are_refused(tmp_path):
    entry = write(tmp_path / "a")
    other = write(tmp_path / "b", names=("rca",))  # the same frames
    (tmp_path / "a/clips.pickle").write_bytes((tmp_path / "b/clips.pickle").read_bytes())
    assert entry["frames_sha256"] == other["frames_sha256"] and entry["sha256"] != other["sha256"]
    with pytest.raises(DatasetError, match=r"clips\.pickle.*SHA-256"):
        ClipSet.open(tmp_path / "a").verify()
    write(tmp_path / "b", 2)
    (tmp_path / "a/clips.pickle").write_bytes((tmp_path / "b/clips.pickle").read_bytes())
    with pytest.raises(DatasetError, match="damaged"):
        ClipSet.open(tmp_path / "a")


def test_frames_in_the_pickle_are_refused(tmp_path):
    entry = write(tmp_path)
    content = pickle.loads(
        (tmp_path / "clips.pickle").read_bytes(), buffers=[np.memmap(tmp_path / "clips.frames", mode="r")]
    )
    pickles.dump(content, tmp_path / "clips.pickle")
    with pytest.raises(DatasetError, match="not those of"):
        opened(tmp_path, entry)


@pytest.mark.parametrize("name", ["clips.pickle", "clips.frames"])
def test_folder_without_its_parts(tmp_path, name):
    write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match=rf"No .*{name}"):
        ClipSet.open(tmp_path)


def test_a_folder_of_an_earlier_version_is_to_be_made_again(tmp_path):
    write(tmp_path)
    for old in ({}, {"clips": {"sha256": "ab" * 32, "frames_offset": 126, "frames_shape": [15, 512, 512]}}):
        provenance.write_manifest(tmp_path, "keyframes", {}, {}, {}, **old)
        with pytest.raises(DatasetError, match=r"another version.*clips\.frames") as caught:
            ClipSet.open(tmp_path)
        assert "python pickle_generator.py" in caught.value.fix and "--overwrite" in caught.value.fix


@pytest.mark.parametrize("content", [{"schema": "other"}, [1], {"schema": "stenoscope/clips", "version": 3}])
def test_foreign_pickles(tmp_path, content):
    write(tmp_path)
    pickles.dump(content, tmp_path / "clips.pickle")
    with pytest.raises(DatasetError, match=r"holds no clips|version 3"):
        ClipSet.open(tmp_path)
