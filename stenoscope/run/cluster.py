"""A Dask cluster as an executor, and the file system that its machines must share.

Only functions, paths and settings travel. A worker opens what it needs itself and writes what it makes where
the run will look for it, so all machines must see the folders under the same paths; a task checks that by the
lock of the run's output folder (see `locks`), which also keeps what an abandoned run left on a worker from
writing into the next run's folder.
"""

import concurrent.futures
import functools
import hashlib
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stenoscope.errors import ClusterError
from stenoscope.run import locks, provenance

CONNECT_SECONDS = 20.0
"""How long a scheduler may take to answer."""

PATIENCE = 65.0
"""How long, in seconds, a file of another machine may stay out of sight: NFS keeps names for up to 60 s."""

_POLL = 0.2
_HOW = (
    "start one with `dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`, and give the "
    "address that the scheduler prints with --dask_scheduler."
)
_NO_SCHEDULER = (OSError, ValueError, MemoryError, EOFError, TypeError)  # what other services' answers raise


class UnseenError(ClusterError):
    """A path that a machine of the cluster does not see."""

    @classmethod
    def of(cls, path: Path) -> "UnseenError":
        """The error of this machine."""
        return cls(
            f"{platform.node()} does not see {path}.",
            "one file system that all machines of the cluster share, under the same paths",
            "put input and output on it, mount it on that machine, or leave the machine out.",
        )


class DaskPool(concurrent.futures.Executor):
    """The workers of a Dask scheduler at `address`, as the user gave it.

    A task that a dying worker takes with it is given to another one, up to the scheduler's
    `distributed.scheduler.allowed-failures`.
    """

    def __init__(self, client, address: str):
        self._client, self._address = client, address
        self._executor = client.get_executor(pure=False)

    @property
    def workers(self) -> int:
        """Threads that the present workers lend to tasks."""
        return sum(self._client.nthreads().values())

    def submit(self, fn, /, *args, **kwargs):
        """Queue a call; it fails on a worker that runs another code or other packages than this process."""
        ours: concurrent.futures.Future = concurrent.futures.Future()
        theirs = self._executor.submit(_on_worker, about_this_process(), fn, *args, **kwargs)
        theirs.add_done_callback(functools.partial(self._pass_on, ours))
        return ours

    def _pass_on(self, ours: concurrent.futures.Future, theirs: concurrent.futures.Future) -> None:
        if theirs.cancelled():
            lost = f"The Dask scheduler at {self._address} stopped, or lost a task."
            fix = "start it again and run the same command: what is done is kept."
            ours.set_exception(ClusterError(lost, "a scheduler that lives as long as the run", fix))
        elif problem := theirs.exception():
            ours.set_exception(problem)
        else:
            ours.set_result(theirs.result())

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Let go of the tasks; those under way on a worker end by themselves."""
        self._executor.shutdown(wait=wait)


@contextmanager
def connect(address: str) -> Iterator:
    """Yield a `distributed.Client` of the scheduler at `address` (``tcp://host:8786``).

    A ClusterError if no scheduler answers there within `CONNECT_SECONDS`.
    """
    from distributed import Client

    answer: list = []

    def try_to() -> None:
        try:
            answer.append(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except _NO_SCHEDULER as problem:
            answer.append(problem)

    # In a thread, because a service that takes the connection and says nothing is waited for without end.
    thread = threading.Thread(target=try_to, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 2)
    if not answer or isinstance(answer[0], _NO_SCHEDULER):
        why = answer[0] if answer else f"no answer in {CONNECT_SECONDS:.0f} s"
        raise ClusterError(f"No Dask scheduler at {address}: {why}.", "a running scheduler", _HOW)
    with answer[0] as client:
        yield client


def _on_worker(expected: dict[str, str], fn, /, *args, **kwargs):
    """Call `fn` on a worker that is what the run expects."""
    here = about_this_process()
    if here != expected:
        names = [name for name in sorted(here | expected) if here.get(name) != expected.get(name)]
        differ = ", ".join(f"{n} {here.get(n, 'none')} (the run: {expected.get(n, 'none')})" for n in names)
        raise ClusterError(
            f"The Dask worker on {platform.node()} has {differ}.",
            "the same code and packages everywhere, otherwise results would depend on the worker",
            "start all workers in the same checkout and environment, and restart them after a change.",
        )
    return fn(*args, **kwargs)


@functools.cache
def about_this_process() -> dict[str, str]:
    """Versions of Python and the packages that can change a result, and a hash of this program's code."""
    found = {name: version for name, version in provenance.versions().items() if name != "platform"}
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return {**found, "code": digest.hexdigest()[:12]}


@dataclass(frozen=True)
class Run:
    """The run that a task belongs to, known by the lock of its output folder."""

    folder: Path  # absolute
    owner: dict = field(hash=False)

    @classmethod
    def of(cls, folder: str | Path) -> "Run":
        """The run of this process, which holds `folder`."""
        return cls(Path(folder).resolve(), locks.owner(folder))

    def check(self) -> None:
        """Make sure, on whatever machine, that the run's folder is in sight and still the run's.

        A ClusterError if it is not, after `PATIENCE`.
        """
        if _wait(lambda: locks.owner(self.folder) == self.owner):
            return
        if not self.folder.is_dir():
            raise UnseenError.of(self.folder)
        raise ClusterError(
            f"The run of process {self.owner['pid']} on {self.owner['host']} no longer holds {self.folder}, "
            f"as seen from {platform.node()}: it ended, or this machine sees another folder under that name.",
            "one file system that all machines share, and a run that waits for its workers",
            "run the same command again from a folder that all workers see under the same path.",
        )


def await_file(path: Path) -> None:
    """Wait until a file that another process has written is in sight; an UnseenError after `PATIENCE`."""
    if not _wait(path.exists):
        raise UnseenError.of(path)


def _wait(condition) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
