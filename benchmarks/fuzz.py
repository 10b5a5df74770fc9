"""Read damaged DICOM files: each must end, within its time and memory, in a clip or in one DicomError.

    python benchmarks/fuzz.py --cases 10000
    python benchmarks/fuzz.py --first 4711 --cases 1 --keep cases           # one case again, its file kept

The files are made by `damage.py`: valid clips in every transfer syntax with mutated headers, lengths,
fragments, offset tables, codestreams and promised sizes. They are read as step 1 reads them, in a child
process under the operating system's limits on CPU time and address space. Findings: a crash of native code,
an exception other than DicomError, memory or time beyond the limit, a clip of another shape than promised, or
a trace of the planted patient in the error, in the line of intake.csv, or in what the libraries print. Ends
with status 1 if there is one.
"""

import argparse
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.damage import case
from benchmarks.originals import TRACES, originals
from stenoscope.imaging.intake import Source, admit
from stenoscope.records import FRAME_SIZE

CPU_SECONDS = 20
WALL_SECONDS = 120
ADDRESS_SPACE = 3 << 30
"""Bytes a case may map: the longest clip that is read has 2 GiB, the largest frame 192 MiB."""

RESIDENT = 256 << 20
"""Bytes of memory that a case may use, beyond `PER_BYTE` bytes for each of its file's."""

PER_BYTE = 64
"""A deflated file may hold 32 times its size."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes
    ----------
    number : int
    what : str
        The original and its mutations.
    kind : str
        ``clip`` or ``error``; anything else is a finding.
    text : str
        What was said.
    seconds : float
        CPU time.
    peak : int
        Bytes of memory that reading added.
    """

    number: int
    what: str
    kind: str
    text: str = ""
    seconds: float = 0.0
    peak: int = 0


def run(numbers, seed: int = 0, keep: str | os.PathLike | None = None, read=admit) -> Iterator[Outcome]:
    """Read each case in a child process, a new one after each crash; yield the outcomes in order.

    Parameters
    ----------
    numbers : iterable of int
    seed : int
    keep : path or None
        Folder to keep the damaged files in.
    read : callable
        What reads them: a function of a module, with the signature of `intake.admit`.
    """
    with tempfile.TemporaryDirectory() as folder:
        child = None
        for number in numbers:
            child = child or _Child(Path(folder), seed, keep, read)
            outcome, alive = child.read(number)
            if not alive:
                child.end()
                child = None
            yield outcome
        if child:
            child.end()


class _Child:
    def __init__(self, folder: Path, *options):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, folder, *options), daemon=True)
        self._process.start()
        other.close()
        self._pipe.recv()  # it is ready

    def read(self, number: int) -> tuple[Outcome, bool]:
        """The outcome of a case, and whether the process outlived it."""
        what = ""
        try:
            self._pipe.send(number)
            what = self._pipe.recv()
            if self._pipe.poll(WALL_SECONDS):
                return Outcome(number, what, **self._pipe.recv()), True
            kind, text = "time", f"more than {WALL_SECONDS} s"
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = -(self._process.exitcode or 0)
            kind, text = "crash", signal.Signals(code).name if code > 0 else f"exit {-code}"
            if code == signal.SIGXCPU:
                kind, text = "time", f"more than {CPU_SECONDS} s of CPU"
        return Outcome(number, what, kind, text), False

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(pipe, folder: Path, seed: int, keep, read) -> None:
    """Read the cases whose numbers come through the pipe."""
    files = originals(folder)
    path = folder / "case.dcm"
    for original in files:  # which loads every decoder
        path.write_bytes(original.intact)
        if admit(_source(path), _pseudonym)[0] is None:
            raise RuntimeError(f"{original.name} is no clip even before it is damaged")
    log = folder / f"said-{os.getpid()}"
    with log.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    soft = _status("VmSize") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
    pipe.send("ready")
    while True:
        number = pipe.recv()
        what, data = case(number, seed, files)
        path.write_bytes(data)
        if keep:
            Path(keep).mkdir(parents=True, exist_ok=True)
            Path(keep, f"{number}.dcm").write_bytes(data)
        pipe.send(what)
        pipe.send(_read(path, log, read))


def _read(path: Path, log: Path, read) -> dict:
    before = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(before) + 1 + CPU_SECONDS, resource.RLIM_INFINITY))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    here, printed = _status("VmRSS"), log.stat().st_size
    try:
        clip, row = read(_source(path), _pseudonym)
        kind, text = ("error" if clip is None else "clip"), row.reason
        shown = json.dumps(asdict(row), default=str)
        if clip is not None:
            shown += f"{clip.view} {clip.patient_id} {clip.frame_time_ms}"
            if clip.frames.shape != (row.num_frames, FRAME_SIZE, FRAME_SIZE) or clip.frames.dtype != "uint8":
                kind, text = "shape", str(clip.frames.shape)
    except Exception as problem:
        kind, text = "escaped", f"{type(problem).__name__}: {problem}"
        shown = text
    seconds, peak = time.process_time() - before, _status("VmHWM") - here
    if log.stat().st_size > printed:
        with log.open("rb") as stream:
            stream.seek(printed)
            shown += stream.read().decode(errors="replace")
    if any(trace in shown for trace in TRACES):
        kind, text = "leak", shown
    elif "MemoryError" in text or peak > RESIDENT + PER_BYTE * path.stat().st_size:
        kind, text = "memory", f"{peak >> 20} MiB; {text}"
    return {"kind": kind, "text": text, "seconds": seconds, "peak": peak}


def _source(path: Path) -> Source:
    return Source(path, "case", "dicom", path.name)


def _pseudonym(patient_id: str) -> str:
    return "pseudonym"


def _status(name: str) -> int:
    """A size of this process, in bytes (proc(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Read the cases and say what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="folder to keep the damaged files in")
    given = parser.parse_args()
    console, outcomes = Console(width=110), []
    for outcome in run(range(given.first, given.first + given.cases), given.seed, given.keep):
        outcomes.append(outcome)
        if outcome.kind not in ("clip", "error"):
            console.print(
                f"{outcome.number} {outcome.kind}: {outcome.what}: {outcome.text[:300]}", markup=False
            )
    kinds = Counter(outcome.kind for outcome in outcomes)
    table = Table(title=f"{len(outcomes)} damaged files", title_justify="left")
    for name in ("ended in", "files", "slowest, s of CPU", "most memory, MiB"):
        table.add_column(name)
    for kind, count in sorted(kinds.items()):
        same = [outcome for outcome in outcomes if outcome.kind == kind]
        slowest, most = max(same, key=lambda o: o.seconds), max(same, key=lambda o: o.peak)
        numbers = f"{slowest.seconds:.2f} (case {slowest.number})", f"{most.peak >> 20} (case {most.number})"
        table.add_row(kind, str(count), *numbers)
    console.print(table)
    sys.exit(set(kinds) > {"clip", "error"} or not kinds)


if __name__ == "__main__":
    main()
