"""Steps 1 and 3 on a Dask scheduler and two workers, processes of this machine; one of them is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stenoscope.app.keyframes import make_keyframes
from stenoscope.errors import ClusterError, SettingsError
from stenoscope.run import cluster, locks
from stenoscope.run.cluster import Run, UnseenError, about_this_process, await_file, connect
from stenoscope.run.executors import concurrency, executor
from stenoscope.settings import KeyframeSettings
from tests.imaging.make_dicom import write_repeats
from tests.journey import ROOT, SMOKE, Workspace

SECONDS = 120
VARIES = {"manifest.json", "history.csv", "SHA256SUMS", "report.html", "model.keras", "config.yaml"}
"""Files that hold paths, dates or durations."""


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, folder: Path):
        self.folder, self.workers, self._processes = folder, [], []
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")

    def _start(self, *command: str) -> subprocess.Popen:
        with (self.folder / f"{len(self._processes)}.log").open("w") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def work(self, count: int = 2) -> None:
        """Have this many workers, which are not started again when they die."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        common = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        while len(self.workers) < count:
            self.workers.append(self._start("worker", self.address, *common))
        with connect(self.address) as client:
            client.wait_for_workers(count, timeout=SECONDS)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.end()


def run_and_kill(workspace: Workspace, dask: Cluster, when, *command: str) -> str:
    """Run a script on two workers and kill one of them at a moment."""
    dask.work()
    process = workspace.start(*command, "--executor", "dask", "--dask-scheduler", dask.address)
    deadline = time.monotonic() + SECONDS
    while not when():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    os.kill(dask.workers[0].pid, signal.SIGKILL)
    out, err = process.communicate(timeout=2 * SECONDS)
    assert process.returncode == 0, out + err
    return out


def same_files(workspace: Workspace, one: str, other: str) -> None:
    files, expected = workspace.files(one), workspace.files(other)
    assert set(files) == {name for name in expected if not name.startswith("predict/")}
    differ = [name for name in files if files[name] != expected[name]]
    assert {name.rpartition("/")[2] for name in differ} <= VARIES, differ


def test_step_one_outlives_a_worker(prepared, dask, tmp_path):
    output = tmp_path / "keyframes"
    begun = lambda: len(list(output.glob(".work/*.pickle"))) >= 3  # noqa: E731
    run_and_kill(prepared, dask, begun, "pickle_generator.py", "--output", str(output))
    same_files(prepared, str(output), "data/keyframes")


def test_repeated_clips_are_the_same_on_dask(dask, tmp_path):
    dask.work()
    found = []
    common = {"input": str(write_repeats(tmp_path / "in")), "method": "midpoint", "sheets": False}
    for output, scheduler in ((tmp_path / "here", None), (tmp_path / "there", dask.address)):
        place = {"output": str(output), "pseudonym_key": str(tmp_path / "key"), "dask_scheduler": scheduler}
        make_keyframes(KeyframeSettings(**common, **place, workers=1))
        manifest = json.loads((output / "manifest.json").read_text())
        found.append(((output / "intake.csv").read_bytes(), manifest["repeats"]))
    assert found[0] == found[1] and len(found[0][1]) == 2


def test_step_three_outlives_a_worker(journey, dask, tmp_path):
    output = tmp_path / "demo"
    begun = lambda: list(output.glob(".work/*/fold_*/checkpoint.npz"))  # noqa: E731
    command = (*SMOKE, "--experiment", str(output))
    said = run_and_kill(journey, dask, begun, *command)
    assert [said.count(f"fold {number}: ") for number in range(1, 6)] == [1] * 5
    same_files(journey, str(output), "results/demo")
    assert "dask_scheduler: null" in (output / "config.yaml").read_text(), "it can be repeated anywhere"


def test_other_code_on_a_worker_is_told(monkeypatch, dask):
    dask.work(1)
    mine = {**about_this_process(), "numpy": "0.1"}
    monkeypatch.setattr(cluster, "about_this_process", lambda: mine)
    with executor(dask_scheduler=dask.address) as pool, pytest.raises(ClusterError) as caught:
        pool.submit(len, "abc").result(SECONDS)
    assert f"on {socket.gethostname()}" in str(caught.value) and "(the run: 0.1)" in str(caught.value)


def test_a_scheduler_without_workers_is_told_at_once(tmp_path):
    own = Cluster(tmp_path)
    try:
        with (
            pytest.raises(ClusterError, match=f"{own.address} has no workers") as caught,
            executor(dask_scheduler=own.address),
        ):
            pass
        assert "dask worker" in caught.value.fix
        with pytest.raises(ClusterError, match="has no workers"):
            concurrency(0, own.address)
    finally:
        own.end()


def test_a_scheduler_that_ends_is_told(tmp_path):
    own = Cluster(tmp_path)
    try:
        own.work(1)
        with pytest.raises(ClusterError, match="stopped"), executor(dask_scheduler=own.address) as pool:
            future = pool.submit(time.sleep, SECONDS)
            own.end()
            future.result(SECONDS)
    finally:
        own.end()


@pytest.mark.parametrize("listens", [False, True])
def test_no_scheduler_is_told_in_time(monkeypatch, listens):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        if not listens:
            silent.close()
        with pytest.raises(ClusterError, match=address), executor(dask_scheduler=address):
            pass


@pytest.mark.parametrize(
    "kind, address", [("dask", None), ("serial", "tcp://h:1"), ("processes", "tcp://h:1")]
)
def test_executor_and_address_must_agree(kind, address):
    with pytest.raises(SettingsError, match="dask_scheduler"), executor(dask_scheduler=address, kind=kind):
        pass


def test_threads_are_shared_out():
    assert concurrency(4, None, threads=8) == (4, 2)
    assert concurrency(3, None, threads=2) == (3, 1)
    assert concurrency(4, None, "serial", threads=8) == (1, 8)


def test_a_machine_that_does_not_see_the_folder_says_which_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "PATIENCE", 0.0)
    locks.hold(tmp_path / "out")
    run = Run.of(tmp_path / "out")
    run.check()
    elsewhere = replace(run, folder=tmp_path / "not mounted")
    with pytest.raises(UnseenError, match=f"{socket.gethostname()} does not see .*not mounted"):
        elsewhere.check()
    with pytest.raises(UnseenError, match="missing"):
        await_file(tmp_path / "missing")
    locks.release(tmp_path / "out")
    with pytest.raises(ClusterError, match=f"process {os.getpid()} on .* no longer holds"):
        run.check()
