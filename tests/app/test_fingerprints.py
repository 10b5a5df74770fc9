"""What counts as a changed source: content, whatever size and times say, and nothing but content."""

import os
import shutil

import numpy as np
import pytest

from stenoscope.app import fingerprints
from stenoscope.app.fingerprints import KNOWN, Fingerprints
from stenoscope.imaging.find import find_clips
from stenoscope.run import provenance
from tests.imaging.make_dicom import make_dicom, ramp

LATER = 4 * 10**18  # nanoseconds since 1970: a day in 2096


@pytest.fixture
def cohort(tmp_path):
    """Two DICOM files larger than 128 KiB and a folder of seven images."""
    root = tmp_path / "in"
    root.mkdir()
    for name in ("a", "b"):
        make_dicom(root / f"{name}.dcm", ramp(3, 256, 256), PatientID=name)
    (root / "run").mkdir()
    for number in range(7):
        provenance.write_image(root / "run" / f"{number}.png", np.full((8, 8), 10 * number, np.uint8))
    return root


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files whose content was read, in order."""
    seen, true = [], provenance.sha256_file

    def watched(path):
        seen.append(path.name)
        return true(path)

    monkeypatch.setattr(fingerprints.provenance, "sha256_file", watched)
    monkeypatch.setattr(fingerprints, "_THREADS", 1)
    return seen


def look(cohort, output, settled=True):
    """Hashes of the sources now; what is kept of them is written long after their last change."""
    found = Fingerprints(find_clips(cohort).sources, output)
    found.keep()
    if settled:
        os.utime(output / KNOWN, ns=(LATER, LATER))
    return found.hashes


def poke(path, at=None, keep_times=True):
    """Change one byte in the middle, with size, inode and (as far as a user can) times as they were."""
    about = path.stat()
    with path.open("r+b") as stream:
        stream.seek(about.st_size // 2 if at is None else at)
        old = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([old[0] ^ 1]))
    if keep_times:
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size and path.stat().st_ino == about.st_ino


def test_what_has_not_changed_is_not_read_again(cohort, output, hashed):
    first = look(cohort, output)
    assert set(first) == {"a", "b", "run"} and len(set(first.values())) == 3
    assert hashed == ["a.dcm", "b.dcm", *(f"{number}.png" for number in range(7))]
    hashed.clear()
    assert look(cohort, output) == first and hashed == []


@pytest.mark.parametrize("name, clip_id", [("a.dcm", "a"), ("run/3.png", "run"), ("run/6.png", "run")])
@pytest.mark.parametrize("keep_times", [True, False])
def test_one_byte_in_the_middle_is_noticed(cohort, output, hashed, name, clip_id, keep_times):
    first = look(cohort, output)
    hashed.clear()
    poke(cohort / name, keep_times=keep_times)
    second = look(cohort, output)
    assert {key for key in first if first[key] != second[key]} == {clip_id}
    assert set(hashed) == ({"a.dcm"} if clip_id == "a" else {f"{number}.png" for number in range(7)})
    poke(cohort / name)
    assert look(cohort, output) == first, "the same content is the same source"


def test_a_copy_elsewhere_is_read_and_is_the_same(cohort, output, hashed, tmp_path):
    first = look(cohort, output)
    hashed.clear()
    shutil.copytree(cohort, tmp_path / "copy")
    assert look(tmp_path / "copy", output) == first and len(hashed) == 9
    hashed.clear()
    assert look(tmp_path / "copy", output) == first and hashed == [], "the copy is known now"


def test_a_touched_file_is_read_and_is_the_same(cohort, output, hashed):
    first = look(cohort, output)
    hashed.clear()
    os.utime(cohort / "b.dcm")
    assert look(cohort, output) == first and hashed == ["b.dcm"]


def test_names_and_files_that_come_and_go_count(cohort, output):
    first = look(cohort, output)
    (cohort / "run/6.png").rename(cohort / "run/7.png")
    second = look(cohort, output)
    assert second["run"] != first["run"]
    (cohort / "run/7.png").unlink()
    assert look(cohort, output)["run"] not in (first["run"], second["run"])


def test_a_file_changed_just_before_is_read_again(cohort, output, hashed):
    """Two changes within one time stamp of the file system can't be told apart."""
    first = look(cohort, output, settled=False)
    hashed.clear()
    assert look(cohort, output) == first and len(hashed) == 9
    hashed.clear()
    assert look(cohort, output) == first and hashed == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 3}', '{"a": [1, 2]}', '{"a": [["x"], "y", "z"]}'])
def test_damaged_notes_are_made_again(cohort, output, content):
    first = look(cohort, output)
    (output / KNOWN).write_text(content)
    assert look(cohort, output) == first


def test_a_link_to_nothing_counts_by_its_name(cohort, output, tmp_path):
    source = find_clips(cohort).sources[0]
    (cohort / "a.dcm").unlink()
    (cohort / "a.dcm").symlink_to(tmp_path / "nothing")
    first = Fingerprints([source], output).hashes
    assert Fingerprints([source], output).hashes == first
    (tmp_path / "nothing").write_bytes(b"")
    assert Fingerprints([source], output).hashes != first


def test_a_folder_that_can_t_be_written_to_is_no_error(cohort, tmp_path):
    (tmp_path / "out").write_text("a file")
    Fingerprints(find_clips(cohort).sources, tmp_path / "out").keep()
    assert (tmp_path / "out").read_text() == "a file"
