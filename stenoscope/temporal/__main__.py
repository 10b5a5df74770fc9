"""``python -m stenoscope.temporal train|evaluate``: the learned key-frame method."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stenoscope.errors import SettingsError
from stenoscope.phantom.cohort import plan_cohort
from stenoscope.run import csv_files, provenance
from stenoscope.run.arguments import Given, Step, start
from stenoscope.run.cli import finish, progress, say
from stenoscope.run.commands import typed
from stenoscope.settings import TemporalSettings
from stenoscope.temporal.cohort import Cohort, keep, kept, recorded, simulated
from stenoscope.temporal.labels import LabelledClip, keyframes_of, labels_text, read_labels
from stenoscope.training.machine import prepare

_PROG = "python -m stenoscope.temporal"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train or evaluate; returns the exit status."""
    return start(None, _STEPS, _PROG, arguments)


def _check(settings: TemporalSettings) -> None:
    if bool(settings.input) != bool(settings.labels):
        raise SettingsError(
            f"input is {settings.input!r} and labels is {settings.labels!r}.",
            "both, a folder of clips and its label file, or neither, for simulated clips",
            "give the other one too.",
        )


def _train(given: Given) -> None:
    settings = given.settings
    _check(settings)
    output = Path(settings.output)
    say(f"Computing with {prepare(settings.threads, settings.seed)}.")
    from stenoscope.temporal import inference, train
    from stenoscope.temporal.network import Parts

    parts, start = Parts(settings.conv_lstm, settings.contrast), None
    if settings.weights:
        parts = Parts(inference.read_parts(settings.weights).conv_lstm, settings.contrast)
        start = inference.load(settings.weights).get_weights()
    cohort = _cohort(settings, ("training",), settings.patients, settings.seed)
    lines = []
    with progress("training", settings.epochs) as step:

        def on_epoch(epoch: int, losses: dict) -> None:
            lines.append({"epoch": epoch + 1, **{name: f"{value:.5f}" for name, value in losses.items()}})
            step()

        rate = settings.learning_rate
        network = train.fit(cohort.examples, parts, settings.epochs, rate, settings.seed, start, on_epoch)
    inference.save(network, parts, output / "weights.npz")
    provenance.write_text(output / "history.csv", csv_files.to_csv(lines))
    counts = {"clips": len(cohort.examples), "frames": sum(len(item.values) for item in cohort.examples)}
    provenance.write_manifest(output, "temporal", settings, {}, counts, typed())
    rows = [
        ("weights", f"{output}/weights.npz ({network.count_params()} parameters, float16)"),
        ("losses", f"{output}/history.csv"),
        ("clips", f"{counts['clips']}, {counts['frames']} frames"),
    ]
    finish(
        "Trained the temporal network",
        rows,
        f"{_PROG} evaluate --weights {shlex.quote(str(output / 'weights.npz'))}",
    )


def _evaluate(given: Given) -> None:
    settings = given.settings
    _check(settings)
    output = Path(settings.output)
    say(f"Computing with {prepare(settings.threads, 0)}.")
    from stenoscope.temporal import evaluate, inference

    network = inference.load(settings.weights or inference.WEIGHTS)
    patients = max(1, settings.patients // 10)
    cohort = _cohort(settings, ("testing", "validation"), patients, settings.test_seed)
    (output / "figures").mkdir(parents=True, exist_ok=True)
    answers, lines = [], []
    with progress("evaluating", len(cohort.examples)) as step:
        for example in cohort.examples:
            found = evaluate.answer(network, example)
            answers.append(found)
            picture = output / "figures" / f"{provenance.file_name(example.clip_id)}.png"
            provenance.write_bytes(picture, evaluate.figure(example, found))
            lines.append(_line(example.clip_id, example.actions, found.actions))
            step()
    scores = evaluate.score(cohort.examples, answers)
    pairs = zip(cohort.examples, answers, cohort.fps, strict=True)
    found_labels = {e.clip_id: LabelledClip("testing", fps, a.actions) for e, a, fps in pairs}
    lengths = {example.clip_id: len(example.values) for example in cohort.examples}
    provenance.write_text(output / "found.json", labels_text(found_labels, lengths))
    provenance.write_text(output / "clips.csv", csv_files.to_csv(lines))
    summary = {**asdict(scores), "clips": len(answers)}
    provenance.write_json(output / "scores.json", summary)
    low, high = scores.deviation_interval.bounds or (np.nan, np.nan)
    average = scores.mean_average_precision
    rows = [
        ("mAP", f"{average.mean():.3f} (tIoU 0.3 to 0.7: {', '.join(f'{value:.3f}' for value in average)})"),
        ("frames", f"precision {scores.precision:.3f}, recall {scores.recall:.3f}, F {scores.f:.3f}"),
        ("deviation", f"{scores.deviation:.2f} frames ({low:.2f} to {high:.2f})"),
        ("start, apex, end", ", ".join(f"{value:.2f}" for value in scores.errors) + " frames off"),
        ("not found", ", ".join(map(str, scores.missed)) + " starts, apices, ends"),
        ("files", f"{output}/scores.json, clips.csv, found.json, figures/*.png"),
    ]
    finish(f"{len(answers)} clips", rows, None)


def _cohort(settings: TemporalSettings, subsets: Sequence[str], patients: int, seed: int) -> Cohort:
    """The labelled clips that the settings name; simulated ones are kept in the output folder."""
    output = Path(settings.output)
    output.mkdir(parents=True, exist_ok=True)
    if settings.input:
        labels = read_labels(settings.labels)
        count = sum(label.subset in subsets for label in labels.values())
        with progress("reading clips", count) as step:
            cohort = recorded(settings.input, labels, subsets, settings.workers, step)
        for line in cohort.refused:
            say(f"Left out: {line}")
        return cohort
    path = output / f"features_{patients}_{seed}.npz"
    if path.exists():
        return kept(path)
    with progress("simulating clips", len(plan_cohort(patients, seed))) as step:
        cohort = simulated(patients, seed, settings.workers, step)
    keep(cohort, path)
    return cohort


def _line(clip_id: str, true: np.ndarray, found: np.ndarray) -> dict:
    names = ("start", "apex", "end")
    line = {"clip_id": clip_id}
    for kind, actions in (("true", true), ("found", found)):
        for name, frame in zip(names, keyframes_of(actions), strict=True):
            line[f"{kind}_{name}"] = f"{frame:.1f}" if np.isfinite(frame) else ""
    return line


_STEPS = {
    "train": Step(
        TemporalSettings, _train, "Train the network, on simulated clips or on a folder with a label file."
    ),
    "evaluate": Step(
        TemporalSettings,
        _evaluate,
        "Score weights on clips that they were not trained on, with a picture of each clip.",
    ),
}

if __name__ == "__main__":
    sys.exit(main())
