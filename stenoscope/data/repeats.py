"""Clips that are there twice: the same pixels under several ids, whatever their files say."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from stenoscope.data.problems import Problem, count_of, if_any
from stenoscope.imaging.intake import IntakeRow

Row = TypeVar("Row", bound=IntakeRow)


def mark_repeats(rows: Sequence[Row]) -> list[Row]:
    """The rows, with `same_pixels_as` where another row has the same pixels: the first of them by id."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.pixel_sha256:
            groups[row.pixel_sha256].append(row.clip_id)
    first = {pixels: min(same) for pixels, same in groups.items() if len(same) > 1}
    return [replace(row, same_pixels_as=first.get(row.pixel_sha256, "")) for row in rows]


def repeat_problems(
    rows: Sequence[IntakeRow], patients: Mapping[str, str], labels: Mapping[str, str]
) -> list[Problem]:
    """The same pixels twice: under two patients (a leak), with two labels, or merely twice.

    Rows are marked by `mark_repeats`; only clips that can be used count. Patients and labels, by clip id, are
    empty for unknown.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.same_pixels_as and row.status == "ok":
            groups[row.same_pixels_as].append(row.clip_id)
    leaks, contradicting, twice = [], [], []
    for _, same in sorted(groups.items()):
        if len(same) < 2:
            continue
        whose, called = ({known.get(clip_id, "") for clip_id in same} - {""} for known in (patients, labels))
        names = ", ".join(
            f"{clip_id} ({'patient ' + patients[clip_id] if patients.get(clip_id) else 'no patient'})"
            for clip_id in sorted(same)
        )
        if len(whose) > 1:
            leaks.append(names)
        if len(called) > 1:
            contradicting.append(names)
        if len(whose) <= 1 and len(called) <= 1:
            twice.append(names)
    found = [
        ("leak", leaks,
         "the same pixels under several patients: a leak between folds, test data would be seen in training",
         "find out whose they are; correct patient_id, or remove all but one."),
        ("leak", contradicting, "the same pixels as normal and as abnormal", "correct the label, or remove one."),
        ("warning", twice, "the same pixels more than once: they count double", "remove all but one."),
    ]  # fmt: skip
    groups_of = ("group of clips", "groups of clips")
    return [
        problem
        for severity, items, title, fix in found
        for problem in if_any(severity, items, f"{count_of(len(items), *groups_of)} with {title}.", fix)
    ]
