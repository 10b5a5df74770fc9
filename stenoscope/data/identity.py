"""Which ids mean the same: names that nearly fit a clip, and patient ids that may be one person's."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from stenoscope.run.csv_files import to_csv
from stenoscope.data.problems import Problem, count_of
from stenoscope.data.tables import plain_text, read_table
from stenoscope.errors import DatasetError

SAME_PATIENTS = "same_patients.csv"
"""The draft of what `read_same_patients` reads."""

_COLUMNS = ("patient_id", "same_as")
_FORM = "columns patient_id,same_as: an id, and the id of the person it belongs to"

_DIFFERENCES: dict[str, Callable[[str], str]] = {
    "upper and lower case": str.casefold,
    "a leading './'": lambda name: re.sub(r"^(\.?/)+", "", name),
    "a suffix": lambda name: re.sub(r"(?<=[^/])\.(0|(?=\w*[A-Za-z])\w{1,5})$", "", name),  # or 12.0 for 12
    "blanks, hyphens or underscores": lambda name: re.sub(r"[\s_\-‐-―]+", "", name),
    "leading zeros": lambda name: re.sub(r"(?<!\d)0+(?=\d)", "", name),
}
"""In what ids may differ that mean one clip, and how to make each form of a name the same."""


def name_key(name: str) -> str:
    """What names of clips are compared by: NFC, without invisible characters, with single blanks inside."""
    return "/".join(plain_text(part) for part in name.replace("\\", "/").split("/"))


def fit_names(names: Iterable[str], clip_ids: Iterable[str]) -> list[str]:
    """The names as the clips have them, where `name_key` says that they are the same; others stay."""
    clip_ids = set(clip_ids)
    by_key: dict[str, set[str]] = defaultdict(set)
    for clip_id in clip_ids:
        by_key[name_key(clip_id)].add(clip_id)
    fitted = []
    for name in names:
        candidates = {name} & clip_ids or by_key[name_key(name)]
        fitted.append(next(iter(candidates)) if len(candidates) == 1 else name)
    return fitted


def near_misses(names: Iterable[str], clip_ids: Iterable[str]) -> dict[str, str]:
    """For each name that nearly fits just one of the clips: which one, and in what they differ.

    Examples
    --------
    >>> near_misses(["Run 2.dcm"], ["run 2", "run 3"])
    {'Run 2.dcm': "'run 2' but for upper and lower case, a suffix"}
    """
    by_form, by_end = defaultdict(set), defaultdict(set)
    for clip_id in clip_ids:
        by_form[_form(clip_id)].add(clip_id)
        by_end[_form(clip_id).rpartition("/")[2]].add(clip_id)
    found = {}
    for name in names:
        form = _form(name)
        if len(by_form[form]) == 1:
            (clip_id,) = by_form[form]
            needed = [what for what in _DIFFERENCES if _form(name, what) != _form(clip_id, what)]
            found[name] = f"{clip_id!r} but for {', '.join(needed) or 'several small things'}"
            continue
        others = [(_form(clip_id), clip_id) for clip_id in by_end[form.rpartition("/")[2]]]
        ends = [
            clip_id
            for other, clip_id in others
            if f"/{form}".endswith(f"/{other}") or other.endswith(f"/{form}")
        ]
        if len(ends) == 1:
            found[name] = f"{ends[0]!r} but for the folders above it"
    return found


def _form(name: str, without: str = "") -> str:
    """A name without all that may differ, except one kind of it."""
    text = name_key(name)
    for what, change in _DIFFERENCES.items():
        text = text if what == without else change(text)
    return text


def person_key(patient_id: str) -> str:
    """What is left of a patient id without the ways in which people write the same one differently.

    Unicode form (NFKC), invisible characters, case, blanks, hyphens and other marks between its parts,
    leading zeros, and the ``.0`` of a number.

    Examples
    --------
    >>> {person_key(name) for name in ("P-3", "P_3", "p 03", "P3")}, person_key("12.0") == person_key("012")
    ({'p3'}, True)
    >>> person_key("1-12") == person_key("11-2")
    False
    """
    text = unicodedata.normalize("NFKC", plain_text(patient_id).casefold())
    text = re.sub(r"^(\d+)[.,]0+$", r"\1", text)
    words = "".join(char if unicodedata.category(char)[0] in "LMN" else "-" for char in text)
    text = re.sub("-+", "-", words).strip("-") or text
    text = re.sub(r"(?<!\d)0+(?=\d)", "", text)
    return re.sub(r"(?<=\d)-(?=[^\d-])|(?<=[^\d-])-(?=\d)", "", text)


def same_persons(patient_ids: Iterable[str], told: Iterable[str] = ()) -> list[list[str]]:
    """Groups of ids that may be one person's, by `person_key`.

    `told` are ids of which a file says whose they are: two of these are no question any more.
    """
    groups, told = defaultdict(set), set(told)
    for patient_id in set(patient_ids) - {""}:
        groups[person_key(patient_id)].add(patient_id)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1 and group - told)


def person_problems(groups: list[list[str]], draft: Path, command: str) -> list[Problem]:
    """The groups of `same_persons` as a possible leak, with the command that merges them by the draft."""
    if not groups:
        return []
    return [
        Problem(
            "leak",
            f"{count_of(len(groups), 'patient')} perhaps under several ids, which differ only in case, "
            "blanks, marks, zeros or invisible characters: the same person could be in training and test "
            "data.",
            f"look through {draft}, which makes them one (a line ID,ID says that an id is a person of its "
            f"own), and run `{command}`.",
            [" = ".join(spelled(patient_id) for patient_id in group) for group in groups],
        )
    ]


def same_patients_text(groups: list[list[str]], merged: Mapping[str, str]) -> str:
    """Text of a `same_patients.csv`: what it said before, and each group as its first id."""
    lines = {**{patient_id: group[0] for group in groups for patient_id in group}, **merged}
    rows = [dict(zip(_COLUMNS, line, strict=True)) for line in sorted(lines.items())]
    return "\ufeff" + to_csv(rows, _COLUMNS)  # without the mark, Excel takes UTF-8 for another encoding


def read_same_patients(path: str | os.PathLike) -> dict[str, str]:
    """Which person each id belongs to; an id that is its own is listed as well.

    Raises DatasetError if the columns `patient_id` and `same_as` are not there, a line lacks one, or an id
    belongs to two.
    """
    table = read_table(path, _COLUMNS)
    places = [table.columns(name) for name in _COLUMNS]
    if any(len(place) != 1 for place in places):
        raise DatasetError(f"{path} has no columns {' and '.join(_COLUMNS)}.", _FORM, "correct its header.")
    found: dict[str, str] = {}
    for line, row in table.rows:
        patient_id, person = (row[place] for (place,) in places)
        if not patient_id or not person or found.get(patient_id, person) != person:
            raise DatasetError(
                f"{path}, line {line}: {spelled(patient_id)} is {spelled(person)}.",
                _FORM,
                "correct this line.",
            )
        found[patient_id] = person
    for patient_id in found:
        seen = [patient_id]
        while found.get(seen[-1], seen[-1]) != seen[-1]:
            seen.append(found[seen[-1]])
            if len(seen) > len(found) + 1:
                raise DatasetError(f"{path} names {spelled(patient_id)} in a circle.", _FORM, "break it.")
        found = {**found, patient_id: seen[-1]}
    return found


def spelled(name: str) -> str:
    r"""A name in quotation marks, in which what can't be seen or told apart is written out.

    Examples
    --------
    >>> spelled("A\u200b1"), spelled("P 1")
    ("'A\\u200b1'", "'P 1'")
    """
    return "".join(ascii(char)[1:-1] if unicodedata.category(char)[0] == "M" else char for char in repr(name))
