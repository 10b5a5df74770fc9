"""What this user may read: questions to the file system that `pathlib` answers with PermissionError."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from stenoscope.errors import DicomError

FIX = "give yourself the right to read it (`chmod -R u+rX`, or ask its owner), or leave it out."

UNLISTED, UNREADABLE = "This folder can't be listed", "can't be read"
"""What a reason of `intake.csv` has in it where permissions are missing."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def is_dir(path: Path) -> bool:
    """Whether a path is a folder, as far as this user can tell."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Whether a path is a regular file, as far as this user can tell."""
    return os.path.isfile(path)  # noqa: PTH113


def is_link(path: Path) -> bool:
    """Whether a path is a link, as far as this user can tell."""
    return os.path.islink(path)  # noqa: PTH114


def is_there(path: Path) -> bool:
    """Whether a path exists; what this user may not ask about does: reading it tells what is wrong."""
    try:
        return path.exists()
    except PermissionError:
        return True
    except OSError:
        return False


def kind_of(path: Path) -> str:
    """What a path is if no regular file, links followed: ``a named pipe`` say; empty if it can't be told."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "")
    except OSError:
        return ""


def paths_in(folder: Path) -> list[Path]:
    """Paths in a folder, in the order of their names.

    An OSError if this user may not list the folder, or list but not enter it.
    """
    paths = sorted(folder.iterdir())
    for path in paths[:1]:
        path.lstat()
    return paths


def check_file(path: str | os.PathLike) -> None:
    """Refuse what `open_file` refuses."""
    open_file(path).close()


def open_file(path: str | os.PathLike) -> BinaryIO:
    """Open a file for reading, but nothing that would be waited for (a pipe) or be taken for damaged.

    A DicomError if it is no regular file, is not there, or may not be read.
    """
    path = Path(path)
    if kind := kind_of(path):
        raise DicomError(f"{path} is not a readable file: it is {kind}.", "a regular file", "leave it out.")
    try:
        return path.open("rb")
    except PermissionError as problem:
        raise DicomError(
            f"{path} {UNREADABLE}: {problem.strerror}.", "a file that you may read", FIX
        ) from None
    except OSError as problem:
        if path.is_symlink():
            raise DicomError(
                f"{path} is a link to {path.readlink()}, which is not there.",
                "a link to a file or folder",
                "copy what it should lead to, or delete the link.",
            ) from None
        raise DicomError(
            f"{path} is not a readable file: {problem.strerror}.",
            "a file",
            "check the path, or copy it again.",
        ) from None
