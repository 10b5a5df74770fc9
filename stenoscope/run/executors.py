"""Where work runs: in this process, in several, or on a Dask cluster, behind one interface.

All three are a `concurrent.futures.Executor`. Results come back in the order of the inputs, so that outputs
do not depend on the number of workers.
"""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from stenoscope.errors import ClusterError, SettingsError
from stenoscope.run import interrupts
from stenoscope.run.cluster import DaskPool, connect


class SerialExecutor(concurrent.futures.Executor):
    """Runs each call at once, in this process: what to use under a debugger."""

    def submit(self, fn, /, *args, **kwargs):
        """Run `fn` now and return its finished future."""
        future = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


def available_cores() -> int:
    """Cores this process may use (a container or `taskset` can allow fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def accelerators() -> list[str]:
    """NVIDIA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    try:
        answer = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number in range(answer.stdout.count("GPU "))]


def _start_worker(started, devices: Sequence[str]) -> None:
    """Prepare a worker: one thread in native libraries, and a life that ends with its parent's.

    With `devices`, which it shares out by counting in `started`, it uses one of them.
    """
    if devices:
        with started.get_lock():
            os.environ["CUDA_VISIBLE_DEVICES"] = devices[started.value % len(devices)]
            started.value += 1
    import cv2

    cv2.setNumThreads(1)  # the workers are the parallelism

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)  # a killed parent can't tell its workers to stop

    threading.Thread(target=watch, daemon=True).start()


class WorkerPool(concurrent.futures.Executor):
    """At most `workers` processes on this machine; those that a crash took are replaced.

    They are started when there is work for them. With `devices`, which are accelerators, each process uses
    one.
    """

    def __init__(self, workers: int, devices: Sequence[str] = ()):
        self.workers, self._devices = workers, devices
        self._pool = self._open()

    def _open(self) -> concurrent.futures.ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # fork is unsafe once native threads run
        return concurrent.futures.ProcessPoolExecutor(
            self.workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(context.Value("i", 0), self._devices),
        )

    def submit(self, fn, /, *args, **kwargs):
        """Queue a call; opens a new pool if the present one was broken by a crash."""
        with interrupts.held_back():  # for the processes that this starts
            try:
                return self._pool.submit(fn, *args, **kwargs)
            except concurrent.futures.BrokenExecutor:
                self._pool.shutdown()
                self._pool = self._open()
                return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        """End the processes."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)


@functools.cache
def single_worker() -> WorkerPool:
    """One process beside this one, started once and kept until this one ends."""
    return WorkerPool(1)


def crashed(future: concurrent.futures.Future) -> bool:
    """Wait for a call and tell whether the process that ran it was killed, by a fault of native code say."""
    problem = future.exception()
    distributed = sys.modules.get("distributed")
    return isinstance(problem, concurrent.futures.BrokenExecutor) or (
        distributed is not None and isinstance(problem, distributed.KilledWorker)
    )


@contextlib.contextmanager
def executor(
    workers: int = 0,
    dask_scheduler: str | None = None,
    isolated: bool = False,
    kind: str = "auto",
    accelerated: bool = False,
    abandon: bool = False,
) -> Iterator[concurrent.futures.Executor]:
    """Open the executor that the settings ask for.

    Parameters
    ----------
    workers : int
        Processes on this machine; 0 means one per available core, 1 means this process.
    dask_scheduler : str or None
        Address of a running Dask scheduler (``tcp://host:8786``).
    isolated : bool
        One worker is a process of its own, too: for calls that run native decoders on files of others, whose
        crash must not end this process.
    kind : {"auto", "serial", "processes", "dask"}
        ``auto``: the scheduler if there is one, else `workers`. ``processes``: never this process.
    accelerated : bool
        Each process uses one of the accelerators, if there are any.
    abandon : bool
        An error or an interrupt ends the processes at once: for calls that take minutes.

    Raises
    ------
    SettingsError
        If the parameters contradict each other, or there are fewer accelerators than processes.
    ClusterError
        If the scheduler does not answer or has no workers.
    """
    if (kind == "dask") != bool(dask_scheduler) and (kind != "auto"):
        raise SettingsError(
            f"executor is {kind!r} and dask_scheduler is {dask_scheduler!r}.",
            "an address with 'dask', and no address with the others",
            "give --dask_scheduler tcp://HOST:8786 (`dask scheduler` prints it), or leave one of them out.",
        )
    if dask_scheduler:
        with connect(dask_scheduler) as client:
            _dask_workers(client, dask_scheduler)
            yield DaskPool(client, dask_scheduler)
        return
    workers = workers or available_cores()
    if kind == "serial" or (kind == "auto" and workers == 1 and not isolated):
        yield SerialExecutor()
        return
    devices = accelerators() if accelerated and workers > 1 else []
    if devices and len(devices) < workers:
        raise SettingsError(
            f"{workers} workers and {len(devices)} accelerators.",
            "an accelerator for each worker",
            f"give --workers {len(devices)}, or CUDA_VISIBLE_DEVICES= to use none.",
        )
    pool = single_worker() if workers == 1 else WorkerPool(workers, devices)
    try:
        yield pool
    except BaseException:
        if abandon:
            for process in multiprocessing.active_children():
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)  # an interrupt does not wait for the whole queue
        if workers == 1:
            single_worker.cache_clear()
        raise
    if workers > 1:
        pool.shutdown()


def concurrency(
    workers: int, dask_scheduler: str | None, kind: str = "auto", threads: int = 0
) -> tuple[int, int]:
    """How many tasks the settings let run at a time, and the threads of each; parameters as of `executor`.

    `threads` are those of a Dask worker's task, or of all local workers together; 0 = those that a Dask
    worker was started with (`--nthreads`), one per available core. A ClusterError if the scheduler does not
    answer or has no workers.
    """
    if dask_scheduler:
        with connect(dask_scheduler) as client:
            found = _dask_workers(client, dask_scheduler)
        return len(found), threads or min(found.values())
    cores = threads or available_cores()
    at_once = 1 if kind == "serial" else workers or available_cores()
    return at_once, max(1, cores // at_once)


def _dask_workers(client, address: str) -> dict[str, int]:
    """Threads of each worker; without any, a task would wait for ever."""
    found = client.nthreads()
    if not found:
        raise ClusterError(
            f"The Dask scheduler at {address} has no workers.",
            "one or more",
            "start them with `dask worker ADDRESS --nthreads 1`, and wait until they are there.",
        )
    return found


def map_ordered(pool: concurrent.futures.Executor, fn: Callable, items: Iterable, ahead: int = 0) -> Iterator:
    """Yield ``(item, future)`` in the order of `items`, with at most `ahead` calls under way.

    With 0 these are four a worker, and 32 at least. Bounding the queue keeps memory constant however many
    items there are. The caller takes ``future.result()`` and so decides what an exception of one item means
    for the rest.

    A process that crashes takes all calls under way in a `WorkerPool` with it; each of them is tried once
    more, alone in a process, so that only the future of a call that crashes again is `crashed`.
    """
    waiting: deque = deque()
    ahead = ahead or max(32, 4 * getattr(pool, "workers", 1))
    with contextlib.ExitStack() as stack:
        alone: WorkerPool | None = None

        def first() -> tuple:
            nonlocal alone
            item, future = waiting.popleft()
            if isinstance(pool, WorkerPool) and crashed(future):
                alone = alone or stack.enter_context(WorkerPool(1))
                future = alone.submit(fn, item)
                crashed(future)  # waits: the next call must not share the process
            return item, future

        for item in items:
            waiting.append((item, pool.submit(fn, item)))
            if isinstance(pool, SerialExecutor) or len(waiting) >= ahead:
                yield first()
        while waiting:
            yield first()
