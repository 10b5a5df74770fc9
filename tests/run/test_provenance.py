import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stenoscope.errors import DatasetError, StorageError
from stenoscope.run import provenance

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st


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


def test_the_file_that_appears_was_synced_whole_and_then_renamed(tmp_path, monkeypatch):
    target, synced, sync = tmp_path / "a.txt", [], os.fsync
    target.write_text("old")
    before = target.stat().st_ino

    def spy(descriptor):
        state = os.fstat(descriptor)
        synced.append((state.st_ino, state.st_size, target.read_text()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    provenance.write_text(target, "the new content")
    # The synced file itself has the name now; a copy would have written into the old one, or into a third.
    assert synced == [(target.stat().st_ino, 15, "old")] and target.stat().st_ino != before


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path, problem):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(problem), provenance.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise problem
    assert path.read_text() == "before" and everything(tmp_path) == ["a.txt"]


def test_json_holds_plain_values(tmp_path):
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": float("nan"), "d": tmp_path, "e": Some()}
    value["f"] = (1, {2})
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
    provenance.write_manifest(
        tmp_path, "folds", Some(), {"clips.pickle": "ab"}, {"clips": 3}, ("x.py", "-v"), seed=7
    )
    manifest = provenance.read_manifest(tmp_path, "folds", "python x.py")
    assert manifest["schema"] == "stenoscope/folds" and manifest["settings"]["seed"] == 7 == manifest["seed"]
    assert manifest["inputs"] == {"clips.pickle": "ab"} and manifest["counts"] == {"clips": 3}
    assert manifest["versions"]["numpy"] == np.__version__ and manifest["command"] == ["x.py", "-v"]


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


def test_any_bit_of_a_manifest_that_flips_is_noticed(tmp_path):
    provenance.write_manifest(tmp_path, "folds", Some(), {"clips": "ab"}, {}, outputs={"one": "ab" * 32})
    path = tmp_path / "manifest.json"
    whole = path.read_bytes()
    before = json.loads(whole)
    for position in range(0, len(whole), 5):
        path.write_bytes(
            whole[:position] + bytes([whole[position] ^ 1 << position % 7]) + whole[position + 1 :]
        )
        try:
            found = provenance.read_manifest(tmp_path, "folds", "x")
        except DatasetError as problem:
            assert str(path) in problem.received
        else:  # blanks between the entries, or the name of the hash
            found = {name: found.get(name) for name in before if name != "sha256"}
            assert found == {name: value for name, value in before.items() if name != "sha256"}


def test_a_part_that_is_done_is_sealed(tmp_path):
    assert provenance.check_seal(tmp_path) == {}
    (tmp_path / "maps").mkdir()
    for name in ("a.csv", "maps/b.npy"):
        (tmp_path / name).write_text(name)
    provenance.seal(tmp_path, ["maps/b.npy", "a.csv"])
    assert list(provenance.check_seal(tmp_path)) == ["a.csv", "maps/b.npy"]
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "maps" / "b.npy").write_text("maps/b.np")
    with pytest.raises(DatasetError, match=r"maps/b\.npy"):
        provenance.check_seal(tmp_path)
    sums = (tmp_path / "SHA256SUMS").read_bytes()
    for damage in (b"", sums[:30], sums[:-20], b"x" + sums[1:]):
        (tmp_path / "SHA256SUMS").write_bytes(damage)
        with pytest.raises(DatasetError, match=str(tmp_path)):
            provenance.check_seal(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a file that is always full")
def test_a_full_disk_is_one_error_that_names_the_file(tmp_path):
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    with (
        full,
        pytest.raises(StorageError, match=f"{tmp_path}/a.txt can't be written: No space") as caught,
        provenance.atomic_path(tmp_path / "a.txt"),
    ):
        full.write(b"a")
    assert "run the same command again" in caught.value.fix and everything(tmp_path) == []


def test_a_folder_that_may_not_be_written_to_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written") as caught:
        provenance.write_text(tmp_path / "file" / "a.txt", "a")
    assert "another folder" in caught.value.fix


def test_an_error_of_something_else_keeps_its_name(tmp_path):
    with pytest.raises(PermissionError), provenance.atomic_path(tmp_path / "a"):
        raise PermissionError(13, "not of the file that is being written")


def test_git_commit_names_the_checkout():
    commit = provenance.git_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_an_installed_copy_inside_another_checkout_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(
        provenance, "__file__", str(tmp_path / "lib" / "stenoscope" / "run" / "provenance.py")
    )
    (tmp_path / "lib" / "stenoscope" / "run").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    commit = ["git", "-C", str(tmp_path), *who, "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(commit, check=True)
    assert provenance.git_commit() is None
