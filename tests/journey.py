"""The scripts as a user runs them: by the command line, in a folder of one's own."""

import contextlib
import fcntl
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

from stenoscope.run import interrupts

ROOT = Path(__file__).resolve().parent.parent
PHANTOM = ("-m", "stenoscope.phantom")

SMALL = {"image_size": 32, "cut": "block0_project_bn"}
"""What makes the network of `--preset smoke` so small that five folds take seconds."""
SMOKE = ("main.py", "--preset", "smoke", "--threads", "1", "--image_size", "32", "--cut", SMALL["cut"])


def _heed_interrupts() -> None:
    """A suite started in a shell's background inherits ignored interrupts and would pass them on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _copy_new(source: str, target: str) -> None:
    """Copy a file; one that an earlier copy made stays as it is."""
    if not Path(target).exists():
        shutil.copy2(source, target)


class Workspace:
    """A folder in which scripts run; their defaults (data/, results/) lie below it.

    Attributes
    ----------
    folder : Path
    shared : Path or None
        Folder of all the processes that share the tests; what one of them has built there, the others copy.
    said : dict of str to str
        Standard output of each script that ran, by its command line.
    """

    def __init__(self, folder: Path, shared: Path | None = None):
        self.folder, self.shared = folder, shared
        self.said: dict[str, str] = {}

    def start(self, *command: str) -> subprocess.Popen:
        """Start a script (or a module, by ``*PHANTOM``) and do not wait for it."""
        arguments = [
            str(ROOT / item) if item.endswith(".py") and item == Path(item).name else item for item in command
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=_heed_interrupts,
        )  # fmt: skip

    def run(self, *command: str, expect: int = 0) -> str:
        """Run a script to its end and return what it printed, errors included."""
        process = self.start(*command)
        out, err = process.communicate(timeout=400)
        assert process.returncode == expect, f"{command} ended with {process.returncode}:\n{out}\n{err}"
        self.said[" ".join(command)] = out
        return out + err

    def call(self, *command: str, expect: int = 0) -> str:
        """Run a script within this process, which costs no imports; returns what it printed."""
        said = io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            mock.patch.object(sys, "argv", list(command)),
            mock.patch.dict(os.environ, COLUMNS="200"),
            mock.patch.object(interrupts, "install", lambda: None),
        ):
            try:
                runpy.run_path(str(ROOT / command[0]), run_name="__main__")
                status = 0
            except SystemExit as ended:
                status = ended.code or 0
        assert status == expect, f"{command} ended with {status}:\n{said.getvalue()}"
        return said.getvalue()

    def build(
        self, name: str, *commands: tuple[str, ...], after_copy: Sequence[tuple[str, ...]] = ()
    ) -> None:
        """Run some scripts, or copy what they made in another process and run what a copy needs."""
        if self.shared is None:
            for command in commands:
                self.run(*command)
            return
        built = self.shared / f"built-{name}"
        with (self.shared / f"built-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not built.exists():
                for command in commands:
                    self.run(*command)
                unfinished = built.with_suffix(".part")
                shutil.copytree(self.folder, unfinished / "folder", symlinks=True)
                (unfinished / "said.json").write_text(json.dumps(self.said))
                unfinished.rename(built)
                return
        shutil.copytree(built / "folder", self.folder, dirs_exist_ok=True, copy_function=_copy_new)
        for command in after_copy:
            self.run(*command)
        self.said |= json.loads((built / "said.json").read_text())

    def interrupt(self, when: Callable[[], bool], by: signal.Signals, *command: str) -> int:
        """Start a script, send it a signal once `when()` holds, and return its exit status."""
        process = self.start(*command)
        deadline = time.monotonic() + 200
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the moment to interrupt never came"
            time.sleep(0.02)
        process.send_signal(by)
        process.communicate(timeout=60)
        return process.returncode

    def files(self, folder: str) -> dict[str, bytes]:
        """All files below a folder, by their path in it."""
        root = self.folder / folder
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
