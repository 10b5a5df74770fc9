"""Scores of a trained network, clip by clip, and a figure of each clip."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from stenoscope.evaluation.intervals import Interval, bootstrap_statistic
from stenoscope.temporal.batches import Example, frame_labels
from stenoscope.temporal.decode import Detections, best_actions
from stenoscope.temporal.inference import localise
from stenoscope.temporal.labels import ACTIONS, keyframes_of
from stenoscope.temporal.metrics import deviation, frame_scores, mean_average_precision

_COLOURS = ("#4a90d9", "#e07b39")


@dataclass(frozen=True)
class Answer:
    """What was found in one clip."""

    detections: Detections
    actions: np.ndarray  # float64 (2, 2): the best ones, NaN where there is none
    scores: np.ndarray  # float32 (num_frames, 2), of each action in each frame


@dataclass(frozen=True)
class Scores:
    """Scores of many clips."""

    mean_average_precision: np.ndarray  # float64 (5,), at tIoU 0.3 to 0.7
    precision: float  # of frames, mean over clips, like the next two
    recall: float
    f: float
    deviation: float  # mean of the errors of start, apex and end, frames
    deviation_interval: Interval  # bootstrap over patients; over clips where patients are unknown
    errors: np.ndarray  # float64 (3,): mean error of start, apex and end where truth and answer have them
    missed: tuple[int, ...]  # starts, apices and ends that the truth has in the clip and the answer has not


def answer(network: keras.Model, example: Example) -> Answer:
    """Apply a network to the features of a clip."""
    detections, scores = localise(network, example.values)
    return Answer(detections, best_actions(detections, len(example.values))[0], scores)


def score(examples: Sequence[Example], answers: Sequence[Answer]) -> Scores:
    """Compare answers with labels; see `metrics`."""
    frames, deviations, errors = [], [], []
    for example, found in zip(examples, answers, strict=True):
        count = len(example.values)
        true, said = (frame_labels(item.actions, count) for item in (example, found))
        frames.append(frame_scores(true, said))
        deviations.append(deviation(example.actions, found.actions, count))
        with_apex = np.isfinite(keyframes_of(example.actions))
        gap = np.abs(keyframes_of(example.actions) - keyframes_of(found.actions))
        errors.append(np.where(with_apex & np.isnan(gap), np.inf, gap))
    gaps = np.array(errors)
    precision, recall, f = np.mean(frames, axis=0)
    patients = [example.patient_id or example.clip_id for example in examples]
    return Scores(
        mean_average_precision([item.actions for item in examples], [item.detections for item in answers]),
        float(precision),
        float(recall),
        float(f),
        float(np.mean(deviations)),
        bootstrap_statistic(deviations, patients),
        np.array([column[np.isfinite(column)].mean() for column in gaps.T]),
        tuple(np.isinf(gaps).sum(axis=0).tolist()),
    )


def figure(example: Example, found: Answer) -> bytes:
    """PNG of one clip: score of each action over time, the true frames above, the found ones below."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    canvas = Figure(figsize=(8, 3.2), dpi=100, layout="constrained")
    axes = canvas.subplots()
    for k, (name, colour) in enumerate(zip(ACTIONS, _COLOURS, strict=True)):
        axes.plot(found.scores[:, k], color=colour, label=name.replace("_", " "))
        for actions, height in ((example.actions, 1.10), (found.actions, 1.03)):
            axes.hlines(height, *actions[k], colors=colour, linewidth=5)
    for text, height in (("true", 1.10), ("found", 1.03)):
        axes.text(1.01, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    for actions, style in ((example.actions, "-"), (found.actions, ":")):
        for frame in keyframes_of(actions):
            if np.isfinite(frame):
                axes.axvline(frame, color="#737985", linestyle=style, linewidth=1)
    axes.set(xlim=(-0.5, len(example.values) - 0.5), ylim=(0, 1.15), xlabel="frame", ylabel="score")
    axes.set_title(f"{example.clip_id}: start, apex, end, true (lines) and found (dotted)", fontsize=9)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", fontsize=8, frameon=False)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
