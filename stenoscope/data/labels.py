"""Labels of clips: from a table, or from the folders `N/` (normal) and `A/` (abnormal)."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stenoscope.run.csv_files import to_csv
from stenoscope.data.identity import fit_names, near_misses
from stenoscope.data.label_form import UNKNOWN, LabelForm, is_word, label_values, word_of
from stenoscope.data.problems import count_of, listed
from stenoscope.data.tables import Table, damage, plain_text, read_table
from stenoscope.errors import DatasetError, DicomError

FOLDERS = {"N": 0.0, "A": 1.0}
"""First folder of a clip and its label."""

TEMPLATE = "labels_template.csv"
"""A table of the clips to fill in."""

_MISSING_PATIENT = UNKNOWN - {""} | {"none"}


@dataclass(frozen=True)
class LabelTable:
    """Labels of clips, one row a clip."""

    clip_ids: list[str]  # none occurs twice
    patient_ids: list[str]  # empty only where a published data set names no patients
    label_names: list[str]  # `label`, or the columns that were named
    labels: np.ndarray  # float32 (num_clips, num_labels): 0, 1, or NaN for unknown
    notes: tuple[str, ...] = ()  # sentences for the user on how the table was read

    def __len__(self) -> int:
        return len(self.clip_ids)

    def at(self, rows: Sequence[int]) -> "LabelTable":
        """Only these rows."""
        ids, patients = ([column[row] for row in rows] for column in (self.clip_ids, self.patient_ids))
        return LabelTable(ids, patients, self.label_names, self.labels[list(rows)], self.notes)


class LabelsError(DatasetError):
    """Labels with faults; knows all of them, where the message shows the first ones.

    `table` is what could be read all the same, the first line of each clip: faulty labels are NaN, missing
    patients empty. It is None if the columns are not known.
    """

    def __init__(
        self,
        received: str,
        expected: str = "",
        fix: str = "",
        faults: Sequence[str] = (),
        table: LabelTable | None = None,
    ):
        super().__init__(received, expected, fix)
        self.faults, self.table = list(faults), table


def read_labels(
    path: str | os.PathLike,
    form: LabelForm | None = None,
    clip_ids: Sequence[str] = (),
    patients: Callable[[list[str]], list[str]] | None = None,
) -> LabelTable:
    """Read a table of labels, CSV or `.xlsx` (see `tables.read_table`).

    Ids are text: leading zeros stay. Blanks around a value do not count, nor do other columns, nor does an
    apostrophe before an id that a spreadsheet would take for a formula (see `csv_files`).

    Parameters
    ----------
    path : path
    form : LabelForm, optional
        What its columns are called; `clip_id`, `patient_id` and `label` by default.
    clip_ids : sequence of str, optional
        Clips that were found: a name that differs from one of them by its blanks or its Unicode form only
        stands for it.
    patients : callable, optional
        ``patients(clip_ids)`` gives a patient for each clip of a table that names none, or raises.

    Raises
    ------
    LabelsError
        With all faults of the file at once: missing columns, empty or repeated ids, ids that a spreadsheet
        has changed, labels that are neither 0 nor 1 (nor of the form's classes) nor empty.
    DatasetError
        If it is no readable table, or has no line.
    """
    form = form or LabelForm()
    table = read_table(path, form.header)
    nobody = not any(row[at] for at in table.columns(form.patient) for _, row in table.rows)
    optional = (form.patient,) if patients else ()
    faults = [f"no column {name}" for name in form.header if not table.columns(name) and name not in optional]
    faults += [f"two columns {name}" for name in form.header if len(table.columns(name)) > 1]
    if faults:
        raise _faulty(table, form, faults)
    faults = [*table.faults]
    names, persons, *cells = (
        [row[place] for _, row in table.rows for place in table.columns(name)] for name in form.header
    )
    lines = [line for line, _ in table.rows]
    names = fit_names([plain_text(name.replace("\\", "/")) for name in names], clip_ids)
    if nobody and patients:
        persons = patients(names)
    faults += _id_faults(form.clip, lines, names)
    if not (nobody and patients):
        faults += _id_faults(form.patient, lines, persons)
        faults += _unnamed(form.patient, lines, persons)
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows_of.setdefault(name, []).append(row)
    for name, rows in rows_of.items():
        if name and len(rows) > 1:
            where = ", ".join(str(lines[row]) for row in rows)
            faults.append(f"lines {where}: {form.clip} {name} more than once")
    labels = np.full((len(lines), len(form.labels)), np.nan, np.float32)
    notes = [*table.notes, *_ignored(table, form)]
    for column, name in enumerate(form.labels):
        labels[:, column], wrong, said = label_values(cells[column], form.classes)
        faults += [f"line {lines[row]}: {name} is {cells[column][row]!r}" for row in wrong]
        notes += [f"{name}: {text}" for text in said]
    result = LabelTable(names, persons or [""] * len(names), list(form.labels), labels, tuple(notes))
    if faults:
        known = result.at([rows[0] for name, rows in rows_of.items() if name])
        raise _faulty(table, form, faults, known, cells)
    if not lines:
        raise DatasetError(f"{path} has a header line and no clips.", form.expected, "add one line per clip.")
    return result


def template(table: Iterable[tuple[str, str, Sequence[float]]], form: LabelForm) -> str:
    """Text of a `labels_template.csv`: clip, patient and what labels are known, to be filled in.

    With a byte-order mark, without which Excel takes UTF-8 for another encoding.
    """
    words = form.classes or ("0", "1")
    rows = []
    for clip_id, patient, values in table:
        known = ["" if np.isnan(value) else words[int(value)] for value in values]
        cells = [clip_id, patient, *(known or [""] * len(form.labels))]
        rows.append(dict(zip(form.header, cells, strict=True)))
    return "\ufeff" + to_csv(rows, form.header)


def labels_from_folders(
    clip_ids: Iterable[str], header_patient: Callable[[str], str | None] | None = None
) -> LabelTable:
    """Labels from the first folder of each clip: `N/` normal, `A/` abnormal.

    The patient is the second folder (``A/patient/clip``; the same name below both is the same patient) or,
    for a clip directly in `N/` or `A/`, what ``header_patient(clip_id)`` says: a pseudonym, None if the
    header names no patient, or a DicomError for a file that can't be read, whose clip is left out. Clips
    elsewhere are left without a label. Raises LabelsError with all clips that name no patient, DatasetError
    if no clip is in either folder.
    """
    clip_ids = list(clip_ids)
    known, patients, values, faults = [], [], [], []
    for clip_id in clip_ids:
        first, *rest = clip_id.split("/")
        if first not in FOLDERS or not rest:
            continue
        patient: str | None = rest[0]
        if len(rest) == 1:
            try:
                patient = header_patient(clip_id) if header_patient else None
            except DicomError:
                continue
            if not patient:
                faults.append(clip_id)
        known.append(clip_id)
        patients.append(patient or "")
        values.append(FOLDERS[first])
    table = LabelTable(known, patients, ["label"], np.asarray(values, np.float32)[:, None])
    if faults:
        raise LabelsError(
            f"{len(faults)} clips have no patient: {_listed(faults)}.",
            "a patient for every clip, so that training and test data never share one",
            "put the clips of each patient into a folder of its own (N/PATIENT/CLIP, A/PATIENT/CLIP), or "
            "write a labels.csv with the columns clip_id,patient_id,label.",
            [f"{clip_id} has no patient" for clip_id in faults],
            table,
        )
    if not known:
        raise DatasetError(
            f"None of the {len(clip_ids)} clips is in a folder N/ or A/ of the input, for example "
            f"{_listed(clip_ids[:1])}.",
            "normal clips in N/ and abnormal clips in A/",
            "move them, or give a labels.csv with --labels FILE, or --labels none for key frames only.",
        )
    return table


def match_labels(table: LabelTable, clip_ids: Sequence[str]) -> tuple[dict[str, int], list[str], list[str]]:
    """Bring labels and clips together; `clip_ids` were found, whether or not they can be read.

    Returns, for each clip with a label, its row in `table`; the labels whose clip was not found; and the
    clips without a label, each in the order of its source. Raises DatasetError if not one clip has a label:
    the ids are then written differently.
    """
    row_of = {clip_id: row for row, clip_id in enumerate(table.clip_ids)}
    rows = {clip_id: row_of[clip_id] for clip_id in clip_ids if clip_id in row_of}
    if not rows:
        near = [f"{name!r} is {which}" for name, which in near_misses(table.clip_ids, clip_ids).items()]
        raise DatasetError(
            f"No label matches a clip: the labels name {_listed(table.clip_ids[:2])}, the clips are "
            f"{_listed(list(clip_ids)[:2])}{'; ' if near else ''}{'; '.join(near[:2])}.",
            "clip ids as paths below the input folder, without suffix",
            f"correct the column clip_id{' as the clips are called' if near else ', or --input'}.",
        )
    missing = [clip_id for clip_id in table.clip_ids if clip_id not in rows]
    return rows, missing, [clip_id for clip_id in clip_ids if clip_id not in rows]


def _id_faults(column: str, lines: list[int], ids: list[str]) -> list[str]:
    faults = [f"line {line}: no {column}" for line, name in zip(lines, ids, strict=True) if not name]
    for line, name in zip(lines, ids, strict=True):
        if what := damage(name):
            faults.append(f"line {line}: {column} '{name}' {what}")
    return faults


def _unnamed(column: str, lines: list[int], persons: list[str]) -> list[str]:
    """Words such as NA that stand for several unknown patients, who would be grouped as one."""
    faults = []
    for name, count in Counter(persons).items():
        if count > 1 and name.casefold() in _MISSING_PATIENT:
            where = ", ".join(str(line) for line, other in zip(lines, persons, strict=True) if other == name)
            faults.append(f"lines {where}: {column} is {name!r}, which names nobody")
    return faults


def _ignored(table: Table, form: LabelForm) -> list[str]:
    """Which columns are not read, and how to read those that look like labels."""
    used = {place for name in form.header for place in table.columns(name)}
    others = [place for place in range(len(table.header)) if place not in used]
    if not others:
        return []
    told = f"Ignored columns of {table.path.name}: {', '.join(map(table.named, others))}."
    binary = [
        table.header[place]
        for place in others
        if table.header[place] and {word_of(row[place]) for _, row in table.rows} - UNKNOWN == {"0", "1"}
    ]
    if binary:
        told += (
            f" To train on more labels, name them all: --label_columns {','.join([*form.labels, *binary])}."
        )
    return [told]


def _faulty(
    table: Table, form: LabelForm, faults: list[str], known: LabelTable | None = None, cells: Sequence = ()
) -> LabelsError:
    fix = "correct these lines."
    if any(f"no {form.patient}" in fault for fault in faults):
        fix = f"correct these lines; grouping by patient needs a {form.patient} for every clip."
    words = sorted({cell for column in cells for cell in column if is_word(cell)})
    found = ""
    if known is None:
        found = f" Its columns are: {', '.join(map(table.named, range(len(table.header))))[:200]}."
        fix = "correct the header, or name the columns: --clip_column, --patient_column, --label_columns."
    elif len(words) == 2 and not form.classes:
        first, second = words
        fix = f"name the word for normal first: --classes {first},{second} or --classes {second},{first}."
    elif words and not form.classes:
        fix = f"{fix} Words are read with --classes, the one for normal first: --classes normal,abnormal."
    return LabelsError(
        f"{table.path} has {count_of(len(faults), 'fault')}: {listed(faults)}.{found}",
        form.expected,
        fix,
        faults,
        known,
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
