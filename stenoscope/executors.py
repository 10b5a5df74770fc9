"""Where work runs: in this process, in several, or on a Dask cluster, behind one interface.

All three are a `concurrent.futures.Executor`. Results come back in the order of the inputs, so that outputs
do not depend on the number of workers.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator


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


def _start_worker() -> None:
    """Prepare a worker: one thread in native libraries, and a life that ends with its parent's."""
    import cv2

    cv2.setNumThreads(1)  # the workers are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)  # a killed parent can't tell its workers to stop

    threading.Thread(target=watch, daemon=True).start()


class WorkerPool(concurrent.futures.Executor):
    """Processes on this machine; those that a crash took are replaced.

    Parameters
    ----------
    workers : int
        Most processes at a time; they are started when there is work for them.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._pool = self._open()

    def _open(self) -> concurrent.futures.ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # fork is unsafe once native threads run
        return concurrent.futures.ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=_start_worker
        )

    def submit(self, fn, /, *args, **kwargs):
        """Queue a call; opens a new pool if the present one was broken by a crash."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except concurrent.futures.BrokenExecutor:
            self._pool.shutdown()
            self._pool = self._open()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        """End the processes."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def crashed(future: concurrent.futures.Future) -> bool:
    """Wait for a call and tell whether the process that ran it was killed, by a fault of native code say."""
    problem = future.exception()
    distributed = sys.modules.get("distributed")
    return isinstance(problem, concurrent.futures.BrokenExecutor) or (
        distributed is not None and isinstance(problem, distributed.KilledWorker)
    )


@contextlib.contextmanager
def executor(workers: int = 0, dask_scheduler: str | None = None) -> Iterator[concurrent.futures.Executor]:
    """Open the executor that the settings ask for.

    Parameters
    ----------
    workers : int
        Processes on this machine; 0 means one per available core, 1 means this process (which a crash of
        native code then ends).
    dask_scheduler : str or None
        Address of a running Dask scheduler (``tcp://host:8786``); wins over `workers`.
    """
    if dask_scheduler:
        from distributed import Client

        with Client(dask_scheduler, set_as_default=False) as client:
            yield client.get_executor()
        return
    if workers == 1:
        yield SerialExecutor()
        return
    pool = WorkerPool(workers or available_cores())
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)  # an interrupt does not wait for the whole queue
        raise
    pool.shutdown()


def map_ordered(
    pool: concurrent.futures.Executor, fn: Callable, items: Iterable, ahead: int = 32
) -> Iterator:
    """Yield ``(item, future)`` in the order of `items`, with at most `ahead` calls under way.

    Bounding the queue keeps memory constant however many items there are. The caller takes
    ``future.result()`` and so decides what an exception of one item means for the rest.

    A process that crashes takes all calls under way in a `WorkerPool` with it; each of them is tried once
    more, alone in a process, so that only the future of a call that crashes again is `crashed`.
    """
    waiting: deque = deque()
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
