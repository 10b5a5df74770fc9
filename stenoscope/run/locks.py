"""One run at a time in a folder, among the processes of one machine and of all that share the disk.

A run that writes to a folder first makes `.lock.json` there, which says whose it is: host, process, start.

Why that holds on a network file system, too: the file gets its name by `link`, which either makes the name or
fails because it exists, also over NFS, so two runs can't both have it and nobody ever sees half of it (the
answer to a `link` that was sent again can be wrong, therefore the number of links decides, as open(2) says).
Neither clocks nor the age of files nor locks of the file system itself enter: NFS and Lustre can lack those.

Whether a process still lives is known on its own machine only. What a dead one left there is taken over;
the lock of another machine is refused, with the command that removes it.
"""

import atexit
import contextlib
import hashlib
import json
import os
import platform
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stenoscope.errors import DatasetError, writing
from stenoscope.run.cli import say

LOCK = ".lock.json"
_ATTEMPTS = 5
_UNREADABLE: dict = {}
_held: set[Path] = set()


def hold(folder: str | os.PathLike) -> None:
    """Make `folder` this process's to write to, until `release`, the end of `released`, or its own end.

    A folder that this process holds already stays its own. A DatasetError if a run holds it that is under
    way, or may be; a StorageError if the folder can't be written to.
    """
    lock = Path(folder).resolve() / LOCK
    me = _this_process()
    with writing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):  # a lock can vanish, or change hands, between two looks at it
            if _make(lock, me):
                break
            owner = _read(lock)
            if owner == me:
                break
            if owner is None:
                continue
            if not _is_dead(owner, me):
                raise _refusal(lock, owner, me)
            if _take_over(lock, owner, me):
                say(f"{lock.parent}: taken over from process {owner['pid']}, which has ended.")
                break
        else:
            raise _refusal(lock, _UNREADABLE, me)
    _held.add(lock)


def release(folder: str | os.PathLike) -> None:
    """Let go of `folder`; nothing happens if this process does not hold it."""
    lock = Path(folder).resolve() / LOCK
    if lock in _held:
        _held.remove(lock)
        if _read(lock) == _this_process():  # not if someone removed it by hand and another run came
            lock.unlink(missing_ok=True)


def owner(folder: str | os.PathLike) -> dict | None:
    """Who holds `folder`, in a form to compare; None if nobody does or the lock can't be read."""
    return _read(Path(folder) / LOCK) or None


@contextlib.contextmanager
def released() -> Iterator[None]:
    """At the end, also by an error, let go of the folders that were taken meanwhile; also a decorator."""
    before = set(_held)
    try:
        yield
    finally:
        for lock in _held - before:
            release(lock.parent)


@atexit.register
def _release_all() -> None:
    for lock in set(_held):
        release(lock.parent)


def _this_process() -> dict:
    """What tells this process from all others, as far as the machine says."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())  # a container has process numbers of its own
    except OSError:
        space = ""
    machine = hashlib.sha256(f"{_text('/etc/machine-id')}\0{space}".encode()).hexdigest()[:16]
    pid = os.getpid()
    return {
        "host": platform.node(),
        "machine": machine,
        "boot": _text("/proc/sys/kernel/random/boot_id"),
        "pid": pid,
        "started": _started(pid),
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process of this machine started, to tell it from a later one of its number; None if it ended.

    Known on Linux only. Elsewhere None, and a lock that a killed process left is removed by hand.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if state in "ZX" else rest[18]  # field 22, starttime, in clock ticks since the boot


def _is_dead(owner: dict, me: dict) -> bool:
    """Whether the owner of a lock has ended for certain."""
    same_machine = (owner.get("host"), owner.get("machine")) == (me["host"], me["machine"])
    if not same_machine or owner["started"] is None:
        return False
    return owner["boot"] != me["boot"] or _started(owner["pid"]) != owner["started"]


def _make(lock: Path, me: dict) -> bool:
    """Make the lock with its content at once; False if there is one."""
    with _written(lock, me) as temporary:
        try:
            os.link(temporary, lock)
        except FileExistsError:
            return temporary.stat().st_nlink == 2
        except FileNotFoundError:  # the holder tidied up
            return False
        except OSError:  # no hard links on this file system (FAT, some shares)
            try:
                with lock.open("x", encoding="utf-8") as stream:
                    stream.write(temporary.read_text(encoding="utf-8"))
            except FileExistsError:
                return False
            except OSError:
                lock.unlink(missing_ok=True)
                raise
        return True


def _take_over(lock: Path, owner: dict, me: dict) -> bool:
    """Replace the lock of a process of this machine that has ended; False if another was faster."""
    import fcntl  # Unix; elsewhere no process is known to have ended

    with contextlib.suppress(FileNotFoundError), lock.open("rb") as stream:
        # Only processes of this machine get here, so a lock that the file system keeps locally is enough.
        fcntl.flock(stream, fcntl.LOCK_EX)
        if _read(lock) == owner:
            with _written(lock, me) as temporary:
                temporary.replace(lock)
            return True
    return False


@contextlib.contextmanager
def _written(lock: Path, content: dict) -> Iterator[Path]:
    """A file beside the lock that holds `content`, for as long as it is needed."""
    handle, name = tempfile.mkstemp(prefix=f"{lock.stem}.", suffix=lock.suffix, dir=lock.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)  # a colleague who is refused should see by whom
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _read(lock: Path) -> dict | None:
    """Content of a lock; None if there is none, `_UNREADABLE` if it can't be read."""
    try:
        owner = json.loads(lock.read_text(encoding="utf-8"))
        complete = {"host", "machine", "boot", "pid", "started"} <= owner.keys() and type(owner["pid"]) is int
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        return _UNREADABLE
    return owner if complete else _UNREADABLE


def _refusal(lock: Path, owner: dict, me: dict) -> DatasetError:
    who = f"Process {owner['pid']} on {owner['host']}" if owner else "Another process"
    known = owner and owner["started"] and all(owner[name] == me[name] for name in ("host", "machine"))
    fix = "wait until it has finished or end it, or name another folder."
    if not known:
        fix += f" If it has ended without tidying up, remove its lock with `rm {shlex.quote(str(lock))}`."
    return DatasetError(
        f"{who} is writing to {lock.parent}{' now' if known else ', or was when it ended'}.",
        "one run at a time in a folder",
        fix,
    )
