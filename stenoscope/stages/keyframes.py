"""Step 1: read every clip, choose its key frames, write `clips.pickle` and what explains it.

Clips are read and scored in worker processes (see `keyframe_worker`); each finished one is kept in `.work/`
until the pickle is written, so that an interrupted run goes on where it stopped. A clip that can't be used is
quarantined with its reason and never stops the others.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from stenoscope import __version__, claims, csv_files, locks, provenance
from stenoscope.cli import finish, progress, say
from stenoscope.cluster import Run, await_file
from stenoscope.commands import after_keyframes, again
from stenoscope.dataset.clipset import ClipSetWriter
from stenoscope.dataset.label_form import LabelForm
from stenoscope.dataset.labels import TEMPLATE, LabelTable, match_labels, template
from stenoscope.dataset.problems import Problem, count_of
from stenoscope.dataset.repeats import mark_repeats, repeat_problems
from stenoscope.dataset.survey import SurveyRow, match_problems, patient_problems
from stenoscope.dataset.truth import (
    BOX_FAULTS,
    boxes_text,
    faults_csv,
    fit_boxes,
    keyframe_lesions,
    truth_text,
    unknown_ids,
)
from stenoscope.errors import DatasetError
from stenoscope.executors import executor, map_ordered
from stenoscope.imaging.intake import (
    IntakeRow,
    Source,
    missing_clip,
    refuse,
    simulated_count,
    to_csv,
)
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.keyframes.published import PUBLISHED
from stenoscope.records import FRAME_SIZE, KeyframeChoice
from stenoscope.settings import KeyframeSettings
from stenoscope.stages.cohort import (
    KEPT,
    UNLABELLED,
    check_method,
    choose_method,
    find_labels,
    find_truth,
    open_cohort,
    people,
    result_of,
    same_patients,
    write_draft,
)
from stenoscope.stages.keyframe_worker import Outcome, process, read_outcome
from stenoscope.stages.sources import Fingerprints

COLUMNS = (
    "clip_id", "patient_id", "label", "num_frames", "method", "start", "apex", "end", "confidence",
    "keyframes",
)  # fmt: skip
"""Columns of keyframes.csv."""


_WORK = ".work"


@locks.released()
def make_keyframes(settings: KeyframeSettings) -> None:
    """Read the clips, choose the key frames, write the folder that step 2 reads; resumes after an interrupt.

    Raises
    ------
    DatasetError
        If there is no clip, no usable clip, or the labels are faulty.
    """
    check_method(settings.method)
    layout, data = open_cohort(settings.input, settings.layout)
    found = data.inventory
    method = choose_method(settings.method, layout, data)
    pseudonym = Pseudonymizer(settings.pseudonym_key)
    labels, labels_from = find_labels(settings, layout, data, pseudonym)
    merged = same_patients(settings)
    truth, truth_from = find_truth(settings, layout, data)
    output = Path(settings.output)
    content = Fingerprints(found.sources, output)
    fingerprints = content.hashes
    inputs = {
        "clips": provenance.sha256_json(fingerprints),
        "labels": _hash_of(labels_from, labels),
        "truth": _hash_of(truth_from, truth),
        "pseudonym key": pseudonym.fingerprint,
    }
    if method == PUBLISHED:
        inputs["published key frames"] = provenance.sha256_json(data.keyframes)
    if merged:
        inputs["same patients"] = provenance.sha256_json(merged)
    finished = claims.claim(output, "keyframes", settings, inputs, settings.overwrite, spare=KEPT)
    content.keep()
    if finished:
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
        table, boxed, headers = [], 0, {}
        known_ids = [item.clip_id for item in (*found.sources, *found.rows)]
        box_faults = unknown_ids(truth, known_ids)
        with ClipSetWriter(output, method, names) as writer:
            published = data.keyframes if method == PUBLISHED else {}
            known = (fingerprints, labels, row_of, published)
            for source, outcome in _outcomes(sources, settings, method, pseudonym, *known):
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
                writer.add(source.clip_id, patient, values, outcome.choice, outcome.frames, lesions, **meta)
                table.append(_line(source.clip_id, patient, values, outcome.choice))
            rows = mark_repeats(rows)
            provenance.write_text(output / "intake.csv", to_csv(rows))
            if not table:
                raise _nothing_usable(settings.input, rows)
        provenance.write_text(output / "keyframes.csv", csv_files.to_csv(table, COLUMNS))
        if box_faults:
            provenance.write_text(output / BOX_FAULTS, faults_csv(box_faults))
        problems = []
        if labels:
            doubled = [row.clip_id for row in found.rows]
            problems = match_problems(labels.clip_ids, [source.clip_id for source in found.sources], doubled)
            problems += _persons(table, headers, merged, output)
        else:
            blank = [(line["clip_id"], line["patient_id"], ()) for line in table]
            write_draft(output / TEMPLATE, template(blank, LabelForm.of(settings)))
        if truth_from == layout:
            provenance.write_text(output / "truth.json", truth_text(truth))
        provenance.write_manifest(
            output,
            "keyframes",
            {**asdict(settings), "labels_from": str(labels_from), "layout_found": layout},
            inputs,
            _counts(rows, table),
            simulated=simulated_count(rows),
            repeats=[asdict(problem) for problem in _repeats(rows, table)],
            boxes=boxes_text(boxed, box_faults) if truth_from != "none" else "",
            problems=[asdict(problem) for problem in problems if problem.severity != "note"],
            clips=writer.entry,
            outputs={
                "clips.pickle": writer.entry["sha256"],
                "keyframes.csv": provenance.sha256_file(output / "keyframes.csv"),
            },
        )
        shutil.rmtree(output / _WORK, ignore_errors=True)
    _show(settings, output, bool(labels))


def _hash_of(origin: Path | str, content) -> str:
    """What stands for labels or truth among the inputs: hash of the file, or of what the layout gave."""
    if isinstance(origin, Path):
        return provenance.sha256_file(origin)
    return origin if origin in ("none", "folders") else provenance.sha256_json(content)


def _outcomes(
    sources: list[Source],
    settings: KeyframeSettings,
    method: str,
    pseudonym,
    fingerprints: dict,
    labels: LabelTable | None,
    row_of: dict,
    published: dict,
) -> Iterator[tuple[Source, Outcome]]:
    """Yield every source with its outcome, in order: from `.work/` if an earlier run made it, or computed."""
    output = Path(settings.output)

    def kept_at(source: Source) -> Path:
        how = [method, published.get(source.clip_id), settings.spread, settings.sheets, __version__]
        key = provenance.sha256_json([source.clip_id, fingerprints[source.clip_id], *how])
        return output / _WORK / f"{key}.pickle"

    missing = [source for source in sources if not kept_at(source).exists()]
    if len(missing) < len(sources):
        say(f"Resuming: {len(sources) - len(missing)} of {len(sources)} clips are done.")
    sheets = (output / "sheets").resolve() if settings.sheets else None
    work = partial(
        process,
        run=Run.of(output),
        pseudonym=pseudonym,
        method=method,
        spread=settings.spread,
        sheets=sheets,
    )
    jobs = [
        (
            replace(source, path=source.path.absolute()),  # a worker may have been started in another folder
            kept_at(source).resolve(),
            _caption(labels, row_of.get(source.clip_id)),
            published.get(source.clip_id, ()),
        )
        for source in missing
    ]
    with (
        executor(settings.workers, settings.dask_scheduler, isolated=True, kind=settings.executor) as pool,
        progress("key frames", len(sources)) as step,
    ):
        computed = map_ordered(pool, work, jobs)
        waiting = {source.clip_id for source in missing}
        for source in sources:
            row = None
            if source.clip_id in waiting:
                row = result_of(source, next(computed)[1])
            if row is None:
                await_file(kept_at(source))
            yield source, read_outcome(kept_at(source)) if row is None else Outcome(row)
            step()
    if sheets:
        claims.tidy(sheets)


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


def _repeats(rows: list[IntakeRow], table: list[dict]) -> list[Problem]:
    """Clips with the same pixels, as the cohort's labels and patients make them harmless or a leak."""
    patients = {line["clip_id"]: line["patient_id"] for line in table}
    return repeat_problems(rows, patients, {line["clip_id"]: str(line["label"]) for line in table})


def _persons(table: list[dict], headers: dict, merged: dict, output: Path) -> list[Problem]:
    """Who may be one person under several ids, by the ids themselves and by the headers."""
    rows = [
        SurveyRow("", clip_id, "ok", header_patient=headers[clip_id], patient_id=line["patient_id"])
        for line in table
        for clip_id in [line["clip_id"]]
    ]
    return [*people([row.patient_id for row in rows], merged, output), *patient_problems(rows)]


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
    shown = [("key frames", f"{output / 'clips.pickle'} ({counts['ok']} clips)")]
    if labelled:
        shown.append(
            (
                "labels",
                f"{counts['normal']} normal, {counts['abnormal']} abnormal, "
                + (f"{counts['unlabelled']} unknown, " if counts["unlabelled"] else "")
                + (f"{counts['patients']} patients" if counts["patients"] else "no patients named"),
            )
        )
    shown.append(("table", str(output / "keyframes.csv")))
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
        shown.append((problem.severity.upper(), f"{problem.told} To fix: {problem.fix}"))
    if labelled and not (counts["normal"] and counts["abnormal"]):
        shown.append(("note", "one class: no folds can be drawn and nothing trained on these clips alone"))
        labelled = False
    finish("Step 1: key frames", shown, after_keyframes(output) if labelled else None)
