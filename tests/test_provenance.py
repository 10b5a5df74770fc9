import json
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenoscope import provenance
from stenoscope.errors import DatasetError


@dataclass(frozen=True)
class Some:
    seed: int = 7
    output: str = "here"
    workers: int = 0


def everything(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    provenance.write_text(path, "one\n")
    assert path.read_bytes() == b"one\n" and everything(path.parent) == ["a.txt"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path, problem):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(problem), provenance.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise problem
    assert path.read_text() == "before" and everything(tmp_path) == ["a.txt"]


def test_json_holds_plain_values(tmp_path):
    value = {
        "a": np.float32(0.5),
        "b": np.arange(3),
        "c": float("nan"),
        "d": tmp_path,
        "e": Some(),
        "f": (1, {2}),
    }
    provenance.write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "a": 0.5, "b": [0, 1, 2], "c": None, "d": str(tmp_path),
        "e": {"seed": 7, "output": "here", "workers": 0}, "f": [1, [2]],
    }  # fmt: skip


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert provenance.sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea")  # FIPS 180-2, B.1
    assert provenance.sha256_json({"a": 1, "b": [2]}) == provenance.sha256_json({"b": (2,), "a": 1})
    assert provenance.sha256_json({"a": 1}) != provenance.sha256_json({"a": 2})


def test_quick_hash_sees_name_size_and_both_ends(tmp_path):
    path = tmp_path / "a.dcm"
    data = bytes(300_000)
    path.write_bytes(data)
    first = provenance.quick_hash(path)
    assert provenance.quick_hash(path) == first
    for changed in (data + b"x", b"x" + data[1:], data[:-1] + b"x"):
        path.write_bytes(changed)
        assert provenance.quick_hash(path) != first
    path.write_bytes(data)
    other = path.rename(tmp_path / "b.dcm")
    assert provenance.quick_hash(other) != first


def test_quick_hash_of_a_folder_sees_its_files(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]) * 10)
    first = provenance.quick_hash(tmp_path)
    assert provenance.quick_hash(tmp_path) == first
    (tmp_path / "2.png").write_bytes(b"longer than before")
    assert provenance.quick_hash(tmp_path) != first
    (tmp_path / "empty").mkdir()
    assert len(provenance.quick_hash(tmp_path / "empty")) == 64


def test_file_names_are_readable():
    assert provenance.file_name("Patient_1/Coro_2") == "Patient_1__Coro_2"
    assert len(provenance.file_name("é" * 300).encode()) <= 200


@given(st.text("ab_/%~", max_size=8), st.text("ab_/%~", max_size=8))
def test_two_clips_never_share_a_file_name(one, other):
    assert (provenance.file_name(one) == provenance.file_name(other)) == (one == other)
    assert "/" not in provenance.file_name(one)


def test_long_ids_that_differ_at_the_end_do_not_share_a_name():
    assert provenance.file_name("a" * 300 + "1") != provenance.file_name("a" * 300 + "2")


def test_a_manifest_says_where_the_artifact_comes_from(tmp_path):
    provenance.write_manifest(tmp_path, "folds", Some(), {"clips.pickle": "ab"}, {"clips": 3}, seed=7)
    manifest = provenance.read_manifest(tmp_path, "folds", "python x.py")
    assert manifest["schema"] == "stenoscope/folds" and manifest["settings"]["seed"] == 7 == manifest["seed"]
    assert manifest["inputs"] == {"clips.pickle": "ab"} and manifest["counts"] == {"clips": 3}
    assert manifest["versions"]["numpy"] == np.__version__ and "command" in manifest


@pytest.mark.parametrize(
    "content, found",
    [
        (None, "missing"),
        ("{", "can't be read"),
        ("[]", "schema None"),
        ('{"schema": "stenoscope/phantom"}', "stenoscope/phantom"),
        ('{"schema": "stenoscope/folds", "version": 99}', "99"),
    ],
)
def test_another_manifest_is_refused_with_the_command_that_mends_it(tmp_path, content, found):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DatasetError, match=found) as caught:
        provenance.read_manifest(tmp_path, "folds", "python x.py")
    assert "python x.py" in caught.value.fix


def claim(folder, settings=None, inputs=None, **more):
    return provenance.claim(folder, "folds", settings or Some(), inputs or {"clips": "ab"}, **more)


def finish(folder):
    provenance.write_manifest(folder, "folds", Some(), {"clips": "ab"}, {})


def test_a_folder_is_fresh_then_resumed_then_finished(tmp_path):
    folder = tmp_path / "a"
    assert claim(folder) is False and (folder / ".unfinished.json").exists()
    (folder / "part").write_text("kept")
    assert claim(folder) is False and (folder / "part").exists()
    finish(folder)
    assert everything(folder) == ["manifest.json", "part"]
    assert claim(folder) is True
    assert claim(folder, Some(output="there", workers=5)) is True


def test_resuming_removes_what_a_killed_run_was_writing(tmp_path):
    folder = tmp_path / "a"
    claim(folder)
    (folder / "sheets").mkdir()
    for name in (".clips.ab3_9xyz.pickle", "sheets/.p1.abcdefgh.png", ".key", "part.csv"):
        (folder / name).write_text("")
    claim(folder)
    assert everything(folder) == [".key", ".unfinished.json", "part.csv", "sheets"]
    assert everything(folder / "sheets") == []


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("change", [{"settings": Some(seed=8)}, {"inputs": {"clips": "cd"}}])
def test_another_run_is_refused_or_replaced(tmp_path, finished, change):
    folder = tmp_path / "a"
    claim(folder)
    (folder / "old").write_text("old")
    if finished:
        finish(folder)
    with pytest.raises(DatasetError, match=r"seed|clips") as caught:
        claim(folder, **change)
    assert "--overwrite" in caught.value.fix and (folder / "old").exists()
    assert claim(folder, **change, overwrite=True) is False
    assert everything(folder) == [".unfinished.json"]


def test_a_folder_of_another_kind_is_never_replaced(tmp_path):
    provenance.write_manifest(tmp_path, "phantom", Some(), {}, {})
    with pytest.raises(DatasetError, match="phantom"):
        claim(tmp_path, overwrite=True)
    assert everything(tmp_path) == ["manifest.json"]


@pytest.fixture
def other_process():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def held_by(folder, **process):
    claim(folder)
    note = json.loads((folder / ".unfinished.json").read_text())
    note["process"] |= process
    provenance.write_json(folder / ".unfinished.json", note)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")  # noqa: PTH110
def test_a_folder_another_process_writes_to_is_refused_while_it_lives(tmp_path, other_process):
    pid = other_process.pid
    held_by(tmp_path, pid=pid, started=provenance._started(pid))
    with pytest.raises(DatasetError, match=f"Process {pid} on ") as caught:
        claim(tmp_path, overwrite=True)
    assert str(tmp_path) in caught.value.received
    other_process.kill()
    other_process.wait()
    assert claim(tmp_path) is False


def test_a_note_of_another_host_or_of_a_number_used_again_is_taken_over(tmp_path, other_process):
    for process in (
        {"pid": other_process.pid, "host": "elsewhere", "started": provenance._started(other_process.pid)},
        {"pid": other_process.pid, "started": "1"},
    ):
        held_by(tmp_path, **process)
        assert claim(tmp_path) is False


def test_git_commit_names_the_checkout():
    commit = provenance.git_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40
