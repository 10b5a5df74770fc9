"""Labels of clips: from `labels.csv`, or from the folders `N/` (normal) and `A/` (abnormal)."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stenoscope.csv_files import unguard
from stenoscope.errors import DatasetError, DicomError

REQUIRED = ("clip_id", "patient_id", "label")

FOLDERS = {"N": 0.0, "A": 1.0}
"""First folder of a clip and its label."""

_VALUES = {
    "": np.nan,
    "0": 0.0,
    "1": 1.0,
    "0.0": 0.0,
    "1.0": 1.0,
}  # 0.0: what pandas makes of 0 beside blanks
_EXPECTED = "columns clip_id,patient_id,label, then any more columns of labels (0, 1, or empty for unknown)"
_MAX_FAULTS = 20


@dataclass(frozen=True)
class LabelTable:
    """Labels of clips, one row a clip.

    Attributes
    ----------
    clip_ids, patient_ids : list of str
        No clip id occurs twice; a patient id is empty only where a published data set names no patients.
    label_names : list of str
        ``label`` first.
    labels : ndarray, float32, shape (num_clips, num_labels)
        0, 1, or NaN for unknown.
    """

    clip_ids: list[str]
    patient_ids: list[str]
    label_names: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.clip_ids)


class LabelsError(DatasetError):
    """Labels with faults; knows all of them, where the message shows the first ones.

    Attributes
    ----------
    faults : list of str
    table : LabelTable or None
        What could be read all the same, the first line of each clip: faulty labels are NaN, missing patients
        empty. None if the columns are not known.
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


def read_labels(path: str | os.PathLike) -> LabelTable:
    """Read a `labels.csv`.

    Separated by commas, semicolons or tabs (whichever the header line holds), UTF-8 with or without a
    byte-order mark. Ids are text: leading zeros stay. Blanks around a value do not count, nor does an
    apostrophe before an id that a spreadsheet would take for a formula (see `csv_files`).

    Raises
    ------
    LabelsError
        With all faults of the file at once: missing columns, empty or repeated ids, other values than 0, 1
        and empty.
    DatasetError
        If it is no readable CSV, or has no line.
    """
    path = Path(path)
    frame = _read_table(path)
    faults = [f"no column {name}" for name in REQUIRED if name not in frame.columns]
    faults += [f"two columns {name}" for name in frame.columns[frame.columns.duplicated()].unique()]
    if faults:
        raise _faulty(path, faults)
    frame["clip_id"] = frame["clip_id"].str.replace("\\", "/", regex=False)
    label_names = ["label", *(name for name in frame.columns if name not in REQUIRED)]
    for name in ("clip_id", "patient_id"):
        faults += [f"line {line}: no {name}" for line in frame.index[frame[name] == ""]]
    repeated = frame[frame["clip_id"].duplicated(keep=False) & (frame["clip_id"] != "")]
    for clip_id, lines in repeated.groupby("clip_id").groups.items():
        faults.append(f"lines {', '.join(map(str, lines))}: clip_id {clip_id} more than once")
    labels = np.full((len(frame), len(label_names)), np.nan, np.float32)
    for column, name in enumerate(label_names):
        values = frame[name].map(_VALUES)
        wrong = values.isna() & (frame[name] != "")
        faults += [f"line {line}: {name} is {frame.at[line, name]!r}" for line in frame.index[wrong]]
        labels[:, column] = values
    if faults:
        first = (~frame["clip_id"].duplicated() & (frame["clip_id"] != "")).to_numpy()
        raise _faulty(path, faults, _table(frame[first], label_names, labels[first]))
    if not len(frame):
        raise DatasetError(f"{path} has a header line and no clips.", _EXPECTED, "add one line per clip.")
    return _table(frame, label_names, labels)


def _table(frame: pd.DataFrame, label_names: list[str], labels: np.ndarray) -> LabelTable:
    return LabelTable(frame["clip_id"].tolist(), frame["patient_id"].tolist(), label_names, labels)


def labels_from_folders(
    clip_ids: Iterable[str], header_patient: Callable[[str], str | None] | None = None
) -> LabelTable:
    """Labels from the first folder of each clip: `N/` normal, `A/` abnormal.

    The patient is the second folder (``A/patient/clip``; the same name below both is the same patient) or,
    for a clip directly in `N/` or `A/`, what its header says. Clips elsewhere are left without a label.

    Parameters
    ----------
    clip_ids : iterable of str
        With ``/`` between folders.
    header_patient : callable, optional
        ``header_patient(clip_id)``: pseudonym from the source's header, None if it names no patient. May
        raise DicomError for a file that can't be read; that clip is left out.

    Raises
    ------
    LabelsError
        If clips name no patient; all of them are listed.
    DatasetError
        If no clip is in either folder.
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
    """Bring labels and clips together.

    Parameters
    ----------
    table : LabelTable
    clip_ids : sequence of str
        Clips that were found, whether or not they can be read.

    Returns
    -------
    rows : dict of str to int
        For each clip with a label, its row in `table`, in the order of `clip_ids`.
    missing_clips : list of str
        Labels whose clip was not found, in the order of `table`.
    unlabelled : list of str
        Clips without a label, in the order of `clip_ids`.

    Raises
    ------
    DatasetError
        If not one clip has a label: the ids are then written differently.
    """
    row_of = {clip_id: row for row, clip_id in enumerate(table.clip_ids)}
    rows = {clip_id: row_of[clip_id] for clip_id in clip_ids if clip_id in row_of}
    if not rows:
        raise DatasetError(
            f"No label matches a clip: the labels name {_listed(table.clip_ids[:2])}, the clips are "
            f"{_listed(list(clip_ids)[:2])}.",
            "clip ids as paths below the input folder, without suffix",
            "correct the column clip_id, or --input.",
        )
    missing = [clip_id for clip_id in table.clip_ids if clip_id not in rows]
    return rows, missing, [clip_id for clip_id in clip_ids if clip_id not in rows]


def _read_table(path: Path) -> pd.DataFrame:
    """The file as stripped text, indexed by line number."""
    fix = "save it as 'CSV UTF-8' with the columns clip_id,patient_id,label."
    try:
        text = path.read_text(encoding="utf-8-sig")
        header = text.split("\n", 1)[0]
        separator = max(",;\t", key=header.count)
        frame = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, skip_blank_lines=False,
            index_col=False, header=None, skipinitialspace=True,
        )  # fmt: skip
    except OSError as problem:
        raise DatasetError(
            f"{path} can't be read: {problem.strerror}.", _EXPECTED, "check --labels."
        ) from problem
    except (ValueError, pd.errors.ParserError) as problem:  # UnicodeDecodeError is a ValueError
        raise DatasetError(f"{path} is not a readable CSV: {problem}.", _EXPECTED, fix) from problem
    frame = frame.fillna("").map(str.strip).map(unguard)
    frame.index += 1
    frame.columns = frame.loc[1].str.lower()
    frame = frame.iloc[1:]
    return frame[(frame != "").any(axis=1)]


def _faulty(path: Path, faults: list[str], table: LabelTable | None = None) -> LabelsError:
    more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    return LabelsError(
        f"{path} has {count}: {'; '.join(faults[:_MAX_FAULTS])}{more}.",
        _EXPECTED,
        "correct these lines; grouping by patient needs a patient_id for every clip.",
        faults,
        table,
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
