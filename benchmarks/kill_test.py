"""Kill `main.py` at random moments, start it again, and compare its predictions with an undisturbed run's.

    python benchmarks/kill_test.py                          # the smoke preset, 2 epochs, 10 kills
    python benchmarks/kill_test.py --kills 10 -- --preset cpu --epochs 2

What follows ``--`` goes to `main.py`. The kill is SIGKILL, so nothing can be tidied up. Ends with status 1 if
a byte of `predictions.csv` differs.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = "checkpoint.npz"
SMOKE = ("--preset", "smoke", "--epochs", "2", "--threads", "1")


def start(experiment: Path, flags: list[str]) -> subprocess.Popen:
    """Start `main.py` on an experiment's folder."""
    command = [sys.executable, str(ROOT / "main.py"), *flags, "--experiment", str(experiment)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> None:
    """Wait for a run's end, or show what it said if it failed."""
    said, _ = process.communicate()
    if process.returncode:
        sys.exit(f"main.py ended with {process.returncode}:\n{said}")


def state(experiment: Path) -> str:
    """What an experiment's folder holds."""
    if not experiment.exists():
        return "nothing"
    folds = sorted(experiment.glob("fold_*"))
    done = sum((fold / "predictions.csv").exists() for fold in folds)
    begun = [
        fold.name + (" with a checkpoint" if (fold / CHECKPOINT).exists() else "")
        for fold in folds
        if not (fold / "predictions.csv").exists()
    ]
    return f"{done} folds done" + "".join(f", {name} begun" for name in begun)


def main() -> None:
    """Run undisturbed, then with kills, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("flags", nargs="*", default=list(SMOKE), help="flags of main.py, after --")
    given = parser.parse_args()
    rng, console, differ = random.Random(given.seed), Console(width=110), 0
    table = Table(title="SIGKILL at random moments", title_justify="left")
    for name in ("kill", "seconds after the start", "left behind"):
        table.add_column(name)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "undisturbed")
        begin = time.monotonic()
        finish(start(whole, given.flags))
        seconds = time.monotonic() - begin
        expected, kills, runs = (whole / "predictions.csv").read_bytes(), 0, 0
        while kills < given.kills:
            runs += 1
            experiment = Path(folder, f"killed_{runs}")
            while kills < given.kills:
                process, moment = start(experiment, given.flags), rng.uniform(0, seconds)
                try:
                    process.wait(moment)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    kills += 1
                    table.add_row(f"{kills} (experiment {runs})", f"{moment:.1f}", state(experiment))
                    continue
                finish(process)
                break
            finish(start(experiment, given.flags))
            found = (experiment / "predictions.csv").read_bytes()
            same = sum(a == b for a, b in zip(expected.splitlines(), found.splitlines(), strict=True))
            table.add_row("", "", f"-> at its end {same} of {len(expected.splitlines())} lines are the same")
            differ += found != expected
    console.print(table)
    verdict = (
        f"{differ} of {runs} killed experiments ended in other bytes" if differ else "same bytes each time"
    )
    console.print(f"{kills} kills in {runs} experiments, undisturbed {seconds:.0f} s: {verdict}.")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
