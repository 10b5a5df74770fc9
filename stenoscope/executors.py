"""Where work runs: in this process, in several, or on a Dask cluster, behind one interface.

All three are a `concurrent.futures.Executor`. Results come back in the order of the inputs, so that outputs
do not depend on the number of workers.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
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


def _one_thread() -> None:
    """Keep native libraries of a worker to one thread: the workers are the parallelism."""
    import cv2

    cv2.setNumThreads(1)


@contextlib.contextmanager
def executor(workers: int = 0, dask_scheduler: str | None = None) -> Iterator[concurrent.futures.Executor]:
    """Open the executor that the settings ask for.

    Parameters
    ----------
    workers : int
        Processes on this machine; 0 means one per available core, 1 means this process.
    dask_scheduler : str or None
        Address of a running Dask scheduler (``tcp://host:8786``); wins over `workers`.
    """
    if dask_scheduler:
        from distributed import Client

        with Client(dask_scheduler, set_as_default=False) as client:
            yield client.get_executor()
        return
    workers = workers or available_cores()
    if workers == 1:
        yield SerialExecutor()
        return
    context = multiprocessing.get_context("spawn")  # fork is unsafe once native threads run
    pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread)
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
    """
    waiting: deque = deque()
    for item in items:
        waiting.append((item, pool.submit(fn, item)))
        if isinstance(pool, SerialExecutor) or len(waiting) >= ahead:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()
