"""The learned key-frame method beside `opacification` and its own parts: one table.

    python benchmarks/temporal.py --arms results/temporal_arms --annotated ../shared/data/angiodata

Simulated clips: 100 of a cohort with another seed than the training's. Metrics as published (see
`stenoscope/temporal/metrics.py`). Real clips: the visual reading of AngioData, as they are and
changed in time in the five ways of `benchmarks/keyframes.py`; `fine-tuned` trains on for a few passes over
the clips of all patients but the one measured. `--arms` names a folder with weights by arm
(`full/weights.npz`, `no conv_lstm/weights.npz`, ...), each made by

    python -m stenoscope.temporal train --output DIR [--conv_lstm false] [--contrast false]

Without it, the weights that ship are measured alone. Intervals: 95 %, bootstrap over patients.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.annotations import Reference, read_annotated
from benchmarks.keyframes import changes, moved, read_phantom
from stenoscope.evaluation.intervals import bootstrap_statistic
from stenoscope.keyframes.opacification import choose_opacification
from stenoscope.records import KeyframeChoice
from stenoscope.temporal import evaluate, inference, train
from stenoscope.temporal.batches import Example
from stenoscope.temporal.decode import Detections
from stenoscope.temporal.features import extract
from stenoscope.temporal.labels import actions_of, keyframes_of
from stenoscope.temporal.network import Parts
from stenoscope.training.machine import prepare

TUNING_EPOCHS, TUNING_RATE, TUNING_REPEATS = 6, 3e-4, 8
"""Fine-tuning: passes, highest learning rate, and how often a pass visits each clip, changed anew."""
BASELINE = "opacification"


@dataclass(frozen=True)
class Change:
    """A clip changed in time: its features, what is known of it, what `opacification` says."""

    name: str
    example: Example
    index: np.ndarray
    reference: Reference
    baseline: KeyframeChoice


def read(clips, limit: int, only_as_is: bool) -> list[Change]:
    """Clips with their changes, as features; frames are not kept."""
    found = []
    for _, (frames, reference) in zip(range(limit), clips, strict=False):
        for name, index in changes(len(frames), reference).items():
            if only_as_is and name != "as is":
                continue
            apex, _ = moved(index, reference)
            ends = [
                None if key is None else np.flatnonzero(index == key)
                for key in (reference.start, reference.end)
            ]
            start, end = (None if where is None or not len(where) else int(where[0]) for where in ends)
            # A start or an end that was cut off lies outside the changed clip, like one that never was in it.
            actions = actions_of(start, apex, end, len(index))
            changed = frames[index]
            example = Example(reference.clip_id, reference.patient_id, extract(changed).values, actions)
            found.append(Change(name, example, index, reference, choose_opacification(changed)))
    return found


def baseline_answer(change: Change) -> evaluate.Answer:
    """What `opacification` says, as actions; the score of both is its confidence."""
    choice, count = change.baseline, len(change.index)
    actions = actions_of(choice.start, choice.apex, choice.end, count)
    shown = np.flatnonzero(np.isfinite(actions[:, 0]) & choice.contrast)
    detections = Detections(shown, actions[shown].astype(float), np.full(len(shown), choice.confidence))
    return evaluate.Answer(detections, actions, np.zeros((count, 2), np.float32))


def simulated_row(name: str, examples: list[Example], answers: list[evaluate.Answer], rate: str) -> list[str]:
    """One line of the first table."""
    scores = evaluate.score(examples, answers)
    average = scores.mean_average_precision
    low, high = scores.deviation_interval.bounds
    return [
        name,
        f"{average.mean():.4f}",
        *(f"{value:.3f}" for value in average),
        f"{scores.precision:.4f}",
        f"{scores.recall:.4f}",
        f"{scores.f:.4f}",
        f"{scores.deviation:.2f} ({low:.2f} to {high:.2f})",
        " ".join(f"{value:.2f}" for value in scores.errors),
        rate,
    ]


def real_cells(changes: list[Change], apex_of: Callable[[Change], float]) -> list[str]:
    """Apex distance with its interval, in-range share, and how much later than the reader's, likewise."""
    later, inside = [], 0
    for change in changes:
        apex, accepted = moved(change.index, change.reference)
        said = round(apex_of(change))
        later.append(said - apex)
        inside += said in accepted
    patients = [change.reference.patient_id for change in changes]
    means = []
    for values, form in ((np.abs(later), ".2f"), (np.array(later), "+.2f")):
        low, high = bootstrap_statistic(values, patients).bounds
        means.append(f"{values.mean():{form}} ({low:{form}} to {high:{form}})")
    return [f"{means[0]} {inside}/{len(changes)}\n{means[1]}"]


def apex_by(network) -> Callable[[Change], float]:
    """The apex that a network finds; the middle of the clip where it finds none."""

    def apex(change: Change) -> float:
        found = keyframes_of(evaluate.answer(network, change.example).actions)[1]
        return found if np.isfinite(found) else (len(change.index) - 1) / 2

    return apex


def fine_tuned(network, parts: Parts, clips: list[Change], patient: str):
    """The network after a few more passes over the clips of the other patients, as they are."""
    others = [item.example for item in clips if item.name == "as is" and item.reference.patient_id != patient]
    start = network.get_weights()
    return train.fit(others * TUNING_REPEATS, parts, TUNING_EPOCHS, TUNING_RATE, 0, start)


def networks(folder: Path | None) -> Iterator[tuple[str, object]]:
    """Arms by name."""
    if folder is None:
        yield "temporal", inference.load()
        return
    for path in sorted(folder.glob("*/weights.npz")):
        yield path.parent.name, inference.load(path)


def frames_per_second(network, frames: np.ndarray) -> float:
    """Features and network on one clip, again and again for two seconds of this process's time."""
    inference.localise(network, extract(frames).values)
    begun, seen = time.process_time(), 0
    while time.process_time() - begun < 2:
        inference.localise(network, extract(frames).values)
        seen += len(frames)
    return seen / (time.process_time() - begun)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--phantom", type=Path, help="folder of `python -m stenoscope.phantom --seed 2023`")
    parser.add_argument("--annotated", type=Path, help="folder of clips with an annotations.csv")
    parser.add_argument("--arms", type=Path, help="folder of arms; default: the weights that ship")
    parser.add_argument("--limit", type=int, default=100, help="simulated clips")
    parser.add_argument("--as_is", action="store_true", help="leave out the five changes of the real clips")
    parser.add_argument("--tune", action="store_true", help="also fine-tune without the patient measured")
    arguments = parser.parse_args()
    if not (arguments.phantom or arguments.annotated):
        parser.error("nothing to measure: give --phantom, --annotated or both")
    prepare(threads=1, seed=0)
    console, quiet = Console(width=200), Console(stderr=True)
    arms = dict(networks(arguments.arms))
    if arguments.phantom:
        clips = track(
            read_phantom(arguments.phantom), "reading", total=arguments.limit, console=quiet, transient=True
        )
        measured = read(clips, arguments.limit, True)
        frames, _ = next(read_phantom(arguments.phantom))
        table = Table(title=f"{len(measured)} simulated clips", title_justify="left")
        heads = (
            "arm",
            "mAP",
            "0.3",
            "0.4",
            "0.5",
            "0.6",
            "0.7",
            "P",
            "R",
            "F",
            "deviation",
            "start apex end",
        )
        for name in (*heads, "frames/s"):
            table.add_column(name, no_wrap=True)
        said = [baseline_answer(item) for item in measured]
        examples = [item.example for item in measured]
        table.add_row(*simulated_row(BASELINE, examples, said, ""))
        for name, network in arms.items():
            answers = [evaluate.answer(network, example) for example in examples]
            rate = f"{frames_per_second(network, frames):.0f}"
            table.add_row(*simulated_row(name, examples, answers, rate))
        console.print(table)
    if arguments.annotated:
        clips = track(read_annotated(arguments.annotated), "reading", console=quiet)
        measured = read(clips, 10_000, arguments.as_is)
        by_change: dict[str, list[Change]] = {}
        for item in measured:
            by_change.setdefault(item.name, []).append(item)
        table = Table(
            title="AngioData: apex distance in frames, inside the accepted range; apex less the reader's",
            title_justify="left",
        )
        for name in ("arm", *by_change):
            table.add_column(name, no_wrap=True)

        def row(name: str, apex_of: Callable[[Change], float]) -> None:
            table.add_row(
                name, *(cell for clips in by_change.values() for cell in real_cells(clips, apex_of))
            )

        row(BASELINE, lambda change: change.baseline.apex)
        for name, network in arms.items():
            row(name, apex_by(network))
            if arguments.tune:
                parts = Parts(any(layer.name == "memory" for layer in network.layers), "contrast" not in name)
                patients = sorted({item.reference.patient_id for item in measured})
                tuned = {
                    patient: apex_by(fine_tuned(network, parts, measured, patient)) for patient in patients
                }
                row(f"{name}, fine-tuned", lambda change, by=tuned: by[change.reference.patient_id](change))
        console.print(table)


if __name__ == "__main__":
    main()
