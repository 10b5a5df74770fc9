"""Faults put into the program one at a time, each of which named tests must notice.

    python benchmarks/mutations.py
    python benchmarks/mutations.py --only calibration
    python benchmarks/mutations.py --first 20 --count 10

Each edit of `benchmarks/edits.py` is applied to a copy of the checkout, the tests that must fail are run, and
the edit is undone. First all these tests are run on the copy as it is: one that fails anyway notices nothing.
The exit status is 1 if an edit survives, no longer applies, or its tests can't be run.
"""

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # before any library is imported

if __name__ == "__main__":  # not in the processes that tests start: those see the copy
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from benchmarks.edits import EDITS, Edit

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 600
"""Seconds that the tests of one edit may take."""
_OURS = ("benchmarks", "stenoscope", "tests")
_LIBRARIES = (
    "cv2",
    "hypothesis",
    "pandas",
    "pydicom",
    "scipy.optimize",
    "sklearn.metrics",
    "sklearn.model_selection",
)
_COPIED = ("stenoscope", "tests", "benchmarks", "docs", "*.*")


def problem_of(edit: Edit, root: Path = ROOT) -> str:
    """Why an edit does not apply: its old text is not in its file exactly once. Empty if it does."""
    path = root / edit.file
    if not path.is_file():
        return "no such file"
    count = path.read_text(encoding="utf-8").count(edit.old)
    return "" if count == 1 and edit.new != edit.old else f"its text is there {count} times"


def run_tests(tests: list[str], root: Path) -> tuple[int, str]:
    """Exit status of pytest (0 passed, 1 failed, others: not run; below 0: a signal) and its last line.

    In a fork, which has the libraries already: importing them takes longer than most of the tests.
    """
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            try:
                _be_pytest(tests, root, said.fileno())
            finally:
                os._exit(70)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return status, next(iter(failed or lines[-1:]), f"status {status}")


def _be_pytest(tests: list[str], root: Path, output: int) -> None:
    """Become a process that runs the tests of the checkout at `root`, and end."""
    signal.alarm(LIMIT)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(root)
    os.environ["PYTHONPATH"] = str(root)  # of the scripts that tests start
    sys.path[:] = [
        str(root),
        *(item for item in sys.path if ROOT not in (Path(item), *Path(item).parents[:1])),
    ]
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    status = pytest.main(["-x", "--tb=no", "-p", "no:cacheprovider", *tests])
    sys.stdout.flush()
    os._exit(status)


def try_edit(edit: Edit, root: Path) -> str:
    """Apply an edit to the copy at `root`, run its tests, undo it: "killed", "survived" or a problem."""
    if problem := problem_of(edit, root):
        return problem
    path = root / edit.file
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(edit.old, edit.new), encoding="utf-8")
    try:
        status, said = run_tests(edit.tests.split(), root)
    finally:
        path.write_text(before, encoding="utf-8")
    return {0: "survived", 1: "killed"}.get(status, f"not run: {said}")


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="edits whose file, text or tests hold this")
    parser.add_argument("--first", type=int, default=0, help="number of the first edit (default 0)")
    parser.add_argument("--count", type=int, default=len(EDITS), help="how many edits (default all)")
    arguments = parser.parse_args()
    numbered = [(n, edit) for n, edit in enumerate(EDITS) if arguments.only in " ".join(edit)]
    chosen = [(n, edit) for n, edit in numbered if 0 <= n - arguments.first < arguments.count]
    console = Console()
    if not chosen:
        console.print("No edit was chosen.")
        return 1
    sys.dont_write_bytecode = True  # an edit of equal length within a second would not be noticed
    for library in _LIBRARIES:
        importlib.import_module(library)
    edits = Column("edit", no_wrap=True, overflow="ellipsis", ratio=1)
    table = Table("no.", "file", edits, Column("found", no_wrap=True), box=None, expand=True)
    score = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        copy.mkdir()
        for path in (path for pattern in _COPIED for path in ROOT.glob(pattern) if path.name[0] != "."):
            if path.is_dir():
                shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, copy)
        tests = list(dict.fromkeys(test for _, edit in chosen for test in edit.tests.split()))
        status, said = run_tests(tests, copy)
        if status:
            console.print(f"The tests do not pass on the program as it is: {said}", markup=False)
            return 1
        for number, edit in chosen:
            found = try_edit(edit, copy)
            score += found == "killed"
            print(f"{number}: {edit.file}: {found}", file=sys.stderr, flush=True)
            change = " ".join(f"{edit.old} -> {edit.new}".split())
            table.add_row(*map(escape, (str(number), edit.file, change, found)))
    console.print(table)
    console.print(f"{score} of {len(chosen)} edits killed.")
    return int(score < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
