import os
import shutil

import pytest

from stenoscope.errors import DicomError
from stenoscope.run import access
from tests.privileges import permissions_hold


@pytest.fixture
def tree(tmp_path):
    """One of everything that can or can't be read; the folder `barred` may be listed, not entered."""
    (tmp_path / "file").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    for name in ("barred", "locked"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    (tmp_path / "secret").write_text("text")
    (tmp_path / "secret").chmod(0)
    (tmp_path / "barred").chmod(0o444)
    (tmp_path / "locked").chmod(0)
    with permissions_hold():
        yield tmp_path
    for name in ("barred", "locked"):
        (tmp_path / name).chmod(0o755)
        shutil.rmtree(tmp_path / name)


def test_what_may_not_be_asked_about_is_neither_file_nor_folder_but_there(tree):
    with pytest.raises(PermissionError):
        (tree / "barred" / "file").is_file()
    asked = {
        name: (access.is_file(tree / name), access.is_dir(tree / name), access.is_there(tree / name))
        for name in ("file", "secret", "pipe", "broken", "locked", "barred/file", "locked/file")
    }
    assert asked == {
        "file": (True, False, True),
        "secret": (True, False, True),
        "pipe": (False, False, True),
        "broken": (False, False, False),
        "locked": (False, True, True),
        "barred/file": (False, False, True),
        "locked/file": (False, False, True),
    }
    assert access.paths_in(tree)[0] == tree / "barred"
    for name in ("barred", "locked"):
        with pytest.raises(PermissionError):
            access.paths_in(tree / name)


@pytest.mark.parametrize(
    "name, text",
    [
        ("secret", "secret can't be read: Permission denied"),
        ("barred/file", "barred/file can't be read: Permission denied"),
        ("broken", "broken is a link to nowhere, which is not there"),
        ("pipe", "pipe is not a readable file: it is a named pipe"),
        ("locked", "locked is not a readable file: it is a folder"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tree, name, text):
    with pytest.raises(DicomError, match=text) as caught:
        access.check_file(tree / name)
    assert caught.value.fix
    access.check_file(tree / "file")
