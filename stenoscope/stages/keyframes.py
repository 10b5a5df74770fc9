"""Step 1: read every clip, choose its key frames, write `clips.pickle` and what explains it.

Clips are read and scored in worker processes (see `keyframe_worker`); each finished one is kept in `.work/`
until the pickle is written, so that an interrupted run goes on where it stopped. A clip that can't be used is
quarantined with its reason and never stops the others.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from stenoscope import __version__, provenance
from stenoscope.cli import finish, progress, say
from stenoscope.dataset.clipset import ClipSetWriter
from stenoscope.dataset.labels import LabelTable, labels_from_folders, match_labels, read_labels
from stenoscope.dataset.truth import keyframe_lesions, read_truth
from stenoscope.errors import DatasetError, unknown_name
from stenoscope.executors import crashed, executor, map_ordered
from stenoscope.imaging.intake import (
    IntakeRow,
    Inventory,
    Source,
    discover,
    missing_clip,
    patient_of,
    refuse,
    to_csv,
)
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.keyframes.registry import METHODS
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings
from stenoscope.stages.keyframe_worker import Outcome, process, read_outcome

COLUMNS = (
    "clip_id", "patient_id", "label", "num_frames", "method", "start", "apex", "end", "confidence",
    "keyframes",
)  # fmt: skip
"""Columns of keyframes.csv."""

UNLABELLED = "No label for this clip. To fix: add a line clip_id,patient_id,label."
CRASHED = (
    "The process that read this clip was killed, twice: by a crash of the decoder, or for want of memory. To "
    "fix: convert the file to an uncompressed transfer syntax."
)

_WORK = ".work"


def make_keyframes(settings: KeyframeSettings) -> None:
    """Read the clips, choose the key frames, write the folder that step 2 reads; resumes after an interrupt.

    Raises
    ------
    DatasetError
        If there is no clip, no usable clip, or the labels are faulty.
    """
    if settings.method not in METHODS:
        raise unknown_name("key-frame method", settings.method, METHODS)
    found = discover(settings.input)
    pseudonym = Pseudonymizer(settings.pseudonym_key)
    labels, labels_from = _labels(settings, found, pseudonym)
    truth_path = _truth_path(settings)
    truth = read_truth(truth_path) if truth_path else {}
    output = Path(settings.output)
    fingerprints = {source.clip_id: provenance.quick_hash(source.path) for source in found.sources}
    inputs = {
        "clips": provenance.sha256_json(fingerprints),
        "labels": provenance.sha256_file(labels_from) if isinstance(labels_from, Path) else labels_from,
        "truth": provenance.sha256_file(truth_path) if truth_path else "none",
        "pseudonym key": pseudonym.fingerprint,
    }
    if provenance.claim(output, "keyframes", settings, inputs, settings.overwrite):
        say(f"{output} is up to date; nothing to do.")
    else:
        rows = list(found.rows)
        names = labels.label_names if labels else []
        row_of: dict[str, int] = {}
        sources = found.sources
        if labels:
            row_of, missing, unlabelled = match_labels(labels, [source.clip_id for source in sources])
            doubled = {row.clip_id for row in found.rows}
            rows += [missing_clip(clip_id) for clip_id in missing if clip_id not in doubled]
            unlabelled = set(unlabelled)
            rows += [refuse(source, UNLABELLED) for source in sources if source.clip_id in unlabelled]
            sources = [source for source in sources if source.clip_id in row_of]
        table = []
        with ClipSetWriter(output, settings.method, names) as writer:
            for source, outcome in _outcomes(sources, settings, pseudonym, fingerprints, labels, row_of):
                rows.append(outcome.row)
                if outcome.choice is None:
                    continue
                meta = dict(outcome.meta)
                patient = meta.pop("patient_id")
                values = []
                if labels:
                    patient = labels.patient_ids[row_of[source.clip_id]]
                    values = labels.labels[row_of[source.clip_id]].tolist()
                lesions = keyframe_lesions(
                    truth.get(source.clip_id),
                    outcome.choice.keyframes,
                    f"{truth_path}, clip {source.clip_id!r}",
                )
                writer.add(source.clip_id, patient, values, outcome.choice, outcome.frames, lesions, **meta)
                table.append(_line(source.clip_id, patient, values, outcome.choice))
            provenance.write_text(output / "intake.csv", to_csv(rows))
            if not table:
                raise _nothing_usable(settings.input, rows)
        provenance.write_text(output / "keyframes.csv", _csv(table))
        provenance.write_manifest(
            output,
            "keyframes",
            {**asdict(settings), "labels_from": str(labels_from)},
            inputs,
            _counts(rows, table),
            clips=writer.entry,
            outputs={"keyframes.csv": provenance.sha256_file(output / "keyframes.csv")},
        )
        shutil.rmtree(output / _WORK, ignore_errors=True)
    _show(settings, output, bool(labels))


def _labels(settings: KeyframeSettings, found: Inventory, pseudonym) -> tuple[LabelTable | None, Path | str]:
    """The labels and where they come from: a path, 'folders' or 'none'; 'auto' says what it chose."""
    by_id = {source.clip_id: source for source in found.sources}
    choice: Path | str = settings.labels
    if settings.labels == "auto":
        root = Path(settings.input)
        if (root / "labels.csv").is_file():
            choice = root / "labels.csv"
        elif any(clip_id.split("/")[0] in ("N", "A") and "/" in clip_id for clip_id in by_id):
            choice = "folders"
        else:
            raise DatasetError(
                f"{root} has no labels.csv and no folders N/ and A/.",
                "a label for every clip",
                "write a CSV file clip_id,patient_id,label and give it with --labels FILE, sort the clips "
                "into N/ (normal) and A/ (abnormal), or use --labels none for key frames only.",
            )
        say(f"Labels from {choice if isinstance(choice, Path) else 'the folders N/ and A/'}.")
    if choice == "none":
        return None, "none"
    if choice == "folders":
        return labels_from_folders(by_id, lambda clip_id: patient_of(by_id[clip_id], pseudonym)), "folders"
    return read_labels(choice), Path(choice)


def _truth_path(settings: KeyframeSettings) -> Path | None:
    if settings.truth == "auto":
        path = Path(settings.input) / "truth.json"
        return path if path.is_file() else None
    return None if settings.truth == "none" else Path(settings.truth)


def _outcomes(
    sources: list[Source], settings: KeyframeSettings, pseudonym, fingerprints: dict, labels, row_of: dict
) -> Iterator[tuple[Source, Outcome]]:
    """Yield every source with its outcome, in order: from `.work/` if an earlier run made it, or computed."""
    output = Path(settings.output)

    def kept_at(source: Source) -> Path:
        how = [settings.method, settings.spread, settings.sheets, __version__]
        key = provenance.sha256_json([source.clip_id, fingerprints[source.clip_id], *how])
        return output / _WORK / f"{key}.pickle"

    missing = [source for source in sources if not kept_at(source).exists()]
    if len(missing) < len(sources):
        say(f"Resuming: {len(sources) - len(missing)} of {len(sources)} clips are done.")
    sheets = (output / "sheets").resolve() if settings.sheets else None
    work = partial(
        process, pseudonym=pseudonym, method=settings.method, spread=settings.spread, sheets=sheets
    )
    jobs = [
        (source, kept_at(source).resolve(), _caption(labels, row_of.get(source.clip_id)))
        for source in missing
    ]
    with (
        executor(settings.workers, settings.dask_scheduler) as pool,
        progress("key frames", len(sources)) as step,
    ):
        computed = map_ordered(pool, work, jobs)
        waiting = {source.clip_id for source in missing}
        for source in sources:
            row = None
            if source.clip_id in waiting:
                _, future = next(computed)
                row = refuse(source, CRASHED) if crashed(future) else future.result()
            yield source, read_outcome(kept_at(source)) if row is None else Outcome(row)
            step()


def _caption(labels: LabelTable | None, row: int | None) -> str:
    if labels is None:
        return ""
    label = labels.labels[row, 0]
    return "label unknown" if np.isnan(label) else ("normal", "abnormal")[int(label)]


def _line(clip_id: str, patient: str | None, values: list[float], choice: KeyframeChoice) -> dict:
    label = "" if not values or np.isnan(values[0]) else int(values[0])
    return {
        "clip_id": clip_id,
        "patient_id": patient or "",
        "label": label,
        "num_frames": len(choice.curve),
        "method": choice.method,
        "start": "" if choice.start is None else choice.start,
        "apex": choice.apex,
        "end": "" if choice.end is None else choice.end,
        "confidence": f"{choice.confidence:.3f}",
        "keyframes": " ".join(str(frame) for frame in choice.keyframes),
    }


def _csv(lines: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _counts(rows: list[IntakeRow], table: list[dict]) -> dict:
    counts = {
        status: sum(row.status == status for row in rows) for status in ("ok", "quarantined", "ignored")
    }
    by_label = {str(value): sum(line["label"] == value for line in table) for value in (0, 1, "")}
    return {
        **counts,
        "patients": len({line["patient_id"] for line in table} - {""}),
        "normal": by_label["0"],
        "abnormal": by_label["1"],
        "unlabelled": by_label[""],
    }


def _nothing_usable(folder: str, rows: list[IntakeRow]) -> DatasetError:
    reasons = [f"{row.path or row.clip_id}: {row.reason}" for row in rows if row.status == "quarantined"]
    shown = "\n  ".join(reasons[:10]) + (f"\n  ... and {len(reasons) - 10} more" if len(reasons) > 10 else "")
    return DatasetError(
        f"None of the {len(reasons)} clips in {folder} can be used:\n  {shown}", "at least one readable clip"
    )


def _show(settings: KeyframeSettings, output: Path, labelled: bool) -> None:
    counts = provenance.read_manifest(output, "keyframes", "python pickle_generator.py")["counts"]
    shown = [("key frames", f"{output / 'clips.pickle'} ({counts['ok']} clips)")]
    if labelled:
        shown.append(
            (
                "labels",
                f"{counts['normal']} normal, {counts['abnormal']} abnormal, {counts['patients']} patients",
            )
        )
    shown.append(("table", str(output / "keyframes.csv")))
    if settings.sheets:
        shown.append(("look at", f"{output / 'sheets'}/ (curve and key frames of each clip)"))
    note = f"{counts['quarantined']} quarantined, {counts['ignored']} ignored"
    shown.append(("intake", f"{output / 'intake.csv'} ({note})"))
    finish("Step 1: key frames", shown, "python data_loader_kfold.py" if labelled else None)
