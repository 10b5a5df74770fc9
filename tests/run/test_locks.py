import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stenoscope.errors import DatasetError, StorageError
from stenoscope.run import locks

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

HOLDER = """
import sys
from stenoscope.run import locks
from stenoscope.errors import DatasetError
sys.stdin.readline()
try:
    locks.hold(sys.argv[1])
except DatasetError as problem:
    print("refused", problem.received.split()[1], flush=True)
else:
    print("held", flush=True)
sys.stdin.readline()
"""


def start(folder, root):
    """A process that tries to hold the folder at a line of input, says how it went, and ends at the next."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def ask(process):
    process.stdin.write("\n")
    process.stdin.flush()


def said(process):
    """The last word of a process; it may first tell of a lock that it took over."""
    for line in process.stdout:
        if line.startswith(("held", "refused")):
            return line.split()
    return []


def end(process):
    process.communicate("\n", timeout=60)


@pytest.fixture
def folder(tmp_path):
    yield tmp_path / "out"
    locks.release(tmp_path / "out")


def rewrite(folder, **changes):
    """Make the lock somebody else's."""
    owner = json.loads((folder / locks.LOCK).read_text())
    (folder / locks.LOCK).write_text(json.dumps({**owner, **changes}))


def test_a_folder_is_held_and_let_go(folder):
    locks.hold(folder)
    owner = json.loads((folder / ".lock.json").read_text())
    assert owner["pid"] == os.getpid() and os.listdir(folder) == [".lock.json"]  # noqa: PTH208
    locks.hold(folder)
    locks.release(folder)
    assert list(folder.iterdir()) == []
    locks.release(folder)


def test_an_error_lets_go_of_what_was_taken_meanwhile_only(tmp_path):
    locks.hold(tmp_path / "before")
    with pytest.raises(ValueError), locks.released():
        locks.hold(tmp_path / "a")
        raise ValueError
    assert list((tmp_path / "a").iterdir()) == [] and (tmp_path / "before" / locks.LOCK).exists()
    locks.release(tmp_path / "before")


@needs_proc
def test_one_of_many_processes_gets_the_folder_and_the_others_say_who_has_it(folder, root):
    """First a fresh folder, then one whose holder was killed: at no time do two have it."""
    for killed in (False, True):
        processes = [start(folder, root) for _ in range(6)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(ask, processes))
            answers = list(pool.map(said, processes))
        winners = [p for p, answer in zip(processes, answers, strict=True) if answer == ["held"]]
        assert len(winners) == 1, answers
        assert {tuple(answer) for answer in answers} == {("held",), ("refused", str(winners[0].pid))}
        if not killed:
            winners[0].kill()
            winners[0].communicate()
        for process in processes:
            if process.poll() is None:
                end(process)
    assert list(folder.iterdir()) == [], "a process that ends lets go"


@needs_proc
def test_the_lock_of_a_process_that_was_killed_is_taken_over_and_said_so(folder, root, capsys):
    process = start(folder, root)
    ask(process)
    assert said(process) == ["held"]
    with pytest.raises(DatasetError, match=f"Process {process.pid} on .* now") as caught:
        locks.hold(folder)
    assert "rm " not in caught.value.fix, "nobody should be told to remove a living process's lock"
    process.kill()
    process.communicate()
    locks.hold(folder)
    assert f"taken over from process {process.pid}" in " ".join(capsys.readouterr().out.split())
    assert json.loads((folder / locks.LOCK).read_text())["pid"] == os.getpid()


@needs_proc
@pytest.mark.parametrize("change", [{"started": "1"}, {"boot": "another"}])
def test_a_number_that_was_used_again_is_no_living_process(folder, change):
    locks.hold(folder)
    rewrite(folder, **change)
    locks.hold(folder)


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"machine": "another"}, {"started": None}])
def test_what_can_not_be_known_is_refused_with_the_command_that_removes_it(folder, change):
    locks.hold(folder)
    rewrite(folder, pid=99, boot="another", **change)
    with pytest.raises(DatasetError, match="Process 99 on ") as caught:
        locks.hold(folder)
    command = f"rm {folder / '.lock.json'}"
    assert command in caught.value.fix and change.get("host", "") in caught.value.received
    subprocess.run(command, shell=True, check=True)
    locks.hold(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_that_can_not_be_read_is_refused_too(folder, content):
    folder.mkdir()
    (folder / locks.LOCK).write_text(content)
    with pytest.raises(DatasetError, match="Another process") as caught:
        locks.hold(folder)
    assert "rm " in caught.value.fix
    (folder / locks.LOCK).unlink()


def test_without_hard_links_the_lock_is_made_all_the_same(folder, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    locks.hold(folder)
    owner = json.loads((folder / locks.LOCK).read_text())
    assert owner["pid"] == os.getpid()
    rewrite(folder, host="elsewhere")
    with pytest.raises(DatasetError, match="elsewhere"):
        locks.hold(folder)
    (folder / locks.LOCK).unlink()


def test_a_folder_that_can_not_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        locks.hold(tmp_path / "file" / "out")
