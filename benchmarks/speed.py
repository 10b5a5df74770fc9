"""Speed of the filter and of step 1, against what was there before. One thread, CPU time, measured in turns.

    python benchmarks/speed.py --input data/phantom
    python benchmarks/speed.py --input data/phantom --workers 2
    python benchmarks/speed.py --input data/phantom --workers 2 --only_workers

What is compared is measured in turns in one process, so that a busy machine slows all of it alike; medians
and quartiles are given. `--workers N` also times the whole of step 1 with 1 and N processes (wall time: leave
the machine alone meanwhile). Memory is read from /proc, so on Linux only.
"""

import argparse
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import SimpleITK
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from skimage.filters import frangi, sato

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stenoscope.imaging.find import find_clips
from stenoscope.imaging.intake import admit
from stenoscope.keyframes.moon2021 import vessel_pixels
from stenoscope.keyframes.registry import choose
from stenoscope.keyframes.sheet import draw_sheet
from stenoscope.vesselness.hessian import SIGMAS, VesselFilter

ROOT = Path(__file__).resolve().parent.parent

_CONSOLE = Console(width=130)
_MEMORY = """
import pathlib, re, sys, time
import numpy as np, cv2
from stenoscope.keyframes.registry import choose
def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
cv2.setNumThreads(1)
count = int(sys.argv[1])
some = np.load(sys.argv[2])
frames = np.empty((count, *some.shape[1:]), np.uint8)
for index in range(count):
    frames[index] = some[index * len(some) // count]
choose(frames[:8])
pathlib.Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before, begin = memory("VmRSS"), time.process_time()
choose(frames)
print(memory("VmHWM") - before, time.process_time() - begin)
"""


def interleaved(jobs: dict[str, Callable], rounds: dict[str, int]) -> dict[str, np.ndarray]:
    """CPU milliseconds of each job, measured in turns after one call to warm up."""
    for job in jobs.values():
        job()
    found: dict[str, list] = {name: [] for name in jobs}
    for turn in range(max(rounds.values())):
        for name, job in jobs.items():
            if turn < rounds[name]:
                begin = time.process_time()
                job()
                found[name].append(1000 * (time.process_time() - begin))
    return {name: np.array(values) for name, values in found.items()}


def quartiles(values: np.ndarray) -> str:
    """Median with quartiles."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def itk_objectness(image: np.ndarray) -> np.ndarray:
    """ITK's objectness at the same scales."""
    itk = SimpleITK.GetImageFromArray(image)
    return np.maximum.reduce(
        [
            SimpleITK.GetArrayFromImage(
                SimpleITK.ObjectnessMeasure(
                    SimpleITK.SmoothingRecursiveGaussian(itk, sigma) * sigma**2,
                    objectDimension=1, brightObject=False, scaleObjectnessMeasure=False,
                )
            )
            for sigma in SIGMAS
        ]
    )  # fmt: skip


def filters(frames: np.ndarray) -> None:
    """Filters on one frame, and whether the fast ones rank the frames as the full computation does."""
    image = frames[len(frames) // 2]
    real = image.astype(np.float32)
    shape = image.shape
    ours = {
        "ours, default: scales above 2 px at half resolution": VesselFilter(shape),
        "ours, all scales at full resolution": VesselFilter(shape, fine=math.inf),
        "ours, all scales at half resolution": VesselFilter(shape, fine=1.0),
        "ours, Frangi's measure, default": VesselFilter(shape, measure="frangi"),
    }
    jobs: dict[str, Callable] = {name: (lambda apply=apply: apply(image)) for name, apply in ours.items()}
    jobs["scikit-image frangi"] = lambda: frangi(image, sigmas=SIGMAS)
    jobs["scikit-image sato"] = lambda: sato(real, sigmas=SIGMAS)
    jobs["ITK objectness"] = lambda: itk_objectness(real)
    times = interleaved(jobs, {name: 60 if name in ours else 6 for name in jobs})

    def scores(apply, level):
        return [np.mean(apply(frame) > level) for frame in frames]

    full = ours["ours, all scales at full resolution"]
    level = float(np.quantile(full(image), 0.95))
    reference = scores(full, level)
    table = Table(title=f"5 scales on one frame of {shape[0]} x {shape[1]}", title_justify="left")
    for name in ("filter", "CPU ms", "times faster", "rank correlation"):
        table.add_column(name, justify="left" if name == "filter" else "right", no_wrap=True)
    slowest = np.median(times["scikit-image frangi"])
    for name, values in times.items():
        rank = "-"
        if name in list(ours)[:3]:
            rank = f"{spearmanr(reference, scores(ours[name], level)).statistic:.4f}"
        table.add_row(name, quartiles(values), f"{slowest / np.median(values):.0f}", rank)
    _CONSOLE.print(table)
    _CONSOLE.print(
        "times faster: than scikit-image frangi. rank correlation: of the frames' scores (share of pixels "
        "above one level) with the full-resolution computation.\n"
    )


def step_one(sources: list) -> None:
    """The work of step 1 on some clips, decoding included, against Moon's score on the same clips."""
    parts: dict[str, list] = {name: [] for name in ("read", "key frames", "sheet", "all", "moon2021")}
    for source in sources:
        times = [time.process_time()]
        clip, row = admit(source, str)
        if clip is None:
            _CONSOLE.print(f"left out: {source.clip_id}: {row.reason}")
            continue
        times.append(time.process_time())
        choice = choose(clip.frames)
        times.append(time.process_time())
        sheet = draw_sheet(clip.frames, choice, clip.clip_id)
        cv2.imencode(".png", sheet, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        times.append(time.process_time())
        begin = time.process_time()
        some = clip.frames[:: max(1, len(clip.frames) // 4)]
        for frame in some:
            vessel_pixels(frame)
        moon = (time.process_time() - begin) / len(some) * len(clip.frames) + times[1] - times[0]
        per_frame = 1000 / len(clip.frames)
        for name, seconds in zip(parts, (*np.diff(times), times[-1] - times[0], moon), strict=True):
            parts[name].append((1000 * seconds, per_frame * seconds))
    table = Table(title=f"Step 1, {len(parts['all'])} clips, one process", title_justify="left")
    for name in ("part", "CPU ms a clip", "CPU ms a frame"):
        table.add_column(name, justify="left" if name == "part" else "right", no_wrap=True)
    names = {"moon2021": "for comparison: read and moon2021 (from 4 frames of each)"}
    for name, rows in parts.items():
        clip_ms, frame_ms = np.array(rows).T
        table.add_row(names.get(name, name), quartiles(clip_ms), quartiles(frame_ms))
    _CONSOLE.print(table)
    ours, moon = (np.array(parts[name])[:, 0] for name in ("all", "moon2021"))
    rate = 1000 / ours.mean()
    _CONSOLE.print(
        f"{np.median(moon / ours):.0f} times faster than moon2021 (median over clips). {rate:.1f} clips a "
        f"second and core; 100,000 clips: {100_000 / rate / 3600:.1f} core hours.\n"
    )


def growth(frames: np.ndarray) -> None:
    """Time and memory of the choice on clips of 250 to 1,000 frames."""
    table = Table(title="Long clips (the same clip, played slowly)", title_justify="left")
    for name in ("frames", "CPU ms a frame", "memory beside the frames, MB"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, frames)
        for count in (250, 500, 1000):
            answer = subprocess.run(
                [sys.executable, "-c", _MEMORY, str(count), str(path)],
                cwd=ROOT, capture_output=True, text=True, check=True,
            ).stdout.split()  # fmt: skip
            table.add_row(str(count), f"{1000 * float(answer[1]) / count:.2f}", f"{float(answer[0]):.0f}")
    _CONSOLE.print(table)


def workers(folder: Path, count: int) -> None:
    """Wall time of the script of step 1 with 1 and `count` processes, and memory of the largest of them."""
    seconds, memory = {}, {}
    for number in (1, count):
        with tempfile.TemporaryDirectory() as output:
            begin = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "pickle_generator.py", "--input", str(folder.resolve()), "--labels", "none",
                 "--truth", "none", "--output", f"{output}/keyframes", "--workers", str(number),
                 "--pseudonym_key", f"{output}/key"],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            _, status, usage = os.wait4(process.pid, 0)  # of the process and those it waited for
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds[number], memory[number] = time.perf_counter() - begin, usage.ru_maxrss / 1024
            if process.returncode:
                raise SystemExit(f"pickle_generator.py ended with {process.returncode} on {folder}")
            with (Path(output) / "keyframes" / "keyframes.csv").open() as stream:
                clips = sum(1 for _ in stream) - 1
    _CONSOLE.print(
        f"Step 1, {clips} clips, wall time: {seconds[1]:.1f} s with 1 process, {seconds[count]:.1f} s with "
        f"{count}: {seconds[1] / seconds[count]:.2f} times as fast. Largest process: {memory[1]:.0f} and "
        f"{memory[count]:.0f} MB."
    )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--input", type=Path, required=True, help="folder of clips, as for step 1")
    parser.add_argument("--clips", type=int, default=12, help="clips to measure step 1 on")
    parser.add_argument(
        "--workers", type=int, default=0, help="also time step 1 with 1 and this many processes"
    )
    parser.add_argument("--only_workers", action="store_true", help="leave out all but that")
    arguments = parser.parse_args()
    if arguments.only_workers:
        workers(arguments.input, max(2, arguments.workers))
        return
    cv2.setNumThreads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sources = find_clips(arguments.input).sources
    if not sources:
        parser.error(f"no clips in {arguments.input}")
    chosen = list(itertools.islice(sources, 0, None, max(1, len(sources) // arguments.clips)))[
        : arguments.clips
    ]
    frames = next(clip.frames for clip in (admit(source, str)[0] for source in chosen) if clip is not None)
    filters(frames)
    step_one(chosen)
    growth(frames)
    if arguments.workers > 1:
        workers(arguments.input, arguments.workers)


if __name__ == "__main__":
    main()
