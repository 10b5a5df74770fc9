"""What is wrong with a cohort as a whole: labels, patients, contents, shortcuts.

Everything here works on the rows of `check/intake.csv`, one a source, and lists all problems together.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from stenoscope.run.access import FIX, UNLISTED, UNREADABLE
from stenoscope.data.identity import near_misses
from stenoscope.data.problems import Problem, count_of, if_any
from stenoscope.imaging.find import SAME_ID
from stenoscope.imaging.intake import IntakeRow

_UID = re.compile(r"\d+(\.\d+){5,}")
_DATE = re.compile(r"(?<!\d)(19|20)\d\d-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_MIN_CLIPS = 20  # labelled clips from which a shortcut is looked for
_MIN_SIDE = 5  # clips of each label that a trait's number must be known of
_SHORTCUT_P = 0.001  # chance of a false alarm for each trait
_STRENGTH = 0.3  # Cramer's V of a trait and the label, or |2 AUC - 1|, from which it is worth a warning


@dataclass(frozen=True, slots=True)
class CheckRow(IntakeRow):
    """A line of what ``--check`` writes, `check/intake.csv`: an `IntakeRow` and what the cohort adds."""

    # yes or no: whether contrast passes through vessels; empty where it was not looked for
    contrast: str = ""
    # share of the frame inside the collimator's blades, as found in the pixels
    beam_share: float | None = None
    text_share: float | None = None  # share of the frame under burned-in text, as found in the pixels
    header_patient: str = ""  # pseudonym of the patient that the source itself names
    patient_id: str = ""  # by the labels, else by the data set, else `header_patient`
    label: str = ""  # 0, 1, or empty for unknown


def match_problems(
    labelled: Iterable[str], found: Iterable[str], known_bad: Iterable[str] = ()
) -> list[Problem]:
    """Labels without a clip and clips without a label, by the clip ids of both.

    `known_bad` are clips that were found and are listed elsewhere, because their ids are not unique say.
    """
    labelled, found = set(labelled), set(found)
    missing, unlabelled = sorted(labelled - found - set(known_bad)), sorted(found - labelled)
    near = near_misses(missing, unlabelled)
    missing.sort(key=lambda name: name not in near)
    told = [f"{name} is {near[name]}" if name in near else name for name in missing]
    if labelled and found and not labelled & found:
        return [
            Problem(
                "stop",
                f"None of the {len(labelled)} labels belongs to any of the {len(found)} clips.",
                "correct the column clip_id: it is the path below the input folder, without suffix.",
                [f"label {told[0]}" if told else "", f"clip {unlabelled[0]}"],
            )
        ]
    misses = f"; near misses: {len(near)}" if near else ""
    mend = "write these ids as the clips have them." if near else "add the clips, or delete the labels."
    return [
        *if_any("warning", told, f"{count_of(len(missing), 'label')} without a clip{misses}.", mend),
        *if_any(
            "warning",
            unlabelled,
            f"{count_of(len(unlabelled), 'clip')} without a label; step 1 leaves them out.",
            "add a line clip_id,patient_id,label for each.",
        ),
    ]


def patient_problems(rows: Sequence[CheckRow]) -> list[Problem]:
    """Patients of the labels held against those that the headers name, as pseudonyms.

    A header that names one patient for the whole cohort was anonymised and says nothing.
    """
    used = [row for row in rows if row.status == "ok" and row.header_patient and row.patient_id]
    by_header: dict[str, set[str]] = defaultdict(set)
    by_label: dict[str, set[str]] = defaultdict(set)
    for row in used:
        by_header[row.header_patient].add(row.patient_id)
        by_label[row.patient_id].add(row.header_patient)
    if len(by_header) == 1 and len(by_label) > 1:
        title = "All headers name the same patient: they were anonymised to one name, so they can't confirm "
        return [Problem("note", f"{title}the patients in the labels.")]
    split = [
        f"{header} in the headers is {', '.join(sorted(names))}"
        for header, names in by_header.items()
        if len(names) > 1
    ]
    merged = [
        f"{name} has {len(headers)} in the headers" for name, headers in by_label.items() if len(headers) > 1
    ]
    return [
        *if_any(
            "leak",
            sorted(split),
            f"{count_of(len(split), 'patient')} by the headers under several patient ids: the same person "
            "could be in training and test data.",
            "give all clips of a person one patient_id, in the labels or by their folder.",
        ),
        *if_any(
            "warning",
            sorted(merged),
            f"{count_of(len(merged), 'patient id')} with clips of several patients by the headers.",
            "check these patient ids; nothing leaks, but the folds count too few patients.",
        ),
    ]


def content_problems(rows: Sequence[CheckRow], num_keyframes: int) -> list[Problem]:
    """What the clips that can be used have in them, what can't be read, and names that tell too much."""
    used = [row for row in rows if row.status == "ok"]
    # severity, which clips, title, fix
    found: list[tuple[str, Callable[[CheckRow], bool], str, str]] = [
        ("warning", lambda row: row.burned_in == "YES",
         "burned-in annotation according to their headers: names may be burned into the image",
         "look at their sheets."),
        ("note", lambda row: row.burned_in != "YES" and (row.text_share or 0) > 0,
         "text or graphics in the image that the headers do not mention",
         "check their sheets for names."),
        ("warning", lambda row: 1 < (row.num_frames or 0) < num_keyframes,
         f"fewer than {num_keyframes} frames: key frames repeat", "export the whole runs."),
        ("note", lambda row: row.frame_time_ms is None and (row.num_frames or 0) > 1,
         "no time between frames", ""),
        ("note", lambda row: (row.overlays or 0) > 0, "overlay planes, which are not drawn", ""),
    ]  # fmt: skip
    problems = []
    for severity, holds, title, fix in found:
        items = sorted(row.clip_id for row in used if holds(row))
        problems += if_any(severity, items, f"{count_of(len(items), 'clip')} with {title}.", fix)
    twins: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if f" {SAME_ID}, " in row.reason:
            twins[row.clip_id].append(row.path)
    hidden = [row.path for row in rows if f" {UNREADABLE}: " in row.reason or UNLISTED in row.reason]
    telling = [row.path for row in rows if _UID.search(row.path) or _DATE.search(row.path)]
    others = [
        ([f"{name}: {' and '.join(sorted(paths))}" for name, paths in sorted(twins.items())],
         f"{count_of(len(twins), 'id')} of several files, none of which is read.",
         "remove all but one if they hold the same run, else rename them."),
        (sorted(hidden),
         f"{count_of(len(hidden), 'file or folder', 'files or folders')} can't be read: clips may be missing.",
         FIX),
        (sorted(telling),
         f"{count_of(len(telling), 'file name')} with what looks like a UID or a date; file names appear in "
         "every output.",
         "rename these files before results are passed on."),
    ]  # fmt: skip
    return [*problems, *(problem for other in others for problem in if_any("warning", *other))]


def shortcut_problems(rows: Sequence[CheckRow]) -> list[Problem]:
    """Technical traits that tell the label: a network would learn the machine instead of the lesion.

    For traits with names, Cramer's V with the label and the chi-square test [1]_; for numbers, the AUC and
    the Mann-Whitney test. One line for each trait with p < 0.001 and V or \\|2 AUC - 1\\| of at least 0.3, if
    there are at least 20 labelled clips. Clips of one patient are not independent, so p is too small: these
    are places to look at, no findings.

    References
    ----------
    .. [1] Cramér H. Mathematical Methods of Statistics. Princeton University Press, 1946, section 21.9.
    """
    used = [row for row in rows if row.status == "ok" and row.label]
    label = np.array([row.label == "1" for row in used])
    if len(used) < _MIN_CLIPS or label.all() or not label.any():
        return []
    items = []
    for name, trait in NAMED_TRAITS.items():
        values, codes = np.unique([trait(row) or "not stated" for row in used], return_inverse=True)
        table = np.stack([np.bincount(codes[label == side], minlength=len(values)) for side in (False, True)])
        if len(values) < 2 or len(values) > len(used) // 4:
            continue
        strength = float(stats.contingency.association(table, method="cramer"))
        if strength >= _STRENGTH and stats.chi2_contingency(table).pvalue < _SHORTCUT_P:
            shares = ", ".join(
                f"{value} {abnormal} of {normal + abnormal} abnormal"
                for value, normal, abnormal in zip(values[:4], *table[:, :4], strict=True)
            )
            items.append(f"{name} (Cramer's V {strength:.2f}: {shares})")
    for name, column in NUMBER_TRAITS.items():
        values = np.array([np.nan if getattr(row, column) is None else getattr(row, column) for row in used])
        known = ~np.isnan(values)
        low, high = values[known & ~label], values[known & label]
        if min(len(low), len(high)) < _MIN_SIDE:
            continue
        test = stats.mannwhitneyu(high, low)
        area = float(test.statistic) / (len(low) * len(high))
        if abs(2 * area - 1) >= _STRENGTH and test.pvalue < _SHORTCUT_P:
            items.append(
                f"{name} (AUC {max(area, 1 - area):.2f}: median {np.median(low):g} in normal, "
                f"{np.median(high):g} in abnormal clips)"
            )
    if not items:
        return []
    count = count_of(len(items), "technical trait")
    title = f"{count} by which normal and abnormal clips differ: possible shortcuts."
    return [Problem("warning", title, "balance the cohort, or test within one kind at a time.", items)]


NAMED_TRAITS: dict[str, Callable[[CheckRow], str]] = {
    "format": lambda row: row.transfer_syntax,
    "size": lambda row: f"{row.rows} x {row.cols}" if row.rows else "",
    "bits stored": lambda row: "" if row.bits_stored is None else str(row.bits_stored),
    "photometric interpretation": lambda row: row.photometric,
    "VOI": lambda row: row.voi.split(" ")[0],
    "shutter": lambda row: row.shutter or row.collimator,
    "modality": lambda row: row.modality,
    "SOP class": lambda row: row.sop_class,
}
"""Traits with names, by what a reader is told; empty where the file does not say."""

NUMBER_TRAITS = {
    "frames": "num_frames",
    "frame time": "frame_time_ms",
    "primary angle": "primary_angle",
    "secondary angle": "secondary_angle",
    "share inside the collimator": "beam_share",
    "share of burned-in text": "text_share",
}
"""Traits that are numbers, and their columns."""


def excluded_by_reason(rows: Sequence[CheckRow]) -> list[dict]:
    """What is left out, grouped by reason: ``status``, ``reason``, ``fix``, ``paths``; the commonest first.

    Reasons that differ in the file's name or in numbers only are one; such numbers are written as N.
    """
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        if row.status == "ok":
            continue
        name = row.path or row.clip_id
        reason, _, fix = row.reason.partition(" To fix: ")
        reason = reason.removeprefix(f"{name} ")
        groups[row.status, _NUMBER.sub("N", reason), fix].append((name, reason))
    ordered = sorted(groups.items(), key=lambda item: (item[0][0] == "ignored", -len(item[1]), item[0]))
    result = []
    for (status, general, fix), members in ordered:
        reason = general if len({text for _, text in members}) > 1 else members[0][1]
        paths = sorted(name for name, _ in members)
        result.append(
            {"status": status, "reason": reason[:1].upper() + reason[1:], "fix": fix, "paths": paths}
        )
    return result


def note_counts(rows: Iterable[IntakeRow]) -> Mapping[str, int]:
    """What was done to clips that can be used (``MONOCHROME1 inverted``), and to how many."""
    notes = Counter(note for row in rows if row.status == "ok" for note in row.reason.split("; ") if note)
    return dict(sorted(notes.items(), key=lambda item: (-item[1], item[0])))
