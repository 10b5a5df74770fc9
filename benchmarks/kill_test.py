"""Disturb the steps and see that nothing is lost: each must end in the bytes of an undisturbed run.

    python benchmarks/kill_test.py                      # everything; 50 kills
    python benchmarks/kill_test.py --only kill --kills 10 --steps 3 -- --preset cpu --epochs 2

kill   SIGKILL, which lets nothing be tidied up, at random moments of steps 1, 2 and 3; then the same command.
disk   Each step, and the simulated cohort, writes to a small disk (a tmpfs; needs root) that fills up. That
       must be one error that names the file; after space is made, the same command goes on.
twice  A second run in the folder of one that is under way must refuse with its process and host, and not
       disturb it.

What follows ``--`` goes to `main.py`. Ends with status 1 if a byte differs or an answer is another.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
SMOKE = ("--preset", "smoke", "--epochs", "2", "--threads", "1")
COHORT = ("-m", "stenoscope.phantom", "--patients", "12", "--output")
TUNING = (
    "hyper_parameter_kfold.py", "--preset", "smoke", "--trials", "1", "--inner-folds", "2", "--threads", "1",
    "--study",
)  # fmt: skip
ORDER = ("cohort", "1", "2", "3")
PATIENCE = 600
DIFFERS = re.compile(
    r"manifest\.json|SHA256SUMS|config\.yaml|history\.csv|history\.png|report\.html|.*\.md|intake\.html"
)
"""Files that hold paths, dates or durations. Of `model.keras` the weights are compared."""


@dataclass(frozen=True)
class Step:
    """A command whose last flag takes the folder that it writes."""

    name: str
    command: tuple[str, ...]


@dataclass
class Bench:
    """A folder with an undisturbed run of every step, whose inputs the disturbed ones read.

    Attributes
    ----------
    folder : Path
        Working directory of all commands.
    flags : sequence of str
        Of `main.py`.
    seconds : dict of str to float
        How long each step worked undisturbed, from the moment that it took its folder.
    """

    folder: Path
    flags: Sequence[str] = SMOKE
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        """Where disturbed runs write to."""
        return self.folder / "disturbed"

    @property
    def steps(self) -> dict[str, Step]:
        """The cohort and steps 1 to 3, by name."""
        commands = {
            "cohort": COHORT,
            "1": ("pickle_generator.py", "--workers", "2", "--output"),
            "2": ("data_loader_kfold.py", "--output"),
            "3": ("main.py", *self.flags, "--experiment"),
        }
        return {name: Step(name, command) for name, command in commands.items()}

    def whole(self, name: str) -> Path:
        """Output of a step's undisturbed run."""
        places = {"cohort": "data/phantom", "1": "data/keyframes", "2": "data/folds", "3": "results/demo"}
        return self.folder / places[name]

    def prepare(self) -> None:
        """Run every step undisturbed, where that was not done before."""
        kept = self.folder / "seconds.json"
        if kept.exists():
            self.seconds = json.loads(kept.read_text())
        for step in self.steps.values():
            if step.name not in self.seconds:
                process = self.start(step, self.whole(step.name))
                await_work(process, self.whole(step.name))
                begin = time.monotonic()
                finish(step, process)
                self.seconds[step.name] = time.monotonic() - begin
                kept.write_text(json.dumps(self.seconds))

    def start(self, step: Step, output: Path) -> subprocess.Popen:
        """Start a step in a process of its own."""
        command = [str(ROOT / word) if word.endswith(".py") else word for word in step.command]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
        return subprocess.Popen(
            [sys.executable, *command, str(output)],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, step: Step, output: Path, expect: int = 0) -> str:
        """Run a step to its end and return what it said."""
        return finish(step, self.start(step, output), expect)

    def compare(self, name: str, output: Path) -> int:
        """Number of files of a step's output that are those of the undisturbed run; raises if one is not."""
        expected, found = contents(self.whole(name)), contents(output)
        wrong = sorted(
            file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file)
        )
        if wrong:
            raise LossError(f"step {name}: {len(wrong)} files of {output} differ, {', '.join(wrong[:5])}")
        return len(found)


class LossError(Exception):
    """A disturbed run that lost something, or answered otherwise than it must."""


def finish(step: Step, process: subprocess.Popen, expect: int = 0) -> str:
    """Wait for the end of a step and return what it said."""
    said, _ = process.communicate(timeout=PATIENCE)
    if process.returncode != expect:
        raise LossError(f"step {step.name} ended with {process.returncode}, not {expect}:\n{said}")
    return said


def await_work(process: subprocess.Popen, output: Path) -> bool:
    """Wait until a process has taken its output folder; False if it ended without."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            if json.loads((output / ".lock.json").read_text())["pid"] == process.pid:
                return True
        time.sleep(0.01)
    return False


def contents(folder: Path) -> dict[str, bytes]:
    """The comparable content of all files below a folder, by their path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found[name] = b"" if DIFFERS.fullmatch(path.name) else path.read_bytes()
            if path.suffix == ".keras":
                with zipfile.ZipFile(path) as archive:
                    found[name] = archive.read("model.weights.h5")
    return found


def kill(bench: Bench, name: str, kills: int, rng: random.Random) -> Iterator[tuple[str, ...]]:
    """Kill a step until it was killed so often, in as many outputs as it takes; yields rows for the table."""
    step, done, number = bench.steps[name], 0, 0
    while done < kills:
        number += 1
        output = bench.scratch / "killed" / f"{name}_{number}"
        while done < kills:
            process, moment = bench.start(step, output), rng.uniform(0, bench.seconds[name])
            await_work(process, output)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                done += 1
                yield f"kill step {name}", f"after {moment:.1f} s of work", state(output)
                continue
            finish(step, process)
            break
        bench.run(step, output)
        yield f"-> step {name}", "at its end", f"{bench.compare(name, output)} files are the same"


def state(output: Path) -> str:
    """What a killed run left behind."""
    if not output.exists():
        return "nothing"
    files = [path for path in output.rglob("*") if path.is_file()]
    parts = {
        "lock": sum(path.name == ".lock.json" for path in files),
        "note": sum(path.name == ".unfinished.json" for path in files),
        "clips kept": sum(path.parent.name == ".work" for path in files),
        "folds done": sum(path.name == "SHA256SUMS" for path in files),
        "checkpoint": sum(path.name == "checkpoint.npz" for path in files),
        "manifest": sum(path.name == "manifest.json" for path in files),
    }
    found = [f"{count} {part}" if part.endswith("s") else part for part, count in parts.items() if count]
    return f"{len(files)} files: {', '.join(found)}"


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a tmpfs of so many bytes at `folder`.

    Raises
    ------
    PermissionError
        If this user may not.
    """
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError as problem:
        raise PermissionError("there is no command mount") from problem
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(bench: Bench, name: str, share: float) -> str:
    """Run a step on a disk with room for a share of its output, then on with enough; returns what it said."""
    whole = sum(path.stat().st_size for path in bench.whole(name).rglob("*") if path.is_file())
    place = bench.scratch / "disk" / f"{name}_{share:.3f}"
    with small_disk(place, max(8192, int(share * whole))):
        said = bench.run(bench.steps[name], place / "out", expect=2)
        error = re.search(
            rf"error: ({re.escape(str(place))}\S*) can't be written: No space left on device\.", said
        )
        if error is None or said.count("error:") != 1 or "Traceback" in said:
            raise LossError(f"step {name} on a full disk said\n{said}")
        subprocess.run(["mount", "-o", "remount,size=4g", str(place)], check=True)
        bench.run(bench.steps[name], place / "out")
        bench.compare(name, place / "out")
    return Path(error[1]).relative_to(place / "out").as_posix()


def twice(bench: Bench, step: Step, output: Path) -> str:
    """Start a step twice in one folder; returns how the second was refused."""
    first = bench.start(step, output)
    if not await_work(first, output):
        raise LossError(f"step {step.name} took no lock:\n{first.communicate()[0]}")
    first.send_signal(signal.SIGSTOP)  # or a short step would be done before the second asks
    try:
        refused = bench.run(step, output, expect=2)
    finally:
        first.send_signal(signal.SIGCONT)
    who = f"Process {first.pid} on {platform.node()}"
    if who not in refused or "Traceback" in refused:
        raise LossError(f"the second run of step {step.name} said\n{refused}")
    finish(step, first)
    return who


def disturb(
    bench: Bench, only: str, steps: Sequence[str], kills: int, fills: int, seed: int
) -> Iterator[tuple[str, ...]]:
    """Everything that is asked for; yields rows for the table."""
    rng = random.Random(seed)
    if only in ("", "kill"):
        killed = [name for name in steps if name != "cohort"]
        for position, name in enumerate(killed):
            share = kills // len(killed) + (position < kills % len(killed))
            yield from kill(bench, name, share, rng)
    if only in ("", "disk"):
        for name in steps:
            for share in sorted(rng.uniform(0.02, 0.9) for _ in range(fills)):
                try:
                    file = full_disk(bench, name, share)
                except PermissionError as problem:
                    yield f"disk step {name}", "skipped", f"no small disk can be mounted: {problem}"
                    break
                yield f"disk step {name}", f"room for {share:.0%}", f"full at {file}; then the same files"
    if only in ("", "twice"):
        for name in steps:
            output = bench.scratch / "twice" / name
            who = twice(bench, bench.steps[name], output)
            yield f"twice step {name}", "refused", f"{who}; {bench.compare(name, output)} files are the same"
        if "3" in steps:
            tuning = Step("tuning", TUNING)
            yield "twice tuning", "refused", twice(bench, tuning, bench.scratch / "twice" / "tuning")


def main() -> None:
    """Run undisturbed, then disturbed, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=("kill", "disk", "twice"), default="")
    parser.add_argument("--steps", nargs="+", choices=ORDER, default=list(ORDER))
    parser.add_argument("--kills", type=int, default=50, help="of all steps together")
    parser.add_argument("--fills", type=int, default=3, help="sizes of the disk that each step fills up")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and sizes")
    parser.add_argument("--folder", help="that keeps the undisturbed runs for the next time")
    parser.add_argument("flags", nargs="*", default=list(SMOKE), help="flags of main.py, after --")
    given = parser.parse_args()
    console, failed = Console(width=130), ""
    table = Table(title="Disturbed runs", title_justify="left")
    for name in ("what", "when", "what came of it"):
        table.add_column(name)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(given.folder or temporary).resolve(), given.flags)
        try:
            bench.prepare()
            for row in disturb(bench, given.only, given.steps, given.kills, given.fills, given.seed):
                table.add_row(*row)
        except LossError as problem:
            failed = str(problem)
        else:
            shutil.rmtree(bench.scratch)
    console.print(table)
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in bench.seconds.items())
    console.print(failed or f"Nothing was lost. Undisturbed: {times}.", markup=False)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
