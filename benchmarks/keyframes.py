"""Accuracy of the key-frame methods on clips whose best frame is known.

    python benchmarks/keyframes.py --phantom data/phantom --annotated ../shared/data/angiodata
    python benchmarks/keyframes.py --phantom data/phantom --annotated ../shared/data/angiodata --refit

`--cadica DIR` measures against the frames that CADICA's cardiologists selected: all of them are accepted, and
as they name no best one, the distance is to the middle one.

`--refit` shows what the constants of `opacification` are worth on patients that had no part in choosing them
(see `refit`).

Each clip is also changed in time in five fixed ways, so that a positional habit cannot win. The reference of
a changed clip is the frame that is left nearest to the original apex; accepted are the frames left of the
original range, or that one frame where none is left. Intervals are from a bootstrap over patients.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import refit
from benchmarks.annotations import Reference, read_annotated
from stenoscope.app.keyframe_methods import METHODS, choose
from stenoscope.data.cadica import read_cadica as cadica_catalogue
from stenoscope.evaluation.intervals import patient_draws, percentile_interval
from stenoscope.imaging.dicom import read_dicom
from stenoscope.imaging.intake import admit
from stenoscope.keyframes.moon2021 import choose_from_counts, vessel_pixels
from stenoscope.keyframes.opacification import MIN_STRENGTH, contrast_strength
from stenoscope.keyframes.scores import measure_filling
from stenoscope.keyframes.selection import smooth
from stenoscope.records import KeyframeChoice
from stenoscope.run.executors import executor, map_ordered

RESAMPLES = 2000
LEAST_FRAMES = 5
"""A part of a clip before the injection is judged from one frame more on."""
MEASURES = ("distance", "inside", "start", "end", "precision", "recall")


def changes(num_frames: int, reference: Reference) -> dict[str, np.ndarray]:
    """The clip as it is and changed in time: the original index of every frame."""
    frames = np.arange(num_frames)
    third = num_frames // 3
    return {
        "as is": frames,
        "first third cut": frames[third:],
        "last third cut": frames[: num_frames - third],
        "10 static frames before": np.concatenate([np.zeros(10, int), frames]),
        "every second frame": frames[::2],
        "wash-out repeated": np.concatenate([frames, frames[reference.full_end + 1 :]]),
    }


def moved(index: np.ndarray, reference: Reference) -> tuple[int, set[int]]:
    """The reference apex and the accepted frames of a clip changed in time."""
    low, high = reference.accepted
    apex = int(np.argmin(np.abs(index - reference.apex)))
    return apex, set(np.flatnonzero((index >= low) & (index <= high)).tolist()) or {apex}


def score(choice: KeyframeChoice, index: np.ndarray, reference: Reference) -> dict[str, float]:
    """Measures of one choice on one changed clip; NaN where the reference or the choice has no such frame.

    `index` holds the original index of every frame of the changed clip.
    """
    apex, accepted = moved(index, reference)
    hits = len(accepted.intersection(choice.keyframes))
    found = {
        "distance": abs(choice.apex - apex),
        "inside": float(choice.apex in accepted),
        "start": np.nan,
        "end": np.nan,
        "precision": hits / len(choice.keyframes),
        "recall": hits / min(len(accepted), len(choice.keyframes)),
    }
    for name, true in (("start", reference.start), ("end", reference.end)):
        chosen = getattr(choice, name)
        if true is not None and chosen is not None and true in index:
            found[name] = int(np.abs(np.flatnonzero(index == true) - chosen).min())
    return found


def read_phantom(folder: Path) -> Iterator[tuple[np.ndarray, Reference]]:
    """Clips of the simulated cohort with their truth."""
    with (folder / "labels.csv").open(newline="") as stream:
        patients = {row["clip_id"]: row["patient_id"] for row in csv.DictReader(stream)}
    truth = json.loads((folder / "truth.json").read_text())["clips"]
    for clip_id, known in truth.items():
        frames = read_dicom(folder / f"{clip_id}.dcm", clip_id, str).frames
        low, high = known["apex_range"]
        yield (
            frames,
            Reference(
                clip_id, patients[clip_id], known["apex"], (low, high), known["start"], known["end"], high
            ),
        )


def read_cadica(folder: Path) -> Iterator[tuple[np.ndarray, Reference]]:
    """Readable runs of CADICA with the frames that its cardiologists selected."""
    data = cadica_catalogue(folder)
    for source in data.sources:
        selected = data.keyframes.get(source.clip_id)
        clip, _ = admit(source, str) if selected else (None, None)
        if clip is not None:
            middle, accepted = selected[(len(selected) - 1) // 2], (selected[0], selected[-1])
            patient = data.patients[source.clip_id]
            yield clip.frames, Reference(source.clip_id, patient, middle, accepted, None, None, selected[-1])


def measure(clips, methods: list[str], only_as_is: bool) -> dict:
    """All measures: {(method, change): [(patient, measures), ...]}."""
    found: dict = {}
    for frames, reference in clips:
        # Moon's count is of single frames: counted once, whatever becomes of the clip in time.
        counts = None
        if "moon2021" in methods:
            counts = np.array([vessel_pixels(frame) for frame in frames], np.float32)
        for change, index in changes(len(frames), reference).items():
            if only_as_is and change != "as is":
                continue
            for method in methods:
                choice = (
                    choose_from_counts(counts[index])
                    if method == "moon2021"
                    else choose(frames[index], method)
                )
                found.setdefault((method, change), []).append(
                    (reference.patient_id, score(choice, index, reference))
                )
    return found


def with_interval(patients: list[str], values: np.ndarray, percent: bool) -> str:
    """Mean with its 95 % interval from a bootstrap over patients."""
    known = np.isfinite(values)
    if not known.any():
        return "-"
    names, code = np.unique(np.array(patients)[known], return_inverse=True)
    total, count = np.bincount(code, values[known]), np.bincount(code)
    draws = np.concatenate(list(patient_draws(len(names), RESAMPLES, 0, len(names))))
    interval = percentile_interval(draws @ total / (draws @ count))
    scale, digits = (100, 0) if percent else (1, 2)
    mean = scale * values[known].mean()
    return f"{mean:.{digits}f} ({scale * interval.low:.{digits}f} to {scale * interval.high:.{digits}f})"


def show(console: Console, title: str, found: dict) -> None:
    """Print one table per cohort."""
    table = Table(title=title, title_justify="left")
    for name in ("change", "method", "clips"):
        table.add_column(name, no_wrap=True)
    for name in ("distance, frames", "median", "inside, %", "start", "end", "precision, %", "recall, %"):
        table.add_column(name, justify="right", no_wrap=True)
    by_change: dict = {}
    for (method, change), rows in found.items():
        by_change.setdefault(change, []).append((method, rows))
    for change, methods in by_change.items():
        for method, rows in methods:
            patients = [patient for patient, _ in rows]
            column = {
                name: np.array([item.get(name, np.nan) for _, item in rows], float) for name in MEASURES
            }
            cells = {
                name: with_interval(patients, column[name], name in ("inside", "precision", "recall"))
                for name in MEASURES
            }
            table.add_row(
                change,
                method,
                f"{int(column['inside'].sum())}/{len(rows)}",
                cells["distance"],
                f"{np.median(column['distance']):.1f}",
                *(cells[name] for name in MEASURES[1:]),
            )
        table.add_section()
    console.print(table)


def trace_clip(clip: tuple[np.ndarray, Reference], real: bool) -> list[refit.Trace]:
    """A clip, and its five changes if it is real, with what the refit needs."""
    frames, reference = clip
    cv2.setNumThreads(1)
    traces = []
    for change, index in changes(len(frames), reference).items():
        if real or change == "as is":
            apex, accepted = moved(index, reference)
            end = len(frames) - 1 if reference.end is None else reference.end
            known = reference.start or 0, apex, end, accepted
            name = reference.patient_id
            traces.append(refit.Trace(real, name, change, *known, refit.fillings(frames[index])))
    return traces


def measure_refit(phantom: Path, annotated: Path, workers: int) -> tuple[dict, dict[str, refit.Choice]]:
    """Rows as of `measure`, by refitted constants, and the constants chosen (see `refit.refit`)."""
    traces: list[refit.Trace] = []
    with executor(workers) as pool:
        for real, clips in ((True, read_annotated(annotated)), (False, read_phantom(phantom))):
            jobs = map_ordered(pool, partial(trace_clip, real=real), clips)
            for _, future in track(jobs, "refit", console=Console(stderr=True), transient=True):
                traces += future.result()
    rows, chosen = refit.refit(traces)
    table = {(what, change): items for what, found in rows.items() for change, items in found.items()}
    return table, chosen


def show_strength(console: Console, title: str, clips) -> None:
    """Print how far clips with contrast lie from their own frames before the injection."""
    filled, empty = [], []
    for frames, reference in clips:
        before = frames[: reference.start or 0]
        for part, found in ((frames, filled), (before, empty)):
            if len(part) > LEAST_FRAMES:
                filling = measure_filling(part)
                found.append(contrast_strength(filling, smooth(filling.share)))
    console.print(
        f"{title}: contrast strength of {len(filled)} clips: {min(filled):.2f} or more; of the frames before "
        f"the injection, {len(empty)} clips: {max(empty, default=np.nan):.2f} or less. Clips below "
        f"{MIN_STRENGTH} are called empty."
    )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--phantom", type=Path, help="folder that `python -m stenoscope.phantom` wrote")
    parser.add_argument("--annotated", type=Path, help="folder of clips with an annotations.csv")
    parser.add_argument("--cadica", type=Path, help="folder of CADICA that holds selectedVideos")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        default=[name for name in METHODS if name != "moon2021"],
        help="default: all but moon2021, which takes half a second a frame",
    )
    parser.add_argument("--limit", type=int, default=0, help="at most so many clips of the phantom; 0 = all")
    parser.add_argument("--as_is", action="store_true", help="leave out the five changes in time")
    parser.add_argument(
        "--refit", action="store_true", help="only: constants fitted without the patient measured"
    )
    parser.add_argument(
        "--strength", action="store_true", help="only: contrast strength of clips and of their empty frames"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of --refit; default: 1")
    arguments = parser.parse_args()
    if arguments.refit and not (arguments.phantom and arguments.annotated):
        parser.error("--refit takes both --phantom and --annotated")
    if not (arguments.phantom or arguments.annotated or arguments.cadica):
        parser.error("nothing to measure: give --phantom, --annotated or --cadica")
    cv2.setNumThreads(1)
    console = Console(width=200)
    if arguments.refit:
        found, chosen = measure_refit(arguments.phantom, arguments.annotated, arguments.workers)
        show(
            console,
            "Annotated clips, constants of `opacification` chosen without the patient measured",
            found,
        )
        for what, choice in chosen.items():
            console.print(
                f"{what}: {choice.vessels}, {choice.plateau}, levels {choice.start_level} and "
                f"{choice.end_level}; start, apex and end, frames: "
                + "; ".join(
                    f"{name} {', '.join(f'{value:.3f}' for value in values)}, sum {sum(values):.3f}"
                    for name, values in (("real", choice.real), ("simulated", choice.simulated))
                )
            )
        return
    for title, folder, read in (
        ("Annotated clips", arguments.annotated, read_annotated),
        ("CADICA, frames that cardiologists selected", arguments.cadica, read_cadica),
        ("Simulated cohort, truth", arguments.phantom, read_phantom),
    ):
        if folder is None:
            continue
        clips = track(read(folder), description=title, console=Console(stderr=True), transient=True)
        if read is read_phantom and arguments.limit:
            clips = (clip for _, clip in zip(range(arguments.limit), clips, strict=False))
        if arguments.strength:
            show_strength(console, title, clips)
        else:
            show(console, title, measure(clips, arguments.methods, arguments.as_is))
    if arguments.strength:
        return
    console.print(
        "clips: apex inside the accepted range, of all. distance, start, end: frames; start and end where "
        "both the reference and the method have one.\nIntervals: 95 %, bootstrap over patients."
    )


if __name__ == "__main__":
    main()
