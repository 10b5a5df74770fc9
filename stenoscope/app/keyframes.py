"""Step 1: read every clip, choose its key frames, write `clips.pickle` and what explains it.

Clips are read and scored in worker processes (see `keyframe_worker`), unless an interrupted run, or the run
before, has done so (see `outcomes`). A clip that can't be used is quarantined with its reason and never stops
the others.
"""

import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stenoscope.app.fingerprints import Fingerprints
from stenoscope.app.inputs import KEPT, UNLABELLED, Inputs, check_method, open_data_set, write_draft
from stenoscope.app.outcomes import Outcomes, Reading
from stenoscope.data.check import CheckRow, match_problems, patient_problems
from stenoscope.data.clipset import FILE_NAME, FRAMES_NAME, VERSION, ClipSetWriter
from stenoscope.data.label_form import LabelForm
from stenoscope.data.labels import TEMPLATE, match_labels, template
from stenoscope.data.problems import Problem, count_of
from stenoscope.data.repeats import mark_repeats, repeat_problems
from stenoscope.data.truth import (
    BOX_FAULTS,
    boxes_text,
    faults_csv,
    fit_boxes,
    keyframe_lesions,
    truth_text,
    unknown_ids,
)
from stenoscope.errors import DatasetError
from stenoscope.imaging.intake import IntakeRow, counts_of, missing_clip, simulated_count, to_csv
from stenoscope.keyframes.published import CORRECTED, PUBLISHED
from stenoscope.records import FRAME_SIZE, KeyframeChoice, Origin
from stenoscope.run import claims, csv_files, locks, provenance
from stenoscope.run.cli import finish, say
from stenoscope.run.commands import after_keyframes, again, typed
from stenoscope.settings import KeyframeSettings

COLUMNS = (
    "clip_id", "patient_id", "label", "num_frames", "method", "start", "apex", "end", "confidence",
    "keyframes",
)  # fmt: skip
"""Columns of keyframes.csv."""

TABLE = "keyframes.csv"


@locks.released()
def make_keyframes(settings: KeyframeSettings) -> None:
    """Read the clips, choose the key frames, write the folder that step 2 reads; resumes after an interrupt.

    Raises
    ------
    DatasetError
        If there is no clip, no usable clip, or the labels are faulty.
    """
    check_method(settings.method)
    layout, data = open_data_set(settings.input, settings.layout)
    taken = Inputs(settings, layout, data)
    method, pseudonym = taken.method, taken.pseudonym
    labels, labels_from = taken.labels()
    merged = taken.merged
    truth, truth_from = taken.truth()
    corrected = taken.corrected()
    output = Path(settings.output)
    content = Fingerprints(data.sources, output)
    fingerprints = content.hashes
    inputs = {
        "clips": provenance.sha256_json(fingerprints),
        "labels": _hash_of(labels_from, labels),
        "truth": _hash_of(truth_from, truth),
        "pseudonym key": pseudonym.fingerprint,
        f"version of {FILE_NAME}": str(VERSION),
    }
    if method == PUBLISHED:
        inputs["published key frames"] = provenance.sha256_json(data.keyframes)
    if merged:
        inputs["same patients"] = provenance.sha256_json(merged)
    if settings.corrections != "none":
        inputs["corrected key frames"] = provenance.sha256_json(corrected)
    spare = {*KEPT, *Outcomes.spared(output)}
    if Path(settings.corrections).resolve() == (output / TABLE).resolve():
        spare.add(TABLE)  # handwork, until the table that takes its place is written
    elif not settings.overwrite:
        _refuse_edits(output)
    finished = claims.claim(output, "keyframes", settings, inputs, settings.overwrite, spare)
    content.keep()
    if finished:
        say(f"{output} is up to date; nothing to do.")
    else:
        rows = list(data.rows)
        names = labels.label_names if labels else []
        row_of: dict[str, int] = {}
        sources = data.sources
        if labels:
            row_of, missing, unlabelled = match_labels(labels, [source.clip_id for source in sources])
            doubled = {row.clip_id for row in data.rows}
            rows += [missing_clip(clip_id) for clip_id in missing if clip_id not in doubled]
            unlabelled = set(unlabelled)
            rows += [
                source.row("quarantined", UNLABELLED) for source in sources if source.clip_id in unlabelled
            ]
            sources = [source for source in sources if source.clip_id in row_of]
        table, boxed, headers = [], 0, {}
        known_ids = [item.clip_id for item in (*data.sources, *data.rows)]
        box_faults = unknown_ids(truth, known_ids)
        with ClipSetWriter(output, method, names) as writer:
            published = data.keyframes if method == PUBLISHED else {}
            outcomes = Outcomes(Reading(settings, method, pseudonym, fingerprints, published, corrected))
            for source, outcome in outcomes.of(sources):
                rows.append(outcome.row)
                if outcome.choice is None:
                    continue
                meta = dict(outcome.meta)
                headers[source.clip_id] = meta.pop("patient_id") or ""
                patient = data.patients.get(source.clip_id) or headers[source.clip_id] or None
                values = []
                if labels:
                    patient = labels.patient_ids[row_of[source.clip_id]]
                    values = labels.labels[row_of[source.clip_id]].tolist()
                patient = merged.get(patient, patient)
                size = (outcome.row.rows or FRAME_SIZE, outcome.row.cols or FRAME_SIZE)
                num_frames = len(outcome.choice.curve)
                fitted, faults = fit_boxes(source.clip_id, truth.get(source.clip_id), num_frames, size)
                box_faults += faults
                boxed += bool(fitted)
                lesions = keyframe_lesions(fitted, outcome.choice.keyframes)
                origin = Origin(**meta)
                writer.add(source.clip_id, patient, values, outcome.choice, outcome.frames, lesions, origin)
                table.append(_line(source.clip_id, patient, values, outcome.choice))
            rows = mark_repeats(rows)
            provenance.write_text(output / "intake.csv", to_csv(rows))
            if not table:
                raise _nothing_usable(settings.input, rows)
        provenance.write_text(output / TABLE, csv_files.to_csv(table, COLUMNS))
        if box_faults:
            provenance.write_text(output / BOX_FAULTS, faults_csv(box_faults))
        problems = []
        if labels:
            doubled = [row.clip_id for row in data.rows]
            problems = match_problems(labels.clip_ids, [source.clip_id for source in data.sources], doubled)
            problems += _persons(taken, table, headers)
        else:
            blank = [(line["clip_id"], line["patient_id"], ()) for line in table]
            write_draft(output / TEMPLATE, template(blank, LabelForm.of(settings)))
        if truth_from == layout:
            provenance.write_text(output / "truth.json", truth_text(truth))
        outcomes.keep()
        provenance.write_manifest(
            output,
            "keyframes",
            {**asdict(settings), "labels_from": str(labels_from), "layout_found": layout},
            inputs,
            _counts(rows, table),
            typed(),
            simulated=simulated_count(rows),
            repeats=[asdict(problem) for problem in _repeats(rows, table)],
            boxes=boxes_text(boxed, box_faults) if truth_from != "none" else "",
            problems=[asdict(problem) for problem in problems if problem.severity != "note"],
            clips=writer.entry,
            outputs={
                FILE_NAME: writer.entry["sha256"],
                FRAMES_NAME: writer.entry["frames_sha256"],
                TABLE: provenance.sha256_file(output / TABLE),
            },
        )
        outcomes.clean()
    _show(settings, output, bool(labels))


def _refuse_edits(output: Path) -> None:
    """Stop where the table of a finished run was changed by hand, before somebody has it overwritten."""
    try:
        manifest = provenance.read_manifest(output, "keyframes", "")
        if provenance.sha256_file(output / TABLE) == manifest["outputs"][TABLE]:
            return
    except (DatasetError, OSError, KeyError):  # the claim tells what is wrong
        return
    raise DatasetError(
        f"{output / TABLE} was changed since step 1 wrote it.",
        "the table as it was, or the flag that reads it",
        f"if you corrected key frames, add --corrections {shlex.quote(str(output / TABLE))} --overwrite; to "
        "discard the change, --overwrite alone.",
    )


def _hash_of(origin: Path | str, content) -> str:
    """What stands for labels or truth among the inputs: hash of the file, or of what the layout gave."""
    if isinstance(origin, Path):
        return provenance.sha256_file(origin)
    return origin if origin in ("none", "folders") else provenance.sha256_json(content)


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


def _counts(rows: list[IntakeRow], table: list[dict]) -> dict:
    by_label = {str(value): sum(line["label"] == value for line in table) for value in (0, 1, "")}
    return {
        **counts_of(rows),
        "patients": len({line["patient_id"] for line in table} - {""}),
        "normal": by_label["0"],
        "abnormal": by_label["1"],
        "unlabelled": by_label[""],
        "corrected": sum(line["method"] == CORRECTED for line in table),
    }


def _repeats(rows: list[IntakeRow], table: list[dict]) -> list[Problem]:
    """Clips with the same pixels, as the cohort's labels and patients make them harmless or a leak."""
    patients = {line["clip_id"]: line["patient_id"] for line in table}
    return repeat_problems(rows, patients, {line["clip_id"]: str(line["label"]) for line in table})


def _persons(taken: Inputs, table: list[dict], headers: dict) -> list[Problem]:
    """Who may be one person under several ids, by the ids themselves and by the headers."""
    rows = [
        CheckRow("", clip_id, "ok", header_patient=headers[clip_id], patient_id=line["patient_id"])
        for line in table
        for clip_id in [line["clip_id"]]
    ]
    patients = [row.patient_id for row in rows]
    return [*taken.people(patients, Path(taken.settings.output)), *patient_problems(rows)]


def _nothing_usable(folder: str, rows: list[IntakeRow]) -> DatasetError:
    reasons = [f"{row.path or row.clip_id}: {row.reason}" for row in rows if row.status == "quarantined"]
    shown = "\n  ".join(reasons[:10]) + (f"\n  ... and {len(reasons) - 10} more" if len(reasons) > 10 else "")
    return DatasetError(
        f"None of the {len(reasons)} clips in {folder} can be used:\n  {shown}", "at least one readable clip"
    )


def _notes(intake: Path) -> str:
    """What was done to clips that were read, or is to be known of them, and to how many."""
    if not intake.exists():  # the folder is up to date, but the table was taken away
        return ""
    rows = csv_files.read_csv(intake, dtype=str)
    reasons = rows["reason"][rows["status"] == "ok"]
    notes = Counter(note for reason in reasons for note in reason.split("; ") if note)
    return "; ".join(f"{note}: {count_of(count, 'clip')}" for note, count in notes.most_common())


def _show(settings: KeyframeSettings, output: Path, labelled: bool) -> None:
    manifest = provenance.read_manifest(output, "keyframes", again(KeyframeSettings, output))
    counts = manifest["counts"]
    by_hand = f", {counts['corrected']} corrected by hand" if counts.get("corrected") else ""
    shown = [("key frames", f"{output / FILE_NAME} ({counts['ok']} clips{by_hand})")]
    if labelled:
        shown.append(
            (
                "labels",
                f"{counts['normal']} normal, {counts['abnormal']} abnormal, "
                + (f"{counts['unlabelled']} unknown, " if counts["unlabelled"] else "")
                + (f"{counts['patients']} patients" if counts["patients"] else "no patients named"),
            )
        )
    shown.append(("table", str(output / TABLE)))
    if settings.sheets:
        shown.append(("look at", f"{output / 'sheets'}/ (curve and key frames of each clip)"))
    note = f"{counts['quarantined']} quarantined, {counts['ignored']} ignored"
    shown.append(("intake", f"{output / 'intake.csv'} ({note})"))
    if boxes := manifest.get("boxes"):  # folders of earlier versions have none
        where = f" ({output / BOX_FAULTS})" if (output / BOX_FAULTS).exists() else ""
        shown.append(("lesions", f"{boxes}{where}"))
    if notes := _notes(output / "intake.csv"):
        shown.append(("clips read", notes))
    if not labelled and (output / TEMPLATE).exists():
        shown.append(
            ("to fill in", f"{output / TEMPLATE} (clips and patients; then add --labels and its path)")
        )
    for found in [*manifest.get("problems", []), *manifest.get("repeats", [])]:  # earlier versions have none
        problem = Problem(**found)
        shown.append((problem.severity.upper(), f"{problem.sentence} To fix: {problem.fix}"))
    if labelled and not (counts["normal"] and counts["abnormal"]):
        shown.append(("note", "one class: no folds can be drawn and nothing trained on these clips alone"))
        labelled = False
    finish("Step 1: key frames", shown, after_keyframes(output) if labelled else None)
