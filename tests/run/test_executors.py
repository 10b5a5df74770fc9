"""Executors: the same results in the same order wherever they run, and what a crash costs."""

import os
import signal
import subprocess
import sys
import time

import pytest

from stenoscope.errors import SettingsError
from stenoscope.run.executors import (
    SerialExecutor,
    WorkerPool,
    available_cores,
    crashed,
    executor,
    map_ordered,
)


def double(number: int) -> int:
    if number == 13:
        raise ValueError("unlucky")
    return 2 * number


def fragile(number: int) -> int:
    """Dies like a decoder that writes past its buffer, for one item."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return 2 * number


def once(marker: str) -> str:
    """Dies the first time it is called with a marker that ends in 'first'."""
    if marker.endswith("first") and not os.path.exists(marker):  # noqa: PTH110
        os.close(os.open(marker, os.O_CREAT))
        os.kill(os.getpid(), signal.SIGKILL)
    return marker


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_errors_with_their_item(workers):
    numbers = [5, 13, 4, 1]
    with executor(workers) as pool:
        assert isinstance(pool, SerialExecutor if workers == 1 else WorkerPool)
        results = [
            (item, future.exception() or future.result())
            for item, future in map_ordered(pool, double, numbers)
        ]
    assert [item for item, _ in results] == numbers
    assert [str(result) for _, result in results] == ["10", "unlucky", "8", "2"]


def test_dask_gives_the_same():
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        executor(dask_scheduler=cluster.scheduler_address) as pool,
    ):
        assert [future.result() for _, future in map_ordered(pool, double, range(5))] == [0, 2, 4, 6, 8]


def test_serial_work_is_done_when_it_is_asked_for():
    asked = []

    def items():
        for number in range(3):
            asked.append(number)
            yield number

    results = map_ordered(SerialExecutor(), double, items())
    assert next(results)[1].result() == 0 and asked == [0]


def test_a_crash_costs_one_item():
    with executor(2) as pool:
        results = [
            (item, crashed(future) or future.result())
            for item, future in map_ordered(pool, fragile, range(8), ahead=4)
        ]
    assert results == [(number, True if number == 3 else 2 * number) for number in range(8)]


def test_one_isolated_worker_is_a_process_of_its_own_that_is_kept():
    processes = []
    for _ in range(2):
        with executor(1, isolated=True) as pool:
            processes.append(pool.submit(os.getpid).result())
    assert processes[0] == processes[1] != os.getpid()
    with executor(1, isolated=True) as pool:
        results = [crashed(future) or future.result() for _, future in map_ordered(pool, fragile, range(5))]
    assert results == [0, 2, 4, True, 8]
    with pytest.raises(KeyboardInterrupt), executor(1, isolated=True):
        raise KeyboardInterrupt
    with executor(1, isolated=True) as pool:
        assert pool.submit(double, 4).result() == 8


def test_a_process_that_was_killed_once_is_forgiven(tmp_path):
    markers = [str(tmp_path / name) for name in ("a", "first", "b")]
    with executor(2) as pool:
        assert [future.result() for _, future in map_ordered(pool, once, markers)] == markers


def test_workers_end_with_a_killed_parent(tmp_path):
    code = (
        "import os, signal, time\n"
        "from stenoscope.run.executors import WorkerPool\n"
        "if __name__ == '__main__':\n"
        "    pool = WorkerPool(1)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False
    )
    worker = int(done.stdout)
    deadline = time.monotonic() + 20
    while _alive(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
        return stream.read().rpartition(")")[2].split()[0] != "Z"


def own_accelerator(_) -> str:
    time.sleep(0.3)  # so that the next call goes to the other process
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_each_process_has_an_accelerator_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with executor(2, accelerated=True) as pool:
        pool.submit(time.sleep, 0.1), pool.submit(time.sleep, 0.1)
        found = [future.result() for _, future in map_ordered(pool, own_accelerator, range(4))]
    assert set(found) == {"3", "5"}
    with pytest.raises(SettingsError, match="3 workers and 2 accelerators"), executor(3, accelerated=True):
        pass


def test_cores_are_those_this_process_may_use():
    assert 1 <= available_cores() <= os.cpu_count()
