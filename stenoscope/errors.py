"""Errors that say what was received, what was expected and how to fix it.

Every error that a user can cause derives from `StenoscopeError`; the scripts print it in one paragraph and
exit with status 2. Anything else is a defect of the program and keeps its traceback.
"""

import contextlib
import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator

_SURROGATE = re.compile("[\ud800-\udfff]")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
)  # fmt: skip


def printable(text: str) -> str:
    r"""Text in which the bytes of file names that are no UTF-8 are spelled out.

    Examples
    --------
    >>> printable(os.fsdecode(b"Gr\xfc\xdfe.dcm")) == r"Gr\xfc\xdfe.dcm"
    True
    """
    return _SURROGATE.sub(_spelled, text)


def _spelled(found: re.Match) -> str:
    code = ord(found[0])
    byte = 0xDC80 <= code <= 0xDCFF  # of a file's name (PEP 383), else an escape of JSON
    return f"\\x{code - 0xDC00:02x}" if byte else f"\\u{code:04x}"


class StenoscopeError(Exception):
    """Base of all errors a user can cause and fix.

    `received` says what was found, naming the file; `expected` what should have been there; `fix` what to do.
    """

    def __init__(self, received: str, expected: str = "", fix: str = ""):
        received, expected, fix = printable(received), printable(expected), printable(fix)
        self.received, self.expected, self.fix = received, expected, fix
        parts = [received]
        if expected:
            parts.append(f"Expected: {expected}")
        if fix:
            parts.append(f"To fix: {fix}")
        super().__init__("\n".join(parts))

    def __reduce__(self):  # keeps the three parts when raised in a worker process
        return type(self), (self.received, self.expected, self.fix)

    @property
    def one_line(self) -> str:
        """The message on a single line, for a cell of `intake.csv`."""
        sentences = (" ".join(part.split()).rstrip(".") + "." for part in str(self).splitlines())
        return " ".join(sentences)


class DicomError(StenoscopeError):
    """A clip (DICOM file, image folder or video) that can't be read."""


class DatasetError(StenoscopeError):
    """Labels, pickles or folds that are missing, damaged or do not fit each other."""


class SettingsError(StenoscopeError):
    """A setting outside its range or unknown."""


class WeightsError(StenoscopeError):
    """Pretrained weights that can't be had or do not fit."""


class ClusterError(StenoscopeError):
    """A Dask cluster that does not answer, or whose machines see other files or run other code."""


class StorageError(StenoscopeError):
    """A file that can't be written: the disk is full, or the folder is not ours to write to."""


@contextlib.contextmanager
def writing(path: str | os.PathLike, only_full: bool = False) -> Iterator[None]:
    """Turn the failure to write `path` into a `StorageError` that names it.

    `only_full` is for a full disk only: where what may fail inside is more than the writing itself.
    """
    try:
        yield
    except Exception as problem:
        storage = not_written(path, problem, only_full)
        if storage is None:
            raise
        raise storage from problem


def not_written(
    path: str | os.PathLike, problem: BaseException, only_full: bool = False
) -> StorageError | None:
    """The `StorageError` that a failure amounts to; None if it is something else.

    Libraries raise errors of their own from that of the operating system, so the whole chain is looked at.
    """
    cause: BaseException | None = problem
    while cause is not None and not (isinstance(cause, OSError) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    full = cause is not None and cause.errno in _DISK_FULL
    if not full and (only_full or cause is None or cause.errno not in _NOT_WRITABLE):
        return None
    again = "make space and run the same command again; it continues from there."
    return StorageError(
        f"{os.fspath(path)} can't be written: {os.strerror(cause.errno)}.",
        "space on its disk" if full else "a folder that this user may write to",
        again if full else "change the permissions, or name another folder.",
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like a mistyped one, as the end of a sentence; empty if none is like it.

    Examples
    --------
    >>> nearest("epoch", ["epochs", "seed"])
    '; did you mean epochs?'
    """
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), names, 1)
    return f"; did you mean {names[found[0]]}?" if found else ""


def unknown_name(kind: str, name: str, known) -> SettingsError:
    """Error for a name that is not in a registry, listing the known ones.

    Examples
    --------
    >>> unknown_name("backbone", "resnet", ["resnet50", "vgg16"]).expected
    'one of: resnet50, vgg16'
    """
    return SettingsError(
        f"Unknown {kind} {name!r}{nearest(name, known) or '.'}",
        f"one of: {', '.join(sorted(known))}",
        f"choose one of these as the {kind}.",
    )
