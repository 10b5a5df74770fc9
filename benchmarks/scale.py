"""Time and memory of the check, step 1 and step 2 against the number of clips.

    python benchmarks/scale.py                          # 100, 300 and 1,000 clips
    python benchmarks/scale.py --clips 300 1000 3000 10000 --scratch /some/disk

The cohort is made cheaply: 24 clips are simulated at reduced size (128 x 128 pixels, 16 frames; a real one
has 512 x 512 pixels and some 60 frames), and each is written again and again as DICOM under another name and
patient and with noise of its own, two clips a patient. The steps resample every frame to 512 x 512 as always,
so time and memory of a frame are those of a real one, but a clip has 16. No sheets are drawn.

Each step is the script as a user runs it. Its memory is the largest private memory (RssAnon) of one of its
processes, sampled 50 times a second: pages of the memory-mapped `clips.frames` are the system's to keep or
drop. A clip takes 2.9 MB in --scratch while step 1 runs (16 KB a frame, and its five key frames twice); all
of it is deleted afterwards. On Linux only.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stenoscope.phantom.clip import WINDOWS, simulate_clip
from stenoscope.phantom.dicom_writer import clip_dataset, write_clip
from stenoscope.phantom.streams import stream

ROOT = Path(__file__).resolve().parent.parent
SIZE, FRAMES, SIMULATED, SEED = 128, 16, 24, 7
CLIPS_PER_PATIENT = 2
NOISE = 3
BYTES_PER_CLIP = SIZE * SIZE * FRAMES + 2 * 5 * 512 * 512
STEPS = {
    "check": ("pickle_generator.py", "--check"),
    "step 1": ("pickle_generator.py",),
    "step 2": ("data_loader_kfold.py",),
}
COLOURS = ("#4a90d9", "#e07b39", "#5aa469")


@dataclass(frozen=True)
class Measure:
    """One step on one cohort.

    Attributes
    ----------
    step : str
    clips : int
    used : int
        Clips that have key frames afterwards.
    seconds : float
        Wall time.
    memory : float
        Largest private memory of a process, MB.
    """

    step: str
    clips: int
    used: int
    seconds: float
    memory: float


def write_cohort(folder: Path, count: int) -> None:
    """Write `count` clips and labels.csv."""
    folder.mkdir(parents=True)
    simulated = []
    for number in range(SIMULATED):
        artery, label = ("RCA", "LCA")[number % 2], number // 2 % 2
        clip = simulate_clip(SEED, number, 0, artery, label, size=SIZE, num_frames=FRAMES)
        black, white = clip.window
        grey = (clip.frames.astype(np.float32) - black) * (255 / (white - black))
        simulated.append(replace(clip, frames=grey.clip(0, 255).astype(np.uint8), bits=8, window=WINDOWS[8]))
    lines = ["clip_id,patient_id,label"]
    for number in range(count):
        patient, own = divmod(number, CLIPS_PER_PATIENT)
        clip = simulated[number % SIMULATED]
        noise = np.random.default_rng([SEED, number]).integers(-NOISE, NOISE + 1, clip.frames.shape)
        frames = (clip.frames + noise).clip(0, 255).astype(np.uint8)
        header = stream(SEED, "header", patient, own)
        name = f"p{patient:06d}_c{own}"
        dataset = clip_dataset(replace(clip, frames=frames), SEED, patient, own, header)
        write_clip(folder / f"{name}.dcm", dataset)
        lines.append(f"{name},P{patient:06d},{clip.label}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def measured(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run a script of the project; its wall time in seconds and its memory in MB."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / command[0]), *command[1:]],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max([peak[0], *map(private_memory, family(process.pid))])

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate()
    over.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return time.perf_counter() - begin, peak[0] / 1024


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                found += family(int(child))
        except OSError:  # it has just ended
            continue
    return found


def private_memory(pid: int) -> int:
    """Memory of a process that no file backs, KB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def run_steps(folder: Path, count: int, workers: int) -> list[Measure]:
    """Make a cohort of `count` clips, run the steps on it and delete everything."""
    write_cohort(folder / "cohort", count)
    flags = (
        "--input",
        "cohort",
        "--output",
        "keyframes",
        "--workers",
        str(workers),
        "--pseudonym_key",
        "key",
    )
    more = {"check": flags, "step 1": (*flags, "--sheets", "false")}
    more["step 2"] = ("--input", "keyframes", "--output", "folds")
    found = []
    for step, command in STEPS.items():
        seconds, memory = measured((*command, *more[step]), folder)
        found.append(Measure(step, count, 0, seconds, memory))
    with (folder / "keyframes" / "keyframes.csv").open() as stream_:
        used = sum(1 for _ in stream_) - 1
    shutil.rmtree(folder)
    return [replace(one, used=used) for one in found]


def draw(measures: list[Measure], path: Path) -> None:
    """Time and memory against clips, both axes of the time logarithmic."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for step, colour in zip(STEPS, COLOURS, strict=True):
        own = [one for one in measures if one.step == step]
        clips = [one.clips for one in own]
        time_axes.plot(clips, [one.seconds for one in own], "o-", color=colour, label=step)
        memory_axes.plot(clips, [one.memory for one in own], "o-", color=colour, label=step)
    time_axes.set(xscale="log", yscale="log", xlabel="clips", ylabel="seconds")
    memory_axes.set(xscale="log", xlabel="clips", ylabel="memory of the largest process, MB")
    memory_axes.set_ylim(bottom=0)
    for axes in (time_axes, memory_axes):
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xticks(sorted({one.clips for one in measures}), minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    time_axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    time_axes.yaxis.set_major_formatter(ScalarFormatter())
    time_axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Parse the command line, measure, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, nargs="+", default=[100, 300, 1000], help="sizes of the cohort")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 = one per available core")
    parser.add_argument("--scratch", type=Path, help="folder for the cohort and its results")
    parser.add_argument("--figure", type=Path, default=Path("results/scale.png"), help="PNG to write")
    given = parser.parse_args()
    console = Console(width=100)
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        needed, free = max(given.clips) * BYTES_PER_CLIP, shutil.disk_usage(scratch).free
        if needed * 1.1 > free:
            parser.error(f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free: see --scratch")
        measures = []
        for count in sorted(given.clips):
            measures += run_steps(Path(scratch) / str(count), count, given.workers)
            console.print(f"{count} clips: {measures[-1].used} with key frames, in 5 folds")
    table = Table(title=f"Clips of {FRAMES} frames, {SIZE} x {SIZE} pixels", title_justify="left")
    for name in ("clips", "step", "seconds", "ms a clip", "largest process, MB"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for one in measures:
        values = (f"{one.seconds:.1f}", f"{1000 * one.seconds / one.clips:.1f}", f"{one.memory:.0f}")
        table.add_row(f"{one.clips:,}", one.step, *values)
    console.print(table)
    draw(measures, given.figure)
    console.print(f"Figure: {given.figure}")


if __name__ == "__main__":
    main()
