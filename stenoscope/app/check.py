"""``pickle_generator.py --check``: verify a whole cohort before any work, and say everything that is wrong.

Sources are read and measured in worker processes (`check_worker`). The row of each good clip is kept in
`.check/` of the output folder as soon as it is known. A run that was stopped, or is run again after a fault
was fixed, therefore reads only what is new, has changed, or failed. No key frames are written.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from stenoscope import __version__
from stenoscope.app.check_worker import check_source
from stenoscope.app.fingerprints import Fingerprints
from stenoscope.app.inputs import (
    CHECK,
    DEFAULT_METHOD,
    UNLABELLED,
    Inputs,
    check_method,
    open_data_set,
    result_of,
    write_draft,
)  # fmt: skip
from stenoscope.data.check import (
    CheckRow,
    content_problems,
    match_problems,
    patient_problems,
    shortcut_problems,
)
from stenoscope.data.data_set import DataSet
from stenoscope.data.label_form import LabelForm
from stenoscope.data.labels import TEMPLATE, LabelsError, LabelTable, template
from stenoscope.data.problems import BLOCKING, Problem, count_of, if_any, in_order
from stenoscope.data.repeats import mark_repeats, repeat_problems
from stenoscope.data.truth import boxes_text, fit_boxes, unknown_ids
from stenoscope.errors import DatasetError, writing
from stenoscope.folds.split import make_folds
from stenoscope.imaging.find import find_clips
from stenoscope.imaging.intake import counts_of, missing_clip, to_csv
from stenoscope.report.intake_page import write_intake_page
from stenoscope.run import locks, provenance
from stenoscope.run.cli import finish, progress, say
from stenoscope.run.commands import command
from stenoscope.run.executors import executor, map_ordered
from stenoscope.settings import FoldSettings, KeyframeSettings

_WORK, _RESULTS = CHECK
TABLE, PAGE = f"{_RESULTS}/intake.csv", f"{_RESULTS}/intake.html"
_JOURNAL = "rows.jsonl"
_DAMAGED = "damaged"  # a published data set whose own tables can't be read: labels are not looked for


@locks.released()
def check(settings: KeyframeSettings) -> int:
    """Write `intake.csv`, `intake.html` and tables to fill in to `OUTPUT/check/`; step 1 leaves them alone.

    The exit status is 1 if something would stop step 1 or invalidate the test of a model, else 0. A
    DatasetError if there is no clip at all, or another check of the same output is under way; a SettingsError
    if there is no such key-frame method or layout.
    """
    check_method(settings.method)
    problems: list[Problem] = []
    layout, data = _open(settings, problems)
    whole = layout != _DAMAGED
    taken = Inputs(settings, layout, data, "" if whole else DEFAULT_METHOD)
    labels = _attempt(problems, lambda: taken.labels()[0], None) if whole else None
    merged = taken.merged
    rows = _rows(taken, _attempt(problems, taken.corrected, {}))
    rows = _with_labels(rows, data, labels, merged)
    if labels is None and not problems:
        title = "No labels: step 1 chooses key frames, and nothing can be trained on them."
        problems.append(Problem("note", title, "give labels with --labels to train."))
    output = Path(settings.output)
    problems += _problems(rows, data, labels, settings.keyframes)
    if whole:
        problems += _box_problems(_attempt(problems, lambda: taken.truth()[0], {}), rows)
    problems += [Problem("note", note) for note in (labels.notes if labels else ())]
    used = [row.patient_id for row in rows if row.status == "ok"]
    problems += taken.people(used, output / _RESULTS)
    problems = in_order(problems)
    write_draft(output / _RESULTS / TEMPLATE, _template(rows, labels, LabelForm.of(settings)))
    provenance.write_text(output / TABLE, to_csv(rows, CheckRow))
    blocked = any(problem.severity in BLOCKING for problem in problems)
    line = command(KeyframeSettings, check=blocked, **asdict(replace(settings, overwrite=False)))
    write_intake_page(output / PAGE, Path(settings.input).resolve().name, rows, problems, line)
    _show(output, rows, problems, line)
    return int(blocked)


def _open(settings: KeyframeSettings, problems: list[Problem]) -> tuple[str, DataSet]:
    """The cohort; where a published data set's own tables are damaged, its clips without them."""
    try:
        return open_data_set(settings.input, settings.layout)
    except DatasetError as problem:
        with suppress(DatasetError):
            found = find_clips(settings.input)
            data = DataSet(found.sources, found.rows)
            problems.append(Problem("stop", problem.received, problem.fix))
            return _DAMAGED, data
        raise


def _attempt(problems: list[Problem], read: Callable, otherwise):
    """What step 1 would read; where it can't, that is a problem, and what of it can be read is taken."""
    try:
        return read()
    except LabelsError as problem:
        title = f"{count_of(len(problem.faults), 'fault')} in the labels."
        problems.append(Problem("stop", title, problem.fix, problem.faults))
        return problem.table
    except DatasetError as problem:
        problems.append(Problem("stop", problem.received, problem.fix or problem.expected))
        return otherwise


def _rows(taken: Inputs, corrected: dict[str, tuple[int, ...]]) -> list[CheckRow]:
    """One row a source, and the rows of what is no source, in the order of their paths."""
    settings, data, pseudonym, method = taken.settings, taken.data, taken.pseudonym, taken.method
    rows = [CheckRow(**asdict(row)) for row in data.rows]
    work = Path(settings.output) / _WORK
    locks.hold(work)
    content = Fingerprints(data.sources, settings.output)
    content.keep()
    how = [method, pseudonym.fingerprint, __version__, [field.name for field in fields(CheckRow)]]
    keys = {
        source.clip_id: provenance.sha256_json(
            [
                source.clip_id,
                source.relative,
                content.hashes[source.clip_id],
                data.keyframes.get(source.clip_id),
                *how,
                *([True] if source.clip_id in corrected else []),
            ]
        )
        for source in data.sources
    }
    known = _read_journal(work / _JOURNAL, set(keys.values()))
    missing = [source for source in data.sources if keys[source.clip_id] not in known]
    if len(missing) < len(keys):
        say(f"{len(keys) - len(missing)} of {len(keys)} clips are unchanged; {len(missing)} to read.")
    jobs = (  # a worker may have been started in another folder
        (
            replace(source, path=source.path.absolute()),
            data.keyframes.get(source.clip_id, ()),
            source.clip_id in corrected,
        )
        for source in missing
    )
    with (
        writing(work / _JOURNAL, only_full=True),
        (work / _JOURNAL).open("a", encoding="utf-8") as journal,
        executor(settings.workers, settings.dask_scheduler, isolated=True, kind=settings.executor) as pool,
        progress("intake", len(missing)) as step,
    ):
        for (source, *_), future in map_ordered(
            pool, partial(check_source, pseudonym=pseudonym, method=method), jobs
        ):
            row = result_of(source, future)
            if not isinstance(row, CheckRow):
                row = CheckRow(**asdict(row))
            known[keys[source.clip_id]] = row
            # What failed is tried again: permissions and crashes leave files as they are.
            if row.status == "ok":
                journal.write(_line(keys[source.clip_id], row))
                journal.flush()
            step()
    return sorted([*rows, *known.values()], key=lambda row: (row.path, row.clip_id))


def _line(key: str, row: CheckRow) -> str:
    return json.dumps({"key": key, "row": asdict(row)}) + "\n"


def _read_journal(path: Path, wanted: set[str]) -> dict[str, CheckRow]:
    """Rows of earlier runs that still hold, by key; the journal is written anew without the others.

    A line that a killed run left half-written is dropped.
    """
    known = {}
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with suppress(ValueError, TypeError, KeyError):
                    entry = json.loads(line)
                    if entry["key"] in wanted:
                        known[entry["key"]] = CheckRow(**entry["row"])
    with provenance.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as journal:
        journal.writelines(_line(key, row) for key, row in known.items())
    return known


def _template(rows: list[CheckRow], labels: LabelTable | None, form: LabelForm) -> str:
    """The clips that can be used once they have a label, with what is known of them."""
    values = dict(zip(labels.clip_ids, labels.labels, strict=True)) if labels else {}
    return template(
        (
            (row.clip_id, row.patient_id, values.get(row.clip_id, ()))
            for row in sorted(rows, key=lambda row: row.clip_id)
            if row.status == "ok" or row.reason == UNLABELLED
        ),
        form,
    )


def _with_labels(
    rows: list[CheckRow], data: DataSet, labels: LabelTable | None, merged: dict[str, str]
) -> list[CheckRow]:
    """The rows with their labels and patients; as in step 1, a clip without a label can't be used."""
    row_of = {clip_id: row for row, clip_id in enumerate(labels.clip_ids)} if labels else {}
    result = []
    for row in mark_repeats(rows):
        patient = data.patients.get(row.clip_id) or row.header_patient
        label = ""
        if row.clip_id in row_of:
            patient = labels.patient_ids[row_of[row.clip_id]]
            value = labels.labels[row_of[row.clip_id], 0]
            label = "" if np.isnan(value) else str(int(value))
        elif labels and row.status == "ok":
            row = replace(row, status="quarantined", reason=UNLABELLED)
        result.append(replace(row, patient_id=merged.get(patient, patient), label=label))
    if labels:
        found = {row.clip_id for row in rows}
        result += [CheckRow(**asdict(missing_clip(name))) for name in labels.clip_ids if name not in found]
    return sorted(result, key=lambda row: (row.path, row.clip_id))


def _problems(
    rows: list[CheckRow], data: DataSet, labels: LabelTable | None, num_keyframes: int
) -> list[Problem]:
    """Everything that the rows show, in the order in which a reader wants it."""
    problems = []
    usable = [row for row in rows if row.status == "ok"]
    if labels:
        sources = [source.clip_id for source in data.sources]
        problems += match_problems(labels.clip_ids, sources, [row.clip_id for row in data.rows])
    if not usable:
        problems.append(Problem("stop", "No clip can be used.", "see what is excluded, and why."))
    elif labels:
        try:
            values = [float(row.label) if row.label else np.nan for row in usable]
            defaults = FoldSettings()
            make_folds(np.array(values), [row.patient_id for row in usable], defaults.seed, defaults.folds)
        except DatasetError as problem:
            problems.append(Problem("warning", f"Step 2 would stop. {problem.received}", problem.fix))
    patients = {row.clip_id: row.patient_id for row in rows}
    return [
        *problems,
        *repeat_problems(rows, patients, {row.clip_id: row.label for row in rows}),
        *patient_problems(rows),
        *shortcut_problems(rows),
        *content_problems(rows, num_keyframes),
    ]


def _box_problems(truth: dict[str, dict], rows: list[CheckRow]) -> list[Problem]:
    """Lesion boxes that fit no clip."""
    used = [row for row in rows if row.status == "ok" and row.clip_id in truth and row.num_frames]
    found = [fit_boxes(row.clip_id, truth[row.clip_id], row.num_frames, (row.rows, row.cols)) for row in used]
    faults = [*unknown_ids(truth, [row.clip_id for row in rows]), *(one for _, own in found for one in own)]
    items = [f"{one.clip_id}{one.frame and f' frame {one.frame}'}: {one.what}" for one in faults]
    title = f"{boxes_text(sum(bool(lesions) for lesions, _ in found), faults)}."
    return if_any("warning", items, title, "correct the file of boxes.")


def _show(output: Path, rows: list[CheckRow], problems: list[Problem], line: str) -> None:
    usable = [row for row in rows if row.status == "ok"]
    _, excluded, ignored = counts_of(rows).values()
    normal, abnormal = (sum(row.label == value for row in usable) for value in "01")
    patients = {row.patient_id for row in usable} - {""}
    shown = [
        ("can be used", f"{count_of(len(usable), 'clip')} of {count_of(len(patients), 'patient')}"),
        ("labels", f"{normal} normal, {abnormal} abnormal, {len(usable) - normal - abnormal} without"),
        ("excluded", f"{count_of(excluded, 'clip')}; {count_of(ignored, 'other file')}"),
    ]
    for problem in problems:
        if problem.severity != "note":
            fix = f" To fix: {problem.fix}" if problem.fix else ""
            shown.append((problem.severity.upper(), problem.sentence + fix))
    shown += [("table", str(output / TABLE)), ("look at", str(output / PAGE))]
    shown.append(
        ("to fill in", f"{output / _RESULTS / TEMPLATE} (clips and patients; then give it with --labels)")
    )
    blocked = any(problem.severity in BLOCKING for problem in problems)
    title = "Check: fix what is marked LEAK or STOP" if blocked else "Check: step 1 can run"
    finish(title, shown, line)
