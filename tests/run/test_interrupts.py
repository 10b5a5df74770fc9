"""Ctrl-C at any moment: one sentence, status 130, and no traceback of this process or of its workers."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from stenoscope.run.interrupts import TEXT
from tests.journey import PHANTOM, ROOT

PRESS_AT_IMPORT = """
import os, signal, sys

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["PRESS_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
"""


def start(folder, *command, **environment) -> subprocess.Popen:
    """A script with a process group of its own, as a terminal's Ctrl-C meets it."""
    paths = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, *(str(ROOT / item) if item.endswith(".py") else item for item in command)],
        cwd=folder, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def check(process: subprocess.Popen) -> None:
    out, err = process.communicate(timeout=200)
    said = [line for line in err.splitlines() if not line.startswith("simulating clips: ")]
    assert process.returncode == 130 and said == [TEXT], (process.returncode, out, err)


@pytest.mark.parametrize(
    "module",
    [
        "stenoscope.run.arguments",
        "stenoscope.presets",
        "jsonargparse",
        "yaml",
        "stenoscope.app.keyframes",
        "cv2",
    ],
)
def test_while_it_imports_or_reads_its_arguments(module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(PRESS_AT_IMPORT)
    check(start(tmp_path, "pickle_generator.py", "nowhere", PRESS_AT=module))


def test_one_that_is_never_pressed_ends_as_usual(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(PRESS_AT_IMPORT)
    process = start(tmp_path, "pickle_generator.py", "nowhere", PRESS_AT="never")
    assert "nowhere does not exist" in process.communicate(timeout=200)[1] and process.returncode == 2


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.parametrize("number", range(3))
def test_while_workers_start_or_work(tmp_path, number, presses):
    process = start(tmp_path, *PHANTOM, "--patients", "500", "--workers", "2", "--output", "phantom")
    while not (tmp_path / "phantom" / ".lock.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(random.Random(10 * number + presses).uniform(0, 2))
    for _ in range(presses):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
        if process.poll() is not None:
            break
    check(process)


def test_an_interrupt_that_a_callback_swallows_comes_again(tmp_path):
    (tmp_path / "swallows.py").write_text(
        "import signal, time\n"
        "from stenoscope.run import interrupts\n"
        "interrupts.install()\n"
        "from stenoscope.run.cli import run\n"
        "class Noisy:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "def stage():\n"
        "    Noisy()\n"
        "    time.sleep(60)\n"
        "raise SystemExit(run(stage))\n"
    )
    process = start(tmp_path, str(tmp_path / "swallows.py"))
    check(process)


def test_what_a_library_makes_of_an_interrupt_is_one(tmp_path):
    (tmp_path / "turns.py").write_text(
        "import signal\n"
        "from stenoscope.run import interrupts\n"
        "interrupts.install()\n"
        "from stenoscope.run.cli import run\n"
        "def stage():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt as problem:\n"
        "        raise ValueError('initialisation failed') from problem\n"
        "raise SystemExit(run(stage))\n"
    )
    check(start(tmp_path, str(tmp_path / "turns.py")))
