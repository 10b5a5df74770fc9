import pickle
import tracemalloc

import numpy as np
import pytest

from stenoscope.run import provenance
from stenoscope.data import plain_pickle
from stenoscope.data.clipset import ClipSet, ClipSetWriter
from stenoscope.errors import DatasetError
from stenoscope.records import KeyframeChoice

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
                lesions, frame_time_ms=66.7 if number else None, view=(1, -2.5) if number else None,
                source_sha256=f"{number:064d}", scale=0.5,
            )  # fmt: skip
    provenance.write_manifest(folder, "keyframes", {}, {}, {}, clips=writer.entry)
    return writer.entry


def check(clips, count=3):
    assert len(clips) == count and clips.frames.shape == (5 * count, 512, 512)
    for number in range(count):
        np.testing.assert_array_equal(clips.clip_frames(number), frames(number))
        np.testing.assert_array_equal(clips.frames[5 * number + 3], frames(number)[3])
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
        clips.frames[0, 0, 0] = 1


def test_written_and_opened_in_place(tmp_path):
    entry = write(tmp_path)
    clips = ClipSet.open(tmp_path)
    check(clips)
    assert isinstance(clips.frames, np.memmap) and clips.sha256 == entry["sha256"]
    clips.verify()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips.pickle", "manifest.json"]


def test_lone_file_is_read_whole(tmp_path):
    write(tmp_path)
    (tmp_path / "manifest.json").unlink()
    check(ClipSet.load(tmp_path / "clips.pickle"))
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        ClipSet.open(tmp_path)


def test_it_is_a_plain_pickle_for_everybody(tmp_path):
    entry = write(tmp_path)
    data = (tmp_path / "clips.pickle").read_bytes()
    content = pickle.loads(data)
    assert (content["schema"], content["version"]) == ("stenoscope/clips", 1)
    np.testing.assert_array_equal(content["frames"].reshape(3, 5, 512, 512)[2], frames(2))
    assert content["frames"].shape == tuple(entry["frames_shape"])
    assert data[entry["frames_offset"] :].startswith(frames(0).tobytes())
    plain_pickle.dump(content, tmp_path / "again.pickle")  # by NumPy and pickle alone: the very same file
    assert (tmp_path / "again.pickle").read_bytes() == data
    content["frames"] = content["frames"][:5]
    with (tmp_path / "protocol4.pickle").open("wb") as stream:
        pickle.dump({**content, "clip_ids": ["a"]}, stream, protocol=4)
    with pytest.raises(DatasetError, match="one entry a clip"):
        ClipSet.load(tmp_path / "protocol4.pickle")


def test_same_clips_same_bytes(tmp_path):
    assert write(tmp_path / "a") == write(tmp_path / "b")


@pytest.mark.parametrize("count", [1, 2, 60])
def test_offset_does_not_depend_on_the_number_of_clips(tmp_path, count):
    entry = write(tmp_path, count)
    assert entry["frames_offset"] < 200
    np.testing.assert_array_equal(ClipSet.open(tmp_path).clip_frames(count - 1), frames(count - 1))


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
    assert ClipSet.load(tmp_path / "clips.pickle").patient_ids == [""]


def test_interrupt_leaves_nothing_and_keeps_what_was_there(tmp_path):
    write(tmp_path)
    before = (tmp_path / "clips.pickle").read_bytes()
    with pytest.raises(KeyboardInterrupt), ClipSetWriter(tmp_path, "m", ["label"]) as writer:
        writer.add("a", "p", [1], choice(), frames())
        raise KeyboardInterrupt
    assert (tmp_path / "clips.pickle").read_bytes() == before
    with pytest.raises(DatasetError, match="No clip"), ClipSetWriter(tmp_path, "m", ["label"]):
        pass
    assert (tmp_path / "clips.pickle").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips.pickle", "manifest.json"]


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
    np.testing.assert_array_equal(ClipSet.load(tmp_path / "clips.pickle").frames, frames())


def test_damage_is_noticed(tmp_path):
    entry = write(tmp_path)
    path = tmp_path / "clips.pickle"
    good = path.read_bytes()

    def reopened(data, **changes):
        path.write_bytes(data)
        provenance.write_manifest(tmp_path, "keyframes", {}, {}, {}, clips={**entry, **changes})
        return ClipSet.open(tmp_path)

    for data in (good[:-1], good[: len(good) // 2], good[:50], b"", good + b"x"):
        with pytest.raises(DatasetError, match=r"clips\.pickle"):
            reopened(data)
    for changes in (
        {"frames_offset": entry["frames_offset"] + 1},
        {"frames_offset": -5},
        {"frames_shape": [10, 512, 512]},
        {"frames_shape": [20, 512, 512]},
        {"frames_shape": [15, 512]},
        {"frames_shape": [1 << 50, 512, 512]},
    ):
        with pytest.raises(DatasetError, match=r"damaged"):
            reopened(good, **changes)
    flipped = bytearray(good)
    flipped[100_000] ^= 1  # a pixel: seen by the hash only
    clips = reopened(flipped)
    with pytest.raises(DatasetError, match="SHA-256"):
        clips.verify()


def test_folder_without_its_parts(tmp_path):
    write(tmp_path)
    (tmp_path / "clips.pickle").unlink()
    with pytest.raises(DatasetError, match=r"No .*clips\.pickle"):
        ClipSet.open(tmp_path)
    provenance.write_manifest(tmp_path, "keyframes", {}, {}, {})
    with pytest.raises(DatasetError, match="does not say where the frames"):
        ClipSet.open(tmp_path)


@pytest.mark.parametrize("content", [{"schema": "other"}, [1], {"schema": "stenoscope/clips", "version": 2}])
def test_foreign_pickles(tmp_path, content):
    plain_pickle.dump(content, tmp_path / "a.pickle")
    with pytest.raises(DatasetError, match=r"holds no clips|version 2"):
        ClipSet.load(tmp_path / "a.pickle")
