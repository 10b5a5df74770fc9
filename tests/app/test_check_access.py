"""Names, links, pipes and permissions that stop neither a check nor step 1."""

import os
import shutil
import signal
from dataclasses import replace as replaced

import pytest

from stenoscope.app.check import check
from stenoscope.app.keyframes import make_keyframes
from stenoscope.errors import DatasetError
from tests.app.conftest import frames, table
from tests.imaging.make_dicom import make_dicom
from tests.imaging.test_sequences import write_images, write_video
from tests.privileges import permissions_hold


@pytest.fixture
def two_clips(tmp_path, settings):
    """A cohort without labels, and how to run check and step 1 on it: each source's status and reason."""
    root = tmp_path / "two"
    root.mkdir()
    make_dicom(root / "a.dcm", frames(1), PatientID="A")
    make_dicom(root / "b.dcm", frames(2), PatientID="B")
    here = replaced(settings, input=str(root), labels="none")

    def both():
        check(here)
        checked = {name: (row["status"], row["reason"]) for name, row in table(here).items()}
        make_keyframes(here)
        assert {name: (row["status"], row["reason"]) for name, row in table(here).items()} == checked
        assert checked.pop("a")[0] == checked.pop("b")[0] == "ok"
        return checked

    return root, both


def test_names_that_are_not_utf8_stop_neither_check_nor_step_one(two_clips):
    root, both = two_clips
    shutil.copy(root / "a.dcm", root / os.fsdecode(b"Gr\xfc\xdfe.dcm"))
    ((name, (status, reason)),) = both().items()
    assert name == r"Gr\xfc\xdfe" and status == "quarantined" and reason.endswith("To fix: rename it.")


def test_files_of_one_id_are_named_together(two_clips, capsys):
    root, both = two_clips
    shutil.copy(root / "a.dcm", root / "c.dcm")
    write_video(root / "c.avi", frames(1))
    ((name, (status, reason)),) = both().items()
    assert (name, status) == ("c", "quarantined") and "c.avi and c.dcm have the same id, c." in reason
    said = " ".join(capsys.readouterr().out.split())
    assert "WARNING 1 id of several files, none of which is read. (c: c.avi and c.dcm)" in said


def test_what_may_not_be_read_is_told_and_stops_nothing(two_clips, capsys):
    root, both = two_clips
    for name in ("barred", "locked"):  # to be listed but not entered; neither
        (root / name).mkdir()
        shutil.copy(root / "a.dcm", root / name / "c.dcm")
        write_images(root / name / "run", frames(6))
    for name in ("secret.dcm", "suffixless", "video.avi"):
        shutil.copy(root / "a.dcm", root / name)
        (root / name).chmod(0)
    write_images(root / "run", frames(6))
    next((root / "run").iterdir()).chmod(0)
    (root / "barred").chmod(0o444)
    (root / "locked").chmod(0)
    try:
        with permissions_hold():
            rows = both()
    finally:
        (root / "barred").chmod(0o755)
        (root / "locked").chmod(0o755)
    assert set(rows) == {"barred/c", "barred/run", "locked", "secret", "suffixless", "video", "run"}
    assert all(status == "quarantined" for status, _ in rows.values())
    assert all("Permission denied. " in reason and "chmod" in reason for _, reason in rows.values())
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "7 files or folders can't be read: clips may be missing. (barred/c.dcm, barred/run, locked," in said
    )


@pytest.fixture
def in_time():
    """Ends a test that waits for ever."""

    def too_late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_a_pipe_is_not_waited_for(two_clips, in_time):
    root, both = two_clips
    write_images(root / "run", frames(6))
    os.mkfifo(root / "run" / "frame_00002.png")
    for name in ("pipe", "pipe_2.dcm", "pipe_3.avi", "DICOMDIR", "labels.csv"):
        os.mkfifo(root / name)
    rows = both()
    assert set(rows) == {"pipe", "pipe_2", "pipe_3", "run", "DICOMDIR"}
    assert {status for status, _ in rows.values()} == {"quarantined"}
    assert all(" is a named pipe. " in reason.replace("it is", "is") for _, reason in rows.values())


def test_a_folder_that_may_not_be_looked_into_is_one_error(settings, folder):
    for mode in (0o444, 0o000):
        folder.chmod(mode)
        try:
            with permissions_hold(), pytest.raises(DatasetError, match=f"{folder} can't be read: Permission"):
                check(settings)
        finally:
            folder.chmod(0o755)
