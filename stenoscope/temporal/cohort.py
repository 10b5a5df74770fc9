"""Labelled clips for the temporal network: simulated ones, or a folder of the user's with a label file."""

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stenoscope.errors import DatasetError
from stenoscope.imaging.dicom import read_dicom
from stenoscope.imaging.find import find_clips
from stenoscope.imaging.intake import Source, admit
from stenoscope.phantom.clip import simulate_clip
from stenoscope.phantom.cohort import ClipPlan, plan_cohort
from stenoscope.phantom.dicom_writer import clip_dataset, write_clip
from stenoscope.phantom.streams import stream
from stenoscope.run import provenance
from stenoscope.run.executors import executor, map_ordered
from stenoscope.temporal.batches import Example
from stenoscope.temporal.features import extract
from stenoscope.temporal.labels import LabelledClip, actions_of, clipped


@dataclass(frozen=True)
class Cohort:
    """Clips with labels."""

    examples: list[Example]
    fps: list[float]  # frames per second of each
    refused: Sequence[str] = ()  # one line for each labelled clip that can't be used


def simulated(
    patients: int,
    seed: int,
    workers: int = 0,
    on_clip: Callable[[], None] = lambda: None,
) -> Cohort:
    """The clips of `python -m stenoscope.phantom --patients P --seed S`, which are not kept on disk."""
    plans = plan_cohort(patients, seed)
    found = []
    with executor(workers) as pool:
        for _, future in map_ordered(pool, _simulate, [(plan, seed) for plan in plans]):
            found.append(future.result())
            on_clip()
    return Cohort([example for example, _ in found], [fps for _, fps in found])


def _simulate(job: tuple[ClipPlan, int]) -> tuple[Example, float]:
    plan, seed = job
    clip = simulate_clip(seed, plan.patient, plan.number, plan.artery, plan.label)
    header = stream(seed, "header", plan.patient, plan.number)
    dataset = clip_dataset(clip, seed, plan.patient, plan.number, header)
    with tempfile.TemporaryDirectory() as folder:  # read as any clip: window and polarity take part
        write_clip(Path(folder) / "clip.dcm", dataset)
        frames = read_dicom(Path(folder) / "clip.dcm", plan.clip_id, str).frames
    truth = clip.truth
    actions = actions_of(truth.start, truth.apex, truth.end, len(frames))
    values = extract(frames).values
    return Example(plan.clip_id, plan.patient_id, values, actions), 1000 / clip.frame_time_ms


def recorded(
    folder: str | Path,
    labels: dict[str, LabelledClip],
    subsets: Sequence[str],
    workers: int = 0,
    on_clip: Callable[[], None] = lambda: None,
) -> Cohort:
    """The clips of a folder that a label file names in these subsets; DatasetError if none can be used."""
    wanted = {clip_id: label for clip_id, label in labels.items() if label.subset in subsets}
    sources = {source.clip_id: source for source in find_clips(folder).sources}
    refused = [f"{clip_id}: not in {folder}." for clip_id in wanted if clip_id not in sources]
    examples, fps = [], []
    with executor(workers, isolated=True) as pool:
        present = [sources[clip_id] for clip_id in wanted if clip_id in sources]
        for source, future in map_ordered(pool, _read, present):
            values, reason = future.result()
            if values is None:
                refused.append(f"{source.clip_id}: {reason}")
            else:
                label = wanted[source.clip_id]
                actions = clipped(label.actions, len(values))
                examples.append(Example(source.clip_id, "", values, actions))
                fps.append(label.fps)
            on_clip()
    if not examples:
        raise DatasetError(
            f"None of the {len(wanted)} labelled clips of {' and '.join(subsets)} can be used"
            + (f"; the first: {refused[0]}" if refused else "."),
            f"clips below {folder} under the names that the label file uses",
            "compare the names with those of `python pickle_generator.py --check --input FOLDER`.",
        )
    return Cohort(examples, fps, refused)


def _read(source: Source) -> tuple[np.ndarray | None, str]:
    clip, row = admit(source, str)  # the patient's id is neither kept nor shown
    return (None, row.reason) if clip is None else (extract(clip.frames).values, "")


def keep(cohort: Cohort, path: str | Path) -> None:
    """Write features and labels as one .npz file."""
    examples = cohort.examples
    buffer = io.BytesIO()
    np.savez(
        buffer,
        clip_ids=np.array([item.clip_id for item in examples]),
        patient_ids=np.array([item.patient_id for item in examples]),
        lengths=np.array([len(item.values) for item in examples]),
        values=np.concatenate([item.values for item in examples]),
        actions=np.stack([item.actions for item in examples]),
        fps=np.array(cohort.fps),
    )
    provenance.write_bytes(path, buffer.getvalue())


def kept(path: str | Path) -> Cohort:
    """Read what `keep` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        columns = [stored[name] for name in ("clip_ids", "patient_ids", "actions", "lengths")]
        values, ends, fps = stored["values"], np.cumsum(columns[3]), stored["fps"].tolist()
    rows = zip(*columns, ends, strict=True)
    examples = [
        Example(str(clip), str(patient), values[end - length : end], actions)
        for clip, patient, actions, length, end in rows
    ]
    return Cohort(examples, fps)
